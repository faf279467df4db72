"""What the chat's bench makes of bytes, held against the server's own encoding."""

from datetime import UTC, datetime
from uuid import uuid4

import msgspec
import pytest

from bench.chat_load.frames import ChunkReader, join_frame, message_frame, message_text, parse, shown_frame
from bench.viewers.http1 import ResponseError
from chat.bodies import message_body
from chat.protocol.frames import (
    MAX_FRAME_BYTES,
    Ack,
    ChatMessage,
    Encoding,
    JoinRoom,
    Outgoing,
    decode,
    encode_once,
)
from chat.protocol.websocket import BytesReceived, MessageParser, close_frame, ping_frame
from storage.ids import new_id
from storage.repositories.chat_log import NewMessage


def shown(offset: int, text: str) -> bytes:
    now = datetime.now(UTC)
    message = NewMessage(new_id(), uuid4(), uuid4(), "ben", "Ben", None, text, None, (), now)
    return Outgoing("new-message", message_body(offset, message)).wire(Encoding.MSGPACK)


def said(frame: bytes) -> bytes:
    """The payload, as the server reads it."""
    (event,) = MessageParser(MAX_FRAME_BYTES).feed(frame)
    assert isinstance(event, BytesReceived)
    return event.data


def test_messages_are_counted_with_their_send_times():
    data = b"".join(shown(offset, message_text(1000 + offset, 1, 2, 100)) for offset in (7, 8, 300))
    chunk = parse(data)
    assert (list(chunk.offsets), list(chunk.stamps)) == ([7, 8, 300], [1007, 1008, 1300])
    assert (chunk.first, chunk.last) == (-1, -1)
    assert chunk.end == len(data)


def test_messages_without_gaps_are_told_by_the_first_and_the_last():
    chunk = parse(shown(70_000, "x") + shown(70_001, "y"))
    assert (chunk.first, chunk.last, list(chunk.stamps)) == (70_000, 70_001, [0, 0])


@pytest.mark.parametrize("text", ["short", "long " * 90])
def test_bytes_cut_anywhere_leave_the_rest(text: str):
    first, second = shown(1, text), shown(2, text)
    for cut in range(len(second)):
        chunk = parse(first + second[:cut])
        assert (list(chunk.offsets), chunk.end) == ([1], len(first))


def test_other_frames_are_told_apart():
    ack = encode_once(Encoding.MSGPACK, "ack", Ack(uuid4(), uuid4(), 5), 1)
    chunk = parse(ack + ping_frame(b"p") + close_frame(3008, "too slow"))
    assert [(frame.t, frame.d.offset) for frame in chunk.frames] == [("ack", 5)]
    assert [opcode for opcode, _ in chunk.controls] == [9, 8]


@pytest.mark.parametrize("data", [b"\x82\x81\0\0\0\0x", b"\x02\x01\x80", b"\x82\x01\xff"])
def test_what_is_no_frame_of_the_chat_is_an_error(data: bytes):
    with pytest.raises(ResponseError):
        parse(data)


def test_what_many_are_sent_is_parsed_once():
    reader, data = ChunkReader(), shown(1, "x")
    assert reader.read(data) is reader.read(bytes(bytearray(data)))


def test_the_server_understands_what_clients_say():
    room = uuid4()
    assert decode(Encoding.MSGPACK, said(join_frame(room))).body == JoinRoom(str(room))
    text = message_text(5, 3, 4, 500)
    incoming = decode(Encoding.MSGPACK, said(message_frame(room, text, 9)))
    assert (incoming.body, incoming.id) == (ChatMessage(room, text), 9)


def test_a_broadcast_is_given_what_our_server_would_show():
    text = message_text(5, 3, 4, 100)
    ours = msgspec.msgpack.decode(shown(0x7FFFFFFF, text)[4:])
    theirs = msgspec.msgpack.decode(said(shown_frame(uuid4(), 3, text)))
    assert list(theirs["d"]) == list(ours["d"])
    assert theirs["d"]["message"] == text


@pytest.mark.parametrize("size", [60, 100, 500])
def test_messages_have_the_length_asked_for_and_differ(size: int):
    texts = [message_text(10**15, client, number, size) for client in range(3) for number in range(3)]
    assert {len(text) for text in texts} == {size}
    assert len(set(texts)) == 9
