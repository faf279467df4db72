"""What is said on a connection before media flows."""

from typing import Protocol

from bench.targets import Target
from bench.viewers.http1 import (
    Bare,
    ChunkedBody,
    ResponseError,
    ResponseHead,
    Unframer,
    serialize_request,
    split_head,
)
from bench.viewers.websocket import WebSocketFrames, check_accept, make_key, upgrade_headers


class Opening(Protocol):
    """One connection's opening talk, without I/O."""

    def begin(self) -> bytes:
        """What the viewer says first."""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Take bytes received; return what to send and, once media flows, what of it came already.

        Raises ResponseError when the server refuses.
        """

    def make_unframer(self) -> Unframer:
        """Takes the framing off the media; only after the opening is over."""


class HttpOpening:
    """GET, answered with 200 and a body without end."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._received = b""
        self._is_chunked = False

    def begin(self) -> bytes:
        return serialize_request(self._target)

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        self._received += data
        split = split_head(self._received)
        if split is None:
            return b"", None
        head, body = split
        check_status(head, 200)
        self._is_chunked = head.is_chunked
        self._received = b""
        return b"", body

    def make_unframer(self) -> Unframer:
        return ChunkedBody() if self._is_chunked else Bare()


class WebSocketOpening:
    """The opening handshake of RFC 6455, 4.1."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._key = make_key()
        self._received = b""

    def begin(self) -> bytes:
        return serialize_request(self._target, headers=upgrade_headers(self._key))

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        self._received += data
        split = split_head(self._received)
        if split is None:
            return b"", None
        head, body = split
        check_status(head, 101)
        check_accept(head, self._key)
        self._received = b""
        return b"", body

    def make_unframer(self) -> Unframer:
        return WebSocketFrames()


def check_status(head: ResponseHead, expected: int) -> None:
    """Raises ResponseError unless the status is ``expected``."""
    if head.status != expected:
        raise ResponseError(f"HTTP status {head.status}")
