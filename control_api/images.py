"""Pictures that users send: read within bounds, decoded far from the event loop, encoded anew.

A decoder of pictures may hold Python's lock for a fifth of a second, hang, or eat memory. So each picture
gets a process (``image_worker.py``) with limits on memory and time; how many run and wait is bounded.
"""

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from http import HTTPStatus
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

from control_api.errors import ApiError, invalid, unavailable
from control_api.image_worker import REFUSED

logger = structlog.get_logger("mediaserver.api")

PICTURE_TYPES: Final = ("image/png", "image/jpeg", "image/webp")
MAX_PICTURE_BYTES: Final = 5 * 1024 * 1024
UPLOAD_TIMEOUT_SECONDS: Final = 60.0
MAX_WAITING: Final = 8

_WORKER: Final = str(Path(__file__).with_name("image_worker.py"))


class Images:
    """At most ``processes`` pictures at once, each for at most ``timeout_seconds``; a few more may wait."""

    def __init__(self, processes: int = 1, timeout_seconds: float = 15.0) -> None:
        self._free = asyncio.Semaphore(processes)
        self._timeout_seconds = timeout_seconds
        self._waiting = 0

    async def convert(self, data: bytes, width: int, height: int) -> bytes:
        """A WebP of exactly ``width`` by ``height`` pixels, the middle of the picture, without metadata.

        Raises ApiError: 400 for what is no picture or too large a one, 503 when too many wait already.
        """
        if self._waiting >= MAX_WAITING:
            raise unavailable("Too many pictures are being read; try again shortly.")
        self._waiting += 1
        try:
            async with self._free:
                return await self._run(data, width, height)
        finally:
            self._waiting -= 1

    async def _run(self, data: bytes, width: int, height: int) -> bytes:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", _WORKER, str(width), str(height), stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        try:
            async with asyncio.timeout(self._timeout_seconds):
                output, reason = await process.communicate(data)
        except TimeoutError as error:
            raise invalid("picture", "takes too long to read") from error
        finally:
            await _end(process)
        if process.returncode == REFUSED:
            raise invalid("picture", reason.decode(errors="replace"))
        if process.returncode != 0:
            logger.warning("picture_broke_decoder", status=process.returncode, stderr=reason[-300:])
            raise invalid("picture", "cannot be read")
        return output


async def read_picture(request: web.Request, limit: int = MAX_PICTURE_BYTES) -> bytes:
    """The request's body of a type in PICTURE_TYPES. Raises ApiError 413, 415, or 400 for an empty one."""
    if request.content_type not in PICTURE_TYPES:
        raise ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            f"Send one of {', '.join(PICTURE_TYPES)}.",
        )
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    data = bytearray()
    try:
        async with asyncio.timeout(UPLOAD_TIMEOUT_SECONDS):
            async for chunk in request.content.iter_any():
                data += chunk
                if len(data) > limit:
                    raise _too_large(limit)
    except TimeoutError as error:
        raise ApiError(HTTPStatus.REQUEST_TIMEOUT, "upload_too_slow", "The upload took too long.") from error
    if not data:
        raise invalid("body", "is empty")
    return bytes(data)


async def _end(process: Process) -> None:
    """No process outlives its call, whatever ended the call."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _too_large(limit: int) -> ApiError:
    return ApiError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", f"The picture is longer than {limit} bytes."
    )
