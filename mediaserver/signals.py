"""SIGTERM and SIGINT drain, a second one stops at once; SIGHUP reloads.

They are caught from the first moment on, so that a start that is cut short still stops what it started.
"""

import asyncio
import signal
from collections.abc import Callable


class Signals:
    """A context manager that owns the process's signal handlers while it is entered."""

    _STOPPING = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self.on_reload: Callable[[], None] | None = None
        self.drain = asyncio.Event()
        self.stop_now = asyncio.Event()

    def __enter__(self) -> "Signals":
        loop = asyncio.get_running_loop()
        for number in self._STOPPING:
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in (*self._STOPPING, signal.SIGHUP):
            loop.remove_signal_handler(number)

    def _reload(self) -> None:
        if self.on_reload is not None:
            self.on_reload()

    def _stop(self) -> None:
        if self.drain.is_set():
            self.stop_now.set()
        self.drain.set()
