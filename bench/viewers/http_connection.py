"""One HTTP/1.1 connection that asks and is answered, one request at a time, kept alive between them."""

import asyncio
from collections.abc import Callable
from typing import Final, cast

from bench.errors import BenchError
from bench.targets import Target
from bench.viewers.http1 import (
    ChunkedBody,
    ResponseError,
    ResponseHead,
    SizedBody,
    serialize_request,
    split_head,
)

RECEIVE_BUFFER_BYTES: Final = 256 * 1024
CONNECT_SECONDS: Final = 15.0

Sink = Callable[[memoryview], object]

_receive_buffer: Final = memoryview(bytearray(RECEIVE_BUFFER_BYTES))


class HttpConnection(asyncio.BufferedProtocol):
    """Connects at the first ``get`` and again after the server closed."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._head: ResponseHead | None = None
        self._body: SizedBody | ChunkedBody = SizedBody(0)
        self._sink: Sink = len
        self._answer: asyncio.Future[ResponseHead] | None = None

    async def get(self, path: str, sink: Sink, seconds: float) -> ResponseHead:
        """Ask for ``path``; ``sink`` gets the body's pieces, valid only during the call.

        Raises ResponseError for an answer that is not HTTP or when the server closes before its end, OSError
        when it cannot be reached, TimeoutError after ``seconds``.
        """
        return await self.exchange(serialize_request(self._target, path), sink, seconds)

    async def exchange(self, request: bytes, sink: Sink, seconds: float) -> ResponseHead:
        """Send any request, as bytes; otherwise as ``get``."""
        async with asyncio.timeout(seconds):
            transport = self._transport or await self._connect()
            self._received, self._head, self._sink = b"", None, sink
            self._answer = asyncio.get_running_loop().create_future()
            transport.write(request)
            return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    async def _connect(self) -> asyncio.Transport:
        async with asyncio.timeout(CONNECT_SECONDS):
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: self, self._target.address, self._target.port)
        assert self._transport is not None
        return self._transport

    # BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _receive_buffer

    def buffer_updated(self, nbytes: int) -> None:
        try:
            self._receive(_receive_buffer[:nbytes])
        except BenchError as error:
            self._fail(error)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._fail(ResponseError("the server closed the connection"))

    def _receive(self, data: memoryview) -> None:
        if self._head is None:
            self._received += bytes(data)
            split = split_head(self._received)
            if split is None:
                return
            self._head, rest = split
            self._body = _make_body(self._head)
            data = memoryview(rest)
        for piece in self._body.feed(data):
            self._sink(piece)
        if self._body.is_finished and self._answer is not None and not self._answer.done():
            self._answer.set_result(self._head)

    def _fail(self, error: BenchError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self.close()


def _make_body(head: ResponseHead) -> SizedBody | ChunkedBody:
    if head.is_chunked:
        return ChunkedBody()
    length = head.content_length
    if length is None:
        raise ResponseError("a body without a length")
    return SizedBody(length)
