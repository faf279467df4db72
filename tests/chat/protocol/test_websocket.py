import base64
import sys
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri
from websockets.utils import accept_key as accept_key_of_peer

from chat.errors import ProtocolError
from chat.protocol import websocket
from chat.protocol.websocket import (
    MAX_CONTROL_BYTES,
    BytesReceived,
    CloseReceived,
    MessageParser,
    PingReceived,
    PongReceived,
    TextReceived,
    WebSocketEvent,
)
from tests.chat.protocol.websocket_cases import (
    CASES,
    INCOMPLETE,
    MALFORMED,
    MAX_MESSAGE_BYTES,
    MalformedCase,
    WireCase,
    hexed,
    masked,
    sent,
)

SMALL_ENOUGH_TO_CUT_UP = 4096


def read(pieces: list[bytes]) -> tuple[list[WebSocketEvent], ProtocolError | None]:
    """Feed ``pieces`` to a fresh parser; return what it told and what stopped it."""
    parser = MessageParser(MAX_MESSAGE_BYTES)
    events: list[WebSocketEvent] = []
    try:
        for piece in pieces:
            events += parser.feed(piece)
    except ProtocolError as error:
        return events, error
    return events, None


def one_by_one(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    return [data[start:end] for start, end in pairwise((0, *sorted(places), len(data)))]


@st.composite
def cut_up(draw: st.DrawFn, wires: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    wire = draw(wires)
    return wire, cut(wire, draw(st.lists(st.integers(0, len(wire)), max_size=12)))


@pytest.mark.parametrize("case", (*CASES, *INCOMPLETE), ids=lambda case: case.name)
def test_reads(case: WireCase) -> None:
    assert read([case.wire]) == (list(case.events), None)


@pytest.mark.parametrize("case", (*CASES, *INCOMPLETE), ids=lambda case: case.name)
def test_reads_byte_by_byte(case: WireCase) -> None:
    assert read(one_by_one(case.wire)) == (list(case.events), None)


@pytest.mark.parametrize("case", MALFORMED, ids=lambda case: case.name)
def test_refuses(case: MalformedCase) -> None:
    _, error = read([case.wire])
    assert error is not None
    assert (error.close_code, case.reason in error.reason) == (case.close_code, True)


@pytest.mark.parametrize("case", MALFORMED, ids=lambda case: case.name)
def test_refuses_byte_by_byte(case: MalformedCase) -> None:
    events, error = read(one_by_one(case.wire))
    assert error is not None
    assert (error.close_code, case.reason in error.reason) == (case.close_code, True)
    assert len(events) == case.events_before


@pytest.mark.parametrize("case", MALFORMED, ids=lambda case: case.name)
def test_reads_nothing_after_a_fault(case: MalformedCase) -> None:
    parser = MessageParser(MAX_MESSAGE_BYTES)
    with pytest.raises(ProtocolError):
        parser.feed(case.wire)
    assert parser.is_over
    assert parser.feed(sent(0x81, b"Hello")) == []
    assert parser.buffered_bytes == 0


def test_reads_nothing_after_a_close() -> None:
    parser = MessageParser(MAX_MESSAGE_BYTES)
    assert parser.feed(sent(0x01, b"a") + sent(0x88)) == [CloseReceived(None, "")]
    assert parser.is_over
    assert parser.feed(sent(0x81, b"Hello")) == []
    assert parser.buffered_bytes == 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_holds_nothing_when_all_is_told(case: WireCase) -> None:
    parser = MessageParser(MAX_MESSAGE_BYTES)
    parser.feed(case.wire)
    assert parser.buffered_bytes == 0


def test_a_length_that_is_too_big_is_refused_before_its_payload() -> None:
    with pytest.raises(ProtocolError) as caught:
        MessageParser(1000).feed(hexed("82fe 03e9"))
    assert caught.value.close_code == 1009


def test_a_promised_length_costs_nothing() -> None:
    parser = MessageParser(MAX_MESSAGE_BYTES)
    parser.feed(hexed("82fe fff0 00000000") + b"only this")
    assert parser.buffered_bytes == 8 + len(b"only this")


def test_control_frames_do_not_count_towards_the_maximum() -> None:
    assert MessageParser(1).feed(sent(0x89, b"p" * 125)) == [PingReceived(b"p" * 125)]


def test_an_idle_parser_is_small() -> None:
    parser = MessageParser(MAX_MESSAGE_BYTES)
    parser.feed(sent(0x82, bytes(60_000)))
    parser.feed(sent(0x01, bytes(60_000)) + sent(0x80))
    assert not hasattr(parser, "__dict__")
    held = sum(sys.getsizeof(getattr(parser, name)) for name in MessageParser.__slots__)
    assert sys.getsizeof(parser) + held < 500


@given(
    cut_up(st.sampled_from([c.wire for c in (*CASES, *MALFORMED) if len(c.wire) < SMALL_ENOUGH_TO_CUT_UP]))
)
def test_the_cut_does_not_matter_to_cases(case: tuple[bytes, list[bytes]]) -> None:
    assert_same_however_cut(*case)


@given(cut_up(st.binary(max_size=200)))
def test_the_cut_does_not_matter_to_any_bytes(case: tuple[bytes, list[bytes]]) -> None:
    assert_same_however_cut(*case)


def assert_same_however_cut(wire: bytes, pieces: list[bytes]) -> None:
    events, error = read([wire])
    cut_events, cut_error = read(pieces)
    assert repr(cut_error) == repr(error)
    if error is None:
        assert cut_events == events
    by_byte, _ = read(one_by_one(wire))
    assert by_byte[: len(cut_events)] == cut_events


Message = str | bytes
messages = st.one_of(
    st.text(max_size=40),
    st.binary(max_size=40),
    st.builds(
        lambda size, byte: bytes((byte,)) * size,
        st.sampled_from((125, 126, 127, 65535, 65536)),
        st.integers(0, 255),
    ),
)
controls = st.builds(
    Frame, st.sampled_from((Opcode.PING, Opcode.PONG)), st.binary(max_size=MAX_CONTROL_BYTES)
)


def frames_of(message: Message, places: list[int]) -> list[Frame]:
    payload = message.encode() if isinstance(message, str) else message
    pieces = cut(payload, [place % (len(payload) + 1) for place in places])
    first = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
    return [
        Frame(first if i == 0 else Opcode.CONT, piece, fin=i == len(pieces) - 1)
        for i, piece in enumerate(pieces)
    ]


def event_of(frame_or_message: Frame | Message) -> WebSocketEvent:
    match frame_or_message:
        case str(text):
            return TextReceived(text)
        case bytes(data):
            return BytesReceived(data)
        case Frame(opcode=Opcode.PING, data=data):
            return PingReceived(bytes(data))
        case Frame(data=data):
            return PongReceived(bytes(data))


@given(st.lists(st.tuples(messages, st.lists(st.integers(0, 1 << 16), max_size=5)), max_size=4), st.data())
def test_reads_messages_of_a_peer_in_fragments_between_pings(
    written: list[tuple[Message, list[int]]], data: st.DataObject
) -> None:
    wire, expected = b"", []
    for message, places in written:
        for frame in frames_of(message, places):
            for control in data.draw(st.lists(controls, max_size=2)):
                wire += control.serialize(mask=True)
                expected.append(event_of(control))
            wire += frame.serialize(mask=True)
        expected.append(event_of(message))
    pieces = cut(wire, data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    assert read(pieces) == (expected, None)


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_unmasks_any_payload_under_any_key(payload: bytes, key: bytes) -> None:
    covered = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
    header = sent(0x82, payload)[: -len(masked(payload))]
    assert read([header + key + covered]) == ([BytesReceived(payload)], None)


def open_client() -> ClientProtocol:
    return ClientProtocol(parse_uri("ws://localhost/ws"), state=State.OPEN, max_size=1 << 20)


def received_by_peer(wire: bytes) -> list[Frame]:
    client = open_client()
    client.receive_data(wire)
    if client.parser_exc is not None:
        raise client.parser_exc
    return [event for event in client.events_received() if isinstance(event, Frame)]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 70_000])
def test_a_peer_reads_messages_of_any_length(size: int) -> None:
    text, data = b"t" * size, bytes(size)
    assert received_by_peer(websocket.text_frame(text)) == [Frame(Opcode.TEXT, text)]
    assert received_by_peer(websocket.binary_frame(data)) == [Frame(Opcode.BINARY, data)]


def test_a_peer_reads_frames_that_were_joined() -> None:
    wire = websocket.text_frame("é".encode()) + websocket.ping_frame(b"?") + websocket.binary_frame(b"b")
    assert received_by_peer(wire) == [
        Frame(Opcode.TEXT, "é".encode()),
        Frame(Opcode.PING, b"?"),
        Frame(Opcode.BINARY, b"b"),
    ]


@pytest.mark.parametrize("data", [b"", b"25", b"p" * MAX_CONTROL_BYTES])
def test_a_peer_answers_pings_and_reads_pongs(data: bytes) -> None:
    client = open_client()
    client.receive_data(websocket.ping_frame(data))
    assert read(client.data_to_send()) == ([PongReceived(data)], None)
    assert received_by_peer(websocket.pong_frame(data)) == [Frame(Opcode.PONG, data)]


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1009, 3000, 3008, 4429])
def test_a_peer_closes_as_it_is_told(code: int) -> None:
    client = open_client()
    client.receive_data(websocket.close_frame(code, "because €"))
    assert client.close_rcvd == Close(code, "because €")
    assert read(client.data_to_send()) == ([CloseReceived(code, "because €")], None)


def test_a_peer_closes_without_a_code() -> None:
    client = open_client()
    client.receive_data(websocket.close_frame(None))
    assert client.close_rcvd == Close(1005, "")
    assert read(client.data_to_send()) == ([CloseReceived(None, "")], None)


@pytest.mark.parametrize("reason", ["x" * 200, "€" * 60, "a" + "🎈" * 40, "\ud800"])
def test_a_reason_is_made_to_fit(reason: str) -> None:
    [frame] = received_by_peer(websocket.close_frame(1002, reason))
    assert len(frame.data) <= MAX_CONTROL_BYTES
    given_reason = bytes(frame.data)[2:].decode()
    assert given_reason == "?" or (len(given_reason) >= 30 and reason.startswith(given_reason))


@pytest.mark.parametrize("make", [websocket.ping_frame, websocket.pong_frame])
def test_control_frames_that_are_too_long_are_not_made(make: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ValueError, match="125"):
        make(bytes(126))


def test_a_peer_does_what_it_would_over_a_network() -> None:
    client = open_client()
    client.send_text("žluť".encode())
    client.send_binary(bytes(300), fin=False)
    client.send_ping(b"here")
    client.send_continuation(b"end", fin=True)
    client.send_close(1000, "bye")
    assert read(client.data_to_send()) == (
        [
            TextReceived("žluť"),
            PingReceived(b"here"),
            BytesReceived(bytes(300) + b"end"),
            CloseReceived(1000, "bye"),
        ],
        None,
    )
    with pytest.raises(InvalidState):
        client.send_text(b"after the end")


def test_accept_key_of_the_rfc() -> None:
    assert websocket.accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@given(st.binary(min_size=16, max_size=16))
def test_accept_key_as_a_peer_computes_it(nonce: bytes) -> None:
    key = base64.b64encode(nonce).decode()
    assert websocket.accept_key(key) == accept_key_of_peer(key)
