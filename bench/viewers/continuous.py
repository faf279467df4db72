"""A viewer of a stream that comes on one connection without end: FLV, fMP4, WebSocket-FLV, RTMP.

It must cost less than the server spends on it. So all viewers of a process share one receive buffer, which
is safe because a read is handed over before the next one begins; and most viewers only count.
"""

import asyncio
import time
from typing import Final, cast

from bench.errors import BenchError
from bench.targets import Target
from bench.viewers.figures import ViewerFigures
from bench.viewers.http1 import Unframer
from bench.viewers.opening import Opening
from bench.viewers.probe import MediaProbe

RECEIVE_BUFFER_BYTES: Final = 256 * 1024
CONNECT_SECONDS: Final = 15.0
HEADER_BYTES: Final = 2048
"""Container and sequence headers are shorter than this; what comes after it is media."""

_receive_buffer: Final = memoryview(bytearray(RECEIVE_BUFFER_BYTES))


class ContinuousViewer(asyncio.BufferedProtocol):
    """One viewer. With ``must_unframe`` framing is followed even without a probe, to answer the server."""

    def __init__(
        self, target: Target, opening: Opening, probe: MediaProbe | None, must_unframe: bool = False
    ) -> None:
        self.figures = ViewerFigures()
        self._target = target
        self._opening: Opening | None = opening
        self._probe = probe
        self._must_unframe = must_unframe or probe is not None
        self._unframer: Unframer | None = None
        self._is_only_counting = False
        self._transport: asyncio.Transport | None = None
        self._closed = asyncio.Event()

    async def run(self) -> None:
        """Connect and watch until the server ends it or the task is cancelled."""
        loop = asyncio.get_running_loop()
        self.figures.started_at = time.monotonic()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.create_connection(lambda: self, self._target.address, self._target.port)
            await self._closed.wait()
        except (OSError, TimeoutError) as error:
            self.figures.error = f"cannot connect: {type(error).__name__}"
        finally:
            self._closed.set()
            if self._transport is not None:
                self._transport.abort()

    def restart(self, now: float) -> None:
        self.figures.restart(now)
        if self._probe is not None:
            self._probe.restart()

    def finish(self, now: float) -> None:
        self.figures.finish(now)
        if self._probe is not None:
            self._probe.report(self.figures)

    # BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._opening is not None:
            self._transport.write(self._opening.begin())

    def get_buffer(self, sizehint: int) -> memoryview:
        return _receive_buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._is_only_counting:
            self.figures.arrived(nbytes, time.monotonic())
            return
        try:
            if self._opening is None:
                self._media(_receive_buffer[:nbytes])
            else:
                self._open(bytes(_receive_buffer[:nbytes]))
        except BenchError as error:
            self._fail(str(error))

    def eof_received(self) -> None:
        self._fail("ended by the server")

    def connection_lost(self, error: Exception | None) -> None:
        self._fail("connection lost" if error else "closed by the server")

    # Stages

    def _open(self, data: bytes) -> None:
        assert self._opening is not None and self._transport is not None
        reply, body = self._opening.feed(data)
        if reply:
            self._transport.write(reply)
        if body is None:
            return
        if self._must_unframe:
            self._unframer = self._opening.make_unframer()
        self._opening = None
        if body:
            self._media(memoryview(body))

    def _media(self, data: memoryview) -> None:
        now = time.monotonic()
        figures = self.figures
        figures.arrived(len(data), now)
        if figures.media_at is None and figures.bytes >= HEADER_BYTES:
            figures.media_at = now
            self._is_only_counting = self._unframer is None
        if self._unframer is not None:
            self._unframe(self._unframer, data)

    def _unframe(self, unframer: Unframer, data: memoryview) -> None:
        for piece in unframer.feed(data):
            if self._probe is not None:
                self._probe.feed(piece)
        reply = unframer.take_reply()
        if reply and self._transport is not None:
            self._transport.write(reply)

    def _fail(self, reason: str) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        self.figures.error = reason
        if self._transport is not None:
            self._transport.abort()
