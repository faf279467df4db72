"""The opening talk of an RTMP player; afterwards only bytes are counted and acknowledged."""

from collections.abc import Iterator
from typing import Final

from bench.targets import Target
from bench.viewers.http1 import ResponseError, Unframer
from rtmp.protocol.addressing import parse_url
from rtmp.protocol.chunks import serialize_message
from rtmp.protocol.client_session import RtmpClientSession
from rtmp.protocol.events import ConnectAccepted, PlayStarted, ProtocolViolated, RequestRefused, StreamEnded
from rtmp.protocol.messages import ChunkStreamId, MessageType, serialize_word

ACKNOWLEDGE_BYTES: Final = 1024 * 1024
"""Less than the window of any server known, so that none waits for us."""


class RtmpOpening:
    """Handshake, connect, createStream, play (RTMP 1.0, 7.2)."""

    def __init__(self, target: Target) -> None:
        url = parse_url(target.url)
        self._stream_name = url.stream_name
        self._session = RtmpClientSession(url.app, url.tc_url)

    def begin(self) -> bytes:
        return self._session.data_to_send()

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Media that came in the same read as the play's answer counts from here on."""
        is_playing = False
        for event in self._session.receive_data(data):
            match event:
                case ConnectAccepted():
                    self._session.play(self._stream_name)
                case PlayStarted():
                    is_playing = True
                case RequestRefused(code=code) | StreamEnded(code=code):
                    raise ResponseError(code)
                case ProtocolViolated(error=error):
                    raise ResponseError(f"RTMP: {error}")
                case _:
                    pass
        return self._session.data_to_send(), b"" if is_playing else None

    def make_unframer(self) -> Unframer:
        return Acknowledging(self._session.bytes_received)


class Acknowledging:
    """Leaves chunks as they are and acknowledges them (5.4.3)."""

    __slots__ = ("_acknowledged", "_received")

    def __init__(self, received: int) -> None:
        self._received = self._acknowledged = received

    def feed(self, data: memoryview) -> Iterator[memoryview]:
        self._received += len(data)
        yield data

    def take_reply(self) -> bytes:
        if self._received - self._acknowledged < ACKNOWLEDGE_BYTES:
            return b""
        self._acknowledged = self._received
        word = serialize_word(self._received)
        return serialize_message(ChunkStreamId.CONTROL, 0, MessageType.ACKNOWLEDGEMENT, 0, word, len(word))
