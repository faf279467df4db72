"""A filter that is asked by POST of JSON, and answers ``{"action": "allow" | "hold" | "refuse", "reason"?}``.

The address is the operator's own, so it may be in a private network.
"""

from http import HTTPStatus
from typing import Final, Self

import aiohttp
import msgspec

from chat.moderation.external import FilterAction, FilterFailure, Question, Verdict

MAX_ANSWER_BYTES: Final = 16 * 1024
MAX_CONNECTIONS: Final = 64
TOTAL_SECONDS: Final = 10.0


class _Body(msgspec.Struct, frozen=True, rename="camel"):
    room_id: str
    user_id: str
    username: str
    message: str


class _Answer(msgspec.Struct, frozen=True):
    action: FilterAction
    reason: str | None = None


class HttpFilter:
    """An ExternalFilter at ``url``. An async context manager; to be used through ``Guarded``."""

    def __init__(self, url: str, token: str | None = None) -> None:
        """``token`` is sent as ``Authorization: Bearer``."""
        self._url = url
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=TOTAL_SECONDS),
            headers=self._headers,
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def check(self, question: Question) -> Verdict:
        """Raises FilterFailure."""
        if self._session is None:
            raise RuntimeError("HttpFilter must be entered first")
        body = _Body(str(question.room_id), str(question.user_id), question.username, question.message)
        try:
            async with self._session.post(
                self._url, data=msgspec.json.encode(body), allow_redirects=False
            ) as response:
                return await _verdict(response)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise FilterFailure(str(error) or type(error).__name__) from error


async def _verdict(response: aiohttp.ClientResponse) -> Verdict:
    if response.status != HTTPStatus.OK:
        raise FilterFailure(f"the answer was {response.status}")
    content = bytearray()
    async for chunk in response.content.iter_chunked(MAX_ANSWER_BYTES):
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise FilterFailure("the answer is too long")
    try:
        answer = msgspec.json.decode(bytes(content), type=_Answer)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise FilterFailure(f"the answer is not right: {error}") from error
    return Verdict(answer.action, answer.reason or "")
