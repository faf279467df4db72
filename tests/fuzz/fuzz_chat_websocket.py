"""WebSocket framing: any bytes are the same events however they are cut, or raise ProtocolError.

The first byte of an input says how the rest is cut.

Run: python tests/fuzz/fuzz_chat_websocket.py [libFuzzer options] folder...
"""

import sys

import atheris

with atheris.instrument_imports():
    from chat.errors import ProtocolError
    from chat.protocol.websocket import CloseReceived, MessageParser, WebSocketEvent

MAX_MESSAGE_BYTES = 1024
LONGEST_HEADER = 14


def _feed(pieces: list[bytes]) -> tuple[list[WebSocketEvent], str | None]:
    parser = MessageParser(MAX_MESSAGE_BYTES)
    events: list[WebSocketEvent] = []
    for piece in pieces:
        try:
            events += parser.feed(piece)
        except ProtocolError as error:
            assert parser.is_over and parser.feed(piece) == []
            return events, repr(error)
        assert parser.buffered_bytes <= MAX_MESSAGE_BYTES + LONGEST_HEADER
    assert all(not isinstance(event, CloseReceived) for event in events[:-1])
    return events, None


def test_one_input(data: bytes) -> None:
    if len(data) < 2:
        return
    size, wire = 1 + data[0], data[1:]
    cut_events, cut_error = _feed([wire[i : i + size] for i in range(0, len(wire), size)])
    events, error = _feed([wire])
    assert cut_error == error
    if error is None:
        assert cut_events == events


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
