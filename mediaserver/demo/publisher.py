"""Publishes the test pattern over RTMP, for ever: encoding in a thread, paced by the clock, reconnecting."""

import asyncio
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import av
import structlog

from mediaserver.demo.encoder import MediaMessage, MessageKind, PatternEncoder, PatternOptions
from mediaserver.errors import StartError
from rtmp.client import RtmpClient
from rtmp.protocol.errors import RtmpError

FIRST_RETRY_SECONDS: Final = 1.0
MAX_RETRY_SECONDS: Final = 10.0
SERVER_TIMEOUT: Final = 5.0
"""Seconds that the server has for each answer, and for reading on."""

logger = structlog.get_logger("mediaserver.demo")


async def publish_test_pattern(
    url: str,
    *,
    width: int = 1280,
    height: int = 720,
    frame_rate: int = 30,
    video_bitrate: int = 2_000_000,
    first_retry_seconds: float = FIRST_RETRY_SECONDS,
) -> None:
    """Publish to ``url`` (rtmp://host/app/key) until cancelled; connect anew when the connection is lost.

    ``width`` and ``height`` are even, ``frame_rate`` in frames a second, ``video_bitrate`` in bit/s at most.
    Retries wait ``first_retry_seconds``, then twice as long each time, up to MAX_RETRY_SECONDS.

    Returns, after one line in the log, when PyAV has no H.264 or AAC encoder or it does not work: a server
    can do without its demo. Raises ValueError for a size that cannot be drawn or an address that is none.
    """
    options = PatternOptions(width, height, frame_rate, video_bitrate)
    executor = ThreadPoolExecutor(1, "test-pattern")
    try:
        await _publish_forever(url, options, executor, first_retry_seconds)
    except (StartError, av.FFmpegError) as error:
        logger.error("test_pattern_unavailable", error=str(error))
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


async def _publish_forever(
    url: str, options: PatternOptions, executor: ThreadPoolExecutor, first_retry_seconds: float
) -> None:
    retry_seconds = first_retry_seconds
    while True:
        session = _Session(url, options, executor)
        try:
            await session.run()
        except (RtmpError, OSError) as error:
            if session.has_published:
                retry_seconds = first_retry_seconds
            logger.warning("test_pattern_interrupted", error=str(error), retry_in=round(retry_seconds, 1))
        await asyncio.sleep(retry_seconds * random.uniform(0.8, 1.2))
        retry_seconds = min(retry_seconds * 2, MAX_RETRY_SECONDS)


class _Session:
    """One connection and the encoder that belongs to it."""

    def __init__(self, url: str, options: PatternOptions, executor: ThreadPoolExecutor) -> None:
        self._url = url
        self._options = options
        self._executor = executor
        self.has_published = False

    async def run(self) -> None:
        """Publish until the connection is lost. Raises RtmpError and OSError."""
        loop = asyncio.get_running_loop()
        async with await RtmpClient.connect(self._url, None, SERVER_TIMEOUT, SERVER_TIMEOUT) as client:
            await client.publish()
            encoder = await loop.run_in_executor(
                self._executor, lambda: PatternEncoder(self._options, time.time())
            )
            started = loop.time()
            client.write_metadata(0, encoder.metadata())
            write = _writer(client)
            write(encoder.sequence_headers())
            while True:
                elapsed = loop.time() - started
                write(await loop.run_in_executor(self._executor, encoder.encode_until, elapsed))
                await client.drain()
                self.has_published = True
                await asyncio.sleep(encoder.next_due - (loop.time() - started))


def _writer(client: RtmpClient) -> Callable[[list[MediaMessage]], None]:
    writers = {MessageKind.VIDEO: client.write_video, MessageKind.AUDIO: client.write_audio}

    def write(messages: list[MediaMessage]) -> None:
        for message in messages:
            writers[message.kind](message.timestamp, message.body)

    return write
