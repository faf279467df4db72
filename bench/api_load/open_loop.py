"""Requests that arrive when a clock says so, whether or not those before are answered.

Latency counts from the moment a request was planned to arrive. A generator that waits for answers would ask a
slow server less often, and report the time of the few it asked.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from bench.api_load.traffic import Request

PREFIX: Final = "/api/v1"
ANSWER_SECONDS: Final = 10.0
MAX_WAITING: Final = 5000
CONNECTIONS: Final = 256
NO_ANSWER: Final = "no answer"
NOT_SENT: Final = "not sent"
"""MAX_WAITING others were waiting for their answers."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``at`` and ``seconds`` count from the planned arrival; ``status`` is HTTP's, or why there is none."""

    kind: str
    at: float
    seconds: float
    status: str

    @property
    def is_good(self) -> bool:
        return self.status[0] in "23"


@dataclass(slots=True)
class Arrivals:
    """What a run of the generator brought. ``latest`` is how far behind its clock the generator was."""

    outcomes: list[Outcome] = field(default_factory=list)
    latest: float = 0.0

    def failures(self) -> Counter[tuple[str, str]]:
        """How often each kind ended with each status that is no success."""
        return Counter((o.kind, o.status) for o in self.outcomes if not o.is_good)


class ApiClient:
    """Sends requests to the server at ``url``; an async context manager.

    With ``addresses``, requests say that they come from so many clients behind a proxy.
    """

    def __init__(self, url: str, addresses: int = 0) -> None:
        self._url = url.rstrip("/")
        self._addresses = addresses
        self._count = 0
        self._session: Any = None

    async def __aenter__(self) -> "ApiClient":
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(self, request: Request) -> tuple[int, bytes]:
        """Status and body. Raises aiohttp.ClientError, TimeoutError."""
        async with self._session.request(
            request.method,
            f"{self._url}{PREFIX}{request.path}",
            json=request.body,
            headers=self._headers(request),
            allow_redirects=False,
        ) as response:
            return response.status, await response.read()

    async def text(self, path: str) -> str:
        """What is at ``path`` of the server. Raises aiohttp.ClientError, TimeoutError."""
        async with self._session.get(self._url + path, raise_for_status=True) as response:
            body: str = await response.text()
            return body

    def _headers(self, request: Request) -> dict[str, str]:
        headers = {} if request.token is None else {"Authorization": f"Bearer {request.token}"}
        if self._addresses:
            self._count += 1
            number = self._count % self._addresses
            headers["X-Forwarded-For"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        return headers


class OpenLoop:
    """``next_request`` makes what arrives, ``rate`` times a second on average and at random moments."""

    def __init__(
        self, client: ApiClient, next_request: Callable[[], Request], rate: float, seed: int = 0
    ) -> None:
        self._client = client
        self._next_request = next_request
        self._rate = rate
        self._random = random.Random(seed)
        self._waiting: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float) -> Arrivals:
        """Send for ``seconds``, then wait for the last answers."""
        loop, arrivals = asyncio.get_running_loop(), Arrivals()
        begin = loop.time()
        planned = begin + self._pause()
        while planned < begin + seconds:
            await asyncio.sleep(planned - loop.time())
            arrivals.latest = max(arrivals.latest, loop.time() - planned)
            self._arrive(arrivals, begin, planned)
            planned += self._pause()
        if self._waiting:
            await asyncio.wait(self._waiting)
        return arrivals

    def _pause(self) -> float:
        return self._random.expovariate(self._rate)

    def _arrive(self, arrivals: Arrivals, begin: float, planned: float) -> None:
        request = self._next_request()
        if len(self._waiting) >= MAX_WAITING:
            arrivals.outcomes.append(Outcome(request.kind, planned - begin, 0.0, NOT_SENT))
            return
        task = asyncio.create_task(self._exchange(request, arrivals, begin, planned))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _exchange(self, request: Request, arrivals: Arrivals, begin: float, planned: float) -> None:
        try:
            status = str((await self._client.send(request))[0])
        except (aiohttp.ClientError, OSError, TimeoutError):
            status = NO_ANSWER
        seconds = asyncio.get_running_loop().time() - planned
        arrivals.outcomes.append(Outcome(request.kind, planned - begin, seconds, status))
