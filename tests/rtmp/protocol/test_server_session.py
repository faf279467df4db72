import pytest

from rtmp.protocol import amf0
from rtmp.protocol.capabilities import Capabilities, CapsEx
from rtmp.protocol.chunks import serialize_message
from rtmp.protocol.errors import AmfError, ChunkError, HandshakeError, MessageError
from rtmp.protocol.events import (
    AudioReceived,
    ClientConnected,
    MetadataReceived,
    PlayEnded,
    PlayRequested,
    PublishEnded,
    PublishRequested,
    VideoReceived,
)
from rtmp.protocol.messages import MessageType
from rtmp.protocol.session import OUTGOING_CHUNK_SIZE, SessionState
from tests.rtmp.protocol.dialogue import (
    CONNECT,
    CREATE_STREAM,
    PLAY,
    PUBLISH,
    Dialogue,
    command_bytes,
    connect_bytes,
    connected,
    information,
    media_bytes,
    names,
    publishing,
    violation,
)
from tests.rtmp.protocol.test_messages import aggregated

AUDIO, VIDEO = MessageType.AUDIO, MessageType.VIDEO
METADATA = amf0.encode("@setDataFrame", "onMetaData", amf0.EcmaArray(width=640.0))


# Connect.


def test_connect_is_answered_with_windows_chunk_size_and_capabilities() -> None:
    dialogue = Dialogue()
    events = dialogue.say(connect_bytes(flashVer="FMLE/3.0", capsEx=1, fourCcList=["*"]))
    assert events == [ClientConnected("live", "FMLE/3.0", Capabilities(frozenset({"*"}), CapsEx.RECONNECT))]
    assert dialogue.control() == [
        (5, (2_500_000).to_bytes(4, "big")),
        (6, (2_500_000).to_bytes(4, "big") + b"\x02"),
        (1, OUTGOING_CHUNK_SIZE.to_bytes(4, "big")),
    ]
    [result] = dialogue.commands()
    assert (result.name, result.transaction_id) == ("_result", 1)
    answer = information(result)
    assert answer["code"] == "NetConnection.Connect.Success"
    assert answer["objectEncoding"] == 0
    assert answer["capsEx"] == float(CapsEx.RECONNECT | CapsEx.MULTITRACK | CapsEx.MOD_EX)
    assert {"fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap"} <= answer.keys()


def test_connect_with_an_ecma_array_and_set_chunk_size_before_it() -> None:
    dialogue = Dialogue()
    set_chunk_size = serialize_message(2, 0, 1, 0, (4096).to_bytes(4, "big"), 128)
    payload = amf0.encode("connect", 1, amf0.EcmaArray(app="live", tcUrl="x" * 500))
    events = dialogue.say(set_chunk_size, serialize_message(3, 0, 20, 0, payload, 4096))
    assert names(events) == ["ClientConnected"]


def test_connect_in_an_amf3_message() -> None:
    dialogue = Dialogue()
    assert names(dialogue.say(command_bytes("connect", 1, command_object={"app": "a"}, amf3=True))) == [
        "ClientConnected"
    ]


@pytest.mark.parametrize(
    ("message", "error", "text"),
    [
        (PUBLISH, MessageError, "command 'publish' before connect"),
        (CREATE_STREAM, MessageError, "command 'createStream' before connect"),
        (command_bytes("x" * 5000), MessageError, "command 'xxxx"),
        (command_bytes("connect", 1), MessageError, "connect without an object"),
        (command_bytes("connect", 1, command_object=["app"]), MessageError, "connect without an object"),
        (serialize_message(3, 0, 20, 0, b"\x02\x00", 128), AmfError, "string length of 2 bytes"),
        (serialize_message(3, 0, 17, 0, b"\x02", 128), MessageError, "format byte 0"),
        (bytes.fromhex("84000000"), ChunkError, "type 2 chunk"),
        (serialize_message(2, 0, 3, 0, b"\x00", 128), MessageError, "Acknowledgement of 1 bytes"),
    ],
)
def test_violations_before_connect(message: bytes, error: type[Exception], text: str) -> None:
    dialogue = Dialogue()
    events = dialogue.say(message)
    assert type(violation(events)) is error
    assert text in str(violation(events))
    assert dialogue.session.state is SessionState.CLOSED
    assert dialogue.say(CONNECT) == []


def test_a_wrong_version_is_told_as_an_event() -> None:
    dialogue = Dialogue(is_shaken=False)
    assert type(violation(dialogue.session.receive_data(b"\x06"))) is HandshakeError


def test_a_second_connect_is_a_violation() -> None:
    assert "a second connect" in str(violation(connected().say(CONNECT)))


# Publishing.


def test_publish_conversation_pipelined_as_obs_does() -> None:
    dialogue = Dialogue()
    dialogue.say(CONNECT)
    dialogue.replies.clear()
    events = dialogue.say(
        command_bytes("releaseStream", 2, "key"),
        command_bytes("FCPublish", 3, "key"),
        command_bytes("createStream", 4),
        command_bytes("_checkbw", 5),
        command_bytes("publish", 6, "key?b=2", "live", message_stream_id=1),
    )
    assert events == [PublishRequested(1, "live", "key", {"b": "2"})]
    assert [(c.name, c.transaction_id) for c in dialogue.commands()] == [
        ("_result", 2),
        ("_result", 3),
        ("onFCPublish", 0),
        ("_result", 4),
        ("_result", 5),
    ]
    assert dialogue.commands()[3].arguments == (1.0,)


def test_secrets_are_not_in_the_representation_of_requests() -> None:
    assert repr(connected().say(PUBLISH)) == "[PublishRequested(message_stream_id=1, app='live')]"
    assert "abc" not in repr(connected().say(PLAY))


def test_accept_sends_stream_begin_and_publish_start() -> None:
    dialogue = connected()
    [request] = dialogue.say(PUBLISH)
    assert request == PublishRequested(1, "live", "key", {"token": "abc"})
    assert dialogue.replies == []
    assert dialogue.session.accept(request)
    dialogue.collect()
    assert dialogue.control() == [(4, bytes.fromhex("0000 00000001"))]
    assert dialogue.status_codes() == ["NetStream.Publish.Start"]
    assert dialogue.replies[-1][1] == 1


def test_media_comes_in_order_from_the_request_on() -> None:
    dialogue = connected()
    events = dialogue.say(
        media_bytes(VIDEO, 1, b"too early"),
        PUBLISH,
        serialize_message(5, 0, 18, 1, METADATA, 128),
        serialize_message(5, 0, 15, 1, b"\x00" + METADATA, 128),
        media_bytes(VIDEO, 10, b"v" * 300),
        media_bytes(AUDIO, 11, b"a"),
        media_bytes(AUDIO, 12, b"", message_stream_id=2),
        serialize_message(5, 0, 18, 1, amf0.encode("onCuePoint", {}), 128),
        serialize_message(7, 0, 99, 1, b"unknown message type", 128),
        serialize_message(7, 0, 19, 1, b"shared object", 128),
    )
    assert events[1:] == [
        MetadataReceived(0, {"width": 640.0}),
        MetadataReceived(0, {"width": 640.0}),
        VideoReceived(10, b"v" * 300),
        AudioReceived(11, b"a"),
    ]


def test_aggregates_are_split() -> None:
    payload = aggregated(9, 5, b"v") + aggregated(8, 7, b"a") + aggregated(18, 8, METADATA)
    events = publishing().say(serialize_message(6, 100, 22, 1, payload, 128))
    assert events == [
        VideoReceived(100, b"v"),
        AudioReceived(102, b"a"),
        MetadataReceived(103, {"width": 640.0}),
    ]


def test_an_aggregate_inside_an_aggregate_is_a_violation() -> None:
    nested = aggregated(22, 0, aggregated(8, 0, b"a"))
    events = publishing().say(serialize_message(6, 0, 22, 1, nested, 128))
    assert "aggregate inside an aggregate" in str(violation(events))


def test_events_before_a_violation_are_told() -> None:
    events = publishing().say(media_bytes(AUDIO, 1, b"a"), bytes.fromhex("bf"))
    assert names(events) == ["AudioReceived"]
    events = publishing().say(media_bytes(AUDIO, 1, b"a"), bytes.fromhex("bf000000"))
    assert names(events) == ["AudioReceived", "ProtocolViolated"]


def test_refusal_is_a_status_and_leaves_the_connection_idle() -> None:
    dialogue = connected()
    [request] = dialogue.say(PUBLISH)
    assert dialogue.session.refuse(request, "NetStream.Publish.BadName", "No such key.")
    assert dialogue.say(media_bytes(VIDEO, 0, b"v")) == []
    [status] = dialogue.commands("onStatus")
    assert information(status) == {
        "level": "error",
        "code": "NetStream.Publish.BadName",
        "description": "No such key.",
    }
    assert names(dialogue.say(PUBLISH)) == ["PublishRequested"]


@pytest.mark.parametrize(
    "goodbye",
    [
        command_bytes("FCUnpublish", 7, "key"),
        command_bytes("deleteStream", 7, 1),
        command_bytes("closeStream", 7, message_stream_id=1),
    ],
)
def test_publish_ends_once_and_may_begin_again(goodbye: bytes) -> None:
    dialogue = publishing()
    assert dialogue.say(goodbye, goodbye, media_bytes(VIDEO, 0, b"late")) == [PublishEnded()]
    assert "NetStream.Unpublish.Success" in dialogue.status_codes()
    again = command_bytes("publish", 9, "key", message_stream_id=2)
    assert names(dialogue.say(command_bytes("createStream", 8), again)) == ["PublishRequested"]


def test_goodbyes_for_other_streams_end_nothing() -> None:
    dialogue = publishing()
    assert (
        dialogue.say(
            command_bytes("deleteStream", 0, 2),
            command_bytes("deleteStream", 0),
            command_bytes("deleteStream", 0, float("nan")),
            command_bytes("closeStream", 0, message_stream_id=7),
        )
        == []
    )


def test_a_withdrawn_request_cannot_be_answered() -> None:
    dialogue = connected()
    first, ended, second = dialogue.say(
        PUBLISH, command_bytes("closeStream", 0, message_stream_id=1), PUBLISH
    )
    assert isinstance(first, PublishRequested)
    assert ended == PublishEnded()
    assert isinstance(second, PublishRequested)
    assert not dialogue.session.accept(first)
    assert not dialogue.session.refuse(first, "NetStream.Publish.BadName", "")
    assert dialogue.session.accept(second)
    assert not dialogue.session.accept(PublishRequested(1, "", "", {}))


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        (command_bytes("publish", 3, "k", message_stream_id=9), "NetStream.Publish.Failed", "no stream 9"),
        (command_bytes("play", 3, "k", message_stream_id=0), "NetStream.Play.Failed", "no stream 0"),
        (PUBLISH, "NetStream.Publish.Failed", "already publishes or plays"),
        (PLAY, "NetStream.Play.Failed", "already publishes or plays"),
        (
            command_bytes("play2", 3, {"streamName": "x"}, message_stream_id=1),
            "NetStream.Play.Failed",
            "already",
        ),
        (command_bytes("seek", 3, 1000, message_stream_id=1), "NetStream.Seek.Failed", "cannot seek"),
        (
            command_bytes("pause", 3, True, 1000, message_stream_id=1),
            "NetStream.Pause.Failed",
            "cannot pause",
        ),
    ],
)
def test_requests_that_cannot_be_met_get_an_error_status(message: bytes, code: str, text: str) -> None:
    dialogue = publishing()
    assert dialogue.say(message) == []
    [status] = dialogue.commands("onStatus")
    assert information(status)["level"] == "error"
    assert information(status)["code"] == code
    assert text in str(information(status)["description"])


# Playing.


def test_accepted_play_gets_what_players_wait_for() -> None:
    dialogue = connected()
    [request] = dialogue.say(PLAY)
    assert request == PlayRequested(1, "live", "room", {"token": "abc"})
    assert dialogue.session.accept(request)
    dialogue.collect()
    assert dialogue.control() == [(4, bytes.fromhex("0000 00000001"))]
    assert dialogue.status_codes() == ["NetStream.Play.Reset", "NetStream.Play.Start"]
    data = [amf0.decode(payload) for type_id, _, payload in dialogue.replies if type_id == 18]
    assert data == [["|RtmpSampleAccess", True, True]]
    assert dialogue.say(command_bytes("deleteStream", 0, 1)) == [PlayEnded()]


def test_play2_names_the_stream_in_an_object() -> None:
    dialogue = connected()
    assert dialogue.say(command_bytes("play2", 0, {"streamName": "room?x=1"}, message_stream_id=1)) == [
        PlayRequested(1, "live", "room", {"x": "1"})
    ]


def test_end_of_play_sends_stream_eof_and_a_status() -> None:
    dialogue = connected()
    [request] = dialogue.say(PLAY)
    dialogue.session.accept(request)
    dialogue.session.end("NetStream.Play.UnpublishNotify", "Over.")
    dialogue.collect()
    assert dialogue.control()[-1] == (4, bytes.fromhex("0001 00000001"))
    assert dialogue.status_codes()[-1] == "NetStream.Play.UnpublishNotify"
    assert dialogue.session.state is SessionState.CLOSED
