"""Calls that must not be done twice: the first answer is kept under the client's key and given again.

The same key with another request is refused (422), and so is a second call while the first runs (409).
A call that was refused has done nothing, so its key stays free. After a crash nobody knows what was done: the
key is given out again after a while, and what moves money is idempotent by it in tables of its own.
Routes with keys of their own do without all this.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import web

from control_api.decoding import JSON_TYPE
from control_api.encoding import SAFE_HEADERS
from control_api.errors import ApiError, conflict, invalid
from control_api.routing import Call
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.repositories.idempotency_keys import IdempotencyKeys, KeptAnswer

HEADER: Final = "Idempotency-Key"
MAX_KEY_LENGTH: Final = 128
REPLAYED: Final = {"Idempotency-Replayed": "true"}
"""With an answer that was given before."""
PATIENCE: Final = timedelta(minutes=1)
KEPT_FOR: Final = timedelta(days=1)
CLEANING_SECONDS: Final = 3600.0

logger = structlog.get_logger("mediaserver.api")


class Idempotency:
    def __init__(self, database: Database) -> None:
        self._keys = IdempotencyKeys(database)

    async def answer(
        self, call: Call[object, object], act: Callable[[], Awaitable[web.Response]]
    ) -> web.Response:
        """What ``act`` answers, or answered when it was first called with this key."""
        key = idempotency_key(call.request)
        kept = await self._keys.claim(call.user_id, key, await _request_hash(call.request), PATIENCE)
        if kept is not None:
            return _replay(kept, await _request_hash(call.request))
        try:
            response = await act()
        except ApiError:
            await self._keys.release(call.user_id, key)
            raise
        body = response.body if isinstance(response.body, bytes) else b""
        await self._keys.keep(call.user_id, key, response.status, body)
        return response

    async def run(self) -> None:
        """Forget what is old, now and then, until cancelled."""
        while True:
            try:
                await self._keys.forget_older_than(KEPT_FOR)
            except DatabaseUnavailable as error:
                logger.warning("idempotency_keys_not_cleaned", error=str(error))
            await asyncio.sleep(CLEANING_SECONDS)


def idempotency_key(request: web.Request) -> str:
    """Raises ApiError 400 when there is none or it is none."""
    key = request.headers.get(HEADER, "")
    if not 1 <= len(key) <= MAX_KEY_LENGTH or not key.isascii() or not key.isprintable():
        raise invalid(HEADER, f"is needed: 1 to {MAX_KEY_LENGTH} printable ASCII characters")
    return key


async def _request_hash(request: web.Request) -> bytes:
    digest = hashlib.sha256(f"{request.method} {request.path_qs}\n".encode())
    digest.update(await request.read())
    return digest.digest()


def _replay(kept: KeptAnswer, request_hash: bytes) -> web.Response:
    if kept.request_hash != request_hash:
        raise ApiError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            f"This {HEADER} belongs to another request.",
        )
    if kept.status is None:
        raise conflict("request_in_progress", "The same request is being worked on; ask again shortly.")
    headers = {**SAFE_HEADERS, **REPLAYED}
    return web.Response(body=kept.body, status=kept.status, content_type=JSON_TYPE, headers=headers)
