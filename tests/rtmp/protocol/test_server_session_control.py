"""Everything around publishing and playing: other commands, control messages, limits, any segmentation."""

from hypothesis import given
from hypothesis import strategies as st

from rtmp.protocol import amf0
from rtmp.protocol.chunks import ChunkLimits, serialize_message
from rtmp.protocol.errors import LimitExceededError
from rtmp.protocol.events import (
    Event,
)
from rtmp.protocol.messages import MessageType
from rtmp.protocol.server_session import RtmpServerSession
from rtmp.protocol.session import SessionLimits
from tests.rtmp.protocol.dialogue import (
    CONNECT,
    CREATE_STREAM,
    HANDSHAKE,
    PUBLISH,
    Dialogue,
    command_bytes,
    connected,
    information,
    media_bytes,
    names,
    publishing,
    violation,
)
from tests.rtmp.protocol.segments import segments

AUDIO, VIDEO = MessageType.AUDIO, MessageType.VIDEO
METADATA = amf0.encode("@setDataFrame", "onMetaData", amf0.EcmaArray(width=640.0))


# Other commands.


def test_get_stream_length_and_unknown_commands() -> None:
    dialogue = connected()
    dialogue.say(
        command_bytes("getStreamLength", 7, "room"), command_bytes("dance", 8), command_bytes("hum", 0)
    )
    length, unknown = dialogue.commands()
    assert (length.name, length.transaction_id, length.arguments) == ("_result", 7, (0.0,))
    assert (unknown.name, unknown.transaction_id) == ("_error", 8)
    assert information(unknown)["code"] == "NetConnection.Call.Failed"


def test_answers_and_notices_get_no_answer() -> None:
    dialogue = connected()
    dialogue.say(*(command_bytes(name, 9) for name in ("_result", "_error", "onStatus", "receiveAudio")))
    assert dialogue.replies == []


def test_streams_count_up_from_1_and_are_limited() -> None:
    dialogue = Dialogue(SessionLimits(max_message_streams=3))
    dialogue.say(CONNECT, *(command_bytes("createStream", i) for i in range(2, 6)))
    answers = dialogue.commands()[1:]
    assert [a.arguments[0] for a in answers[:3]] == [1.0, 2.0, 3.0]
    assert answers[3].name == "_error"
    dialogue.say(command_bytes("deleteStream", 0, 2), command_bytes("createStream", 9))
    assert dialogue.commands()[-1].arguments == (4.0,)


# Control.


def test_acknowledges_at_the_peers_window() -> None:
    dialogue = publishing()
    dialogue.say(serialize_message(2, 0, 5, 0, (1000).to_bytes(4, "big"), 128))
    dialogue.replies.clear()
    before = dialogue.session.bytes_received
    while not dialogue.replies:
        dialogue.say(media_bytes(AUDIO, 0, b"a" * 50))
    received = dialogue.session.bytes_received
    assert dialogue.replies == [(3, 0, received.to_bytes(4, "big"))]
    dialogue.say(media_bytes(AUDIO, 0, b"a" * 50))
    assert len(dialogue.replies) == 1
    assert received - before < 1000 + 100 + 4000


def test_no_window_no_acknowledgement() -> None:
    dialogue = publishing()
    dialogue.say(*(media_bytes(VIDEO, 0, bytes(100_000)) for _ in range(30)))
    assert dialogue.replies == []


def test_answers_pings_and_bandwidth() -> None:
    dialogue = connected()
    dialogue.say(
        serialize_message(2, 0, 4, 0, bytes.fromhex("0006 01020304"), 128),
        serialize_message(2, 0, 4, 0, bytes.fromhex("0003 00000001 00000bb8"), 128),
        serialize_message(2, 0, 4, 0, bytes.fromhex("0063"), 128),
        serialize_message(2, 0, 6, 0, bytes.fromhex("002625a0 02"), 128),
        serialize_message(2, 0, 6, 0, bytes.fromhex("00001000 02"), 128),
        serialize_message(2, 0, 3, 0, bytes.fromhex("00001000"), 128),
    )
    assert dialogue.control() == [(4, bytes.fromhex("0007 01020304")), (5, bytes.fromhex("00001000"))]


def test_pings_the_peer() -> None:
    dialogue = connected()
    dialogue.session.send_ping(0x01020304)
    dialogue.collect()
    assert dialogue.control() == [(4, bytes.fromhex("0006 01020304"))]


def test_reconnect_request_only_for_those_who_announced_it() -> None:
    assert not publishing().session.request_reconnect("bye")
    dialogue = publishing(capsEx=1)
    assert dialogue.session.request_reconnect("bye")
    dialogue.collect()
    [(type_id, message_stream_id, _)] = dialogue.replies
    assert (type_id, message_stream_id) == (20, 0)
    assert information(dialogue.commands()[0]) == {
        "level": "status",
        "code": "NetConnection.Connect.ReconnectRequest",
        "description": "bye",
    }


# Limits.


def test_only_so_many_bytes_without_a_publish() -> None:
    dialogue = connected(SessionLimits(max_bytes_before_request=2000))
    events = dialogue.say(*[command_bytes("_checkbw", 0)] * 200)
    assert type(violation(events)) is LimitExceededError
    assert "more than 2000 bytes of messages without a publish or play" in str(violation(events))


def test_media_without_publish_counts_too() -> None:
    dialogue = connected()
    assert names(dialogue.say(media_bytes(VIDEO, 0, bytes(100_000)))) == ["ProtocolViolated"]


def test_a_message_is_refused_by_its_header_before_a_publish() -> None:
    events = connected().say(bytes.fromhex("06 000000 010001 09 01000000"))
    assert "message length 65537 is over the limit of 65536" in str(violation(events))


def test_messages_without_an_end_share_the_limit_before_a_publish() -> None:
    dialogue = connected()
    begun = [
        serialize_message(n, 0, VIDEO, 1, bytes(30_000), 128)[: 12 + 129 * 100 - 1] for n in range(10, 16)
    ]
    assert dialogue.say(*begun[:5]) == []
    assert "unfinished messages are over the limit of 65536" in str(violation(dialogue.say(begun[5])))


def test_publishing_lifts_the_limit_and_its_end_restores_it() -> None:
    dialogue = publishing()
    assert names(dialogue.say(media_bytes(VIDEO, 0, bytes(1_000_000)))) == ["VideoReceived"]
    end = command_bytes("closeStream", 0, message_stream_id=1)
    assert names(dialogue.say(end, media_bytes(VIDEO, 0, bytes(60_000)))) == ["PublishEnded"]
    assert names(dialogue.say(media_bytes(VIDEO, 0, bytes(6_000)))) == ["ProtocolViolated"]


def test_chunk_limits_are_the_sessions() -> None:
    dialogue = connected(SessionLimits(ChunkLimits(max_message_size=100)))
    assert "message length 101" in str(violation(dialogue.say(media_bytes(VIDEO, 0, bytes(101)))))


# Segmentation.

CONVERSATION = (
    HANDSHAKE,
    CONNECT,
    CREATE_STREAM,
    PUBLISH,
    serialize_message(5, 0, 18, 1, METADATA, 128),
    media_bytes(VIDEO, 0xFFFFFF, b"v" * 1000),
    media_bytes(AUDIO, 0x1000000, b"a" * 200),
    command_bytes("FCUnpublish", 9, "key"),
    command_bytes("deleteStream", 10, 1),
)


TAILS = {
    "nothing": b"",
    "a bad chunk": b"\xbf\x00\x00\x00",
    "an unknown stream": PUBLISH,
    "media without a publish": media_bytes(VIDEO, 0, bytes(3000)) * 2,
    "a message over the limit": media_bytes(VIDEO, 0, bytes(5000)),
}


def hold(pieces: list[bytes]) -> tuple[list[Event], bytes]:
    session = RtmpServerSession(SessionLimits(max_bytes_before_request=4000))
    events: list[Event] = []
    sent = b""
    for piece in pieces:
        events += session.receive_data(piece)
        sent += session.data_to_send()
    return events, sent[1 + 2 * 1536 :]


@given(st.data())
def test_the_same_events_and_answers_however_cut(data: st.DataObject) -> None:
    tail = data.draw(st.sampled_from(sorted(TAILS)))
    wire = b"".join(CONVERSATION) + TAILS[tail]
    expected = hold([wire])
    assert names(expected[0])[:6] == [
        "ClientConnected",
        "PublishRequested",
        "MetadataReceived",
        "VideoReceived",
        "AudioReceived",
        "PublishEnded",
    ]
    assert repr(hold(data.draw(segments(wire)))) == repr(expected)
