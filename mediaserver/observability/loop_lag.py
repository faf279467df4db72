"""How late the event loop is: the one figure that tells whether anything blocks it."""

import asyncio
from collections import deque

INTERVAL_SECONDS = 0.25
WINDOW_SAMPLES = 240


class LoopLag:
    """Samples by sleeping a fixed interval and comparing; ``run`` is a task of the application."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=WINDOW_SAMPLES)
        self.last = 0.0

    @property
    def maximum(self) -> float:
        """The largest lag of the last minute, in seconds."""
        return max(self._samples, default=0.0)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + INTERVAL_SECONDS
            await asyncio.sleep(INTERVAL_SECONDS)
            self.last = max(0.0, loop.time() - due)
            self._samples.append(self.last)
