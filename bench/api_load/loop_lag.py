"""How late the server's event loop is, from its own metrics."""

import asyncio
import re
from typing import Final

import aiohttp

from bench.api_load.open_loop import ApiClient

SAMPLE_SECONDS: Final = 0.5
_LAG: Final = re.compile(r"^mediaserver_event_loop_lag_seconds (\S+)$", re.MULTILINE)


class LagProbe:
    """``run`` reads until it is cancelled; ``samples`` stay empty where the server does not tell."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self.samples: list[float] = []

    async def run(self) -> None:
        while True:
            try:
                found = _LAG.search(await self._client.text("/metrics"))
            except (aiohttp.ClientError, OSError, TimeoutError):
                found = None
            if found is not None:
                self.samples.append(float(found[1]))
            await asyncio.sleep(SAMPLE_SECONDS)
