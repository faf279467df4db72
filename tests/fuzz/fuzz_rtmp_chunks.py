"""Handshake, chunks and sessions.

The first byte of an input picks what is fed (see ``_TARGETS``), the second how the rest is cut. Whatever
comes, the same events come out cut or whole, only ProtocolViolated tells of a fault, and memory is bounded.

Run: python tests/fuzz/fuzz_rtmp_chunks.py [libFuzzer options] folder...
"""

import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports():
    from rtmp.protocol.chunks import ChunkLimits
    from rtmp.protocol.client_session import ClientActivity, RtmpClientSession
    from rtmp.protocol.events import (
        AudioReceived,
        Event,
        PlayRequested,
        ProtocolViolated,
        PublishRequested,
        VideoReceived,
    )
    from rtmp.protocol.handshake import PACKET_SIZE, ClientHandshake, ServerHandshake
    from rtmp.protocol.messages import Command
    from rtmp.protocol.server_session import RtmpServerSession
    from rtmp.protocol.session import Session, SessionLimits

LIMITS = SessionLimits(ChunkLimits(max_message_size=8192, max_buffered_bytes=16384), 4096)
HANDSHAKE = b"\x03" + bytes(2 * PACKET_SIZE)
"""What either side sends, in the simple form."""


class EagerClientSession(RtmpClientSession):
    """Plays as soon as it is connected, without waiting for its embedder."""

    def _on_connected(self, answer: Command) -> None:
        super()._on_connected(answer)
        if self.activity is ClientActivity.NONE:
            self.play("room")


def _server_session() -> Session:
    return RtmpServerSession(LIMITS, ServerHandshake(bytes))


def _shaken_server_session() -> Session:
    session = _server_session()
    session.receive_data(HANDSHAKE)
    return session


def _shaken_client_session() -> Session:
    session = EagerClientSession("live", "rtmp://host/live", LIMITS, ClientHandshake(None, bytes))
    session.receive_data(HANDSHAKE)
    return session


_TARGETS: tuple[Callable[[], Session], ...] = (
    _server_session,
    _shaken_server_session,
    _shaken_client_session,
)


def _describe(event: Event) -> str:
    if isinstance(event, AudioReceived | VideoReceived):
        return f"{event!r} {event.body!r}"
    return repr(event)


def _feed(session: Session, pieces: list[bytes]) -> list[str]:
    events: list[str] = []
    for piece in pieces:
        for event in session.receive_data(piece):
            events.append(_describe(event))
            if isinstance(session, RtmpServerSession) and isinstance(event, PublishRequested | PlayRequested):
                session.accept(event)
            if isinstance(event, ProtocolViolated):
                assert session.receive_data(piece) == []
        session.data_to_send()
    assert session._reader.buffered_bytes <= LIMITS.chunks.max_buffered_bytes + 18
    return events


def test_one_input(data: bytes) -> None:
    if len(data) < 2:
        return
    make_session = _TARGETS[data[0] % len(_TARGETS)]
    size, wire = 1 + data[1], data[2:]
    pieces = [wire[i : i + size] for i in range(0, len(wire), size)]
    assert _feed(make_session(), pieces) == _feed(make_session(), [wire])


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
