import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmp.protocol import amf0, replies
from rtmp.protocol.chunks import serialize_message
from rtmp.protocol.client_session import ClientActivity, RtmpClientSession
from rtmp.protocol.errors import LocalProtocolError, MessageError
from rtmp.protocol.events import (
    AudioReceived,
    ConnectAccepted,
    Event,
    MetadataReceived,
    PlayStarted,
    ProtocolViolated,
    PublishEnded,
    PublishRequested,
    PublishStarted,
    ReconnectRequested,
    RequestRefused,
    StreamEnded,
    VideoReceived,
)
from rtmp.protocol.messages import Command, MessageType, serialize_command
from rtmp.protocol.server_session import RtmpServerSession
from rtmp.protocol.session import SessionState
from tests.rtmp.protocol.dialogue import names
from tests.rtmp.protocol.segments import segments


class Pair:
    """A client and a server session, linked; ``server_events`` and ``client_events`` grow."""

    def __init__(self, app: str = "live", tc_url: str = "rtmp://host/live") -> None:
        self.client = RtmpClientSession(app, tc_url)
        self.server = RtmpServerSession()
        self.client_events: list[Event] = []
        self.server_events: list[Event] = []

    def run(self) -> None:
        """Carry bytes both ways until neither side has more to say."""
        while True:
            up, down = self.client.data_to_send(), self.server.data_to_send()
            if not up and not down:
                return
            self.server_events += self.server.receive_data(up)
            self.client_events += self.client.receive_data(down)

    def say(self, command: Command, message_stream_id: int = 1) -> list[Event]:
        """Let the server send ``command``; return what the client makes of it."""
        return self.client.receive_data(
            serialize_message(
                3, 0, MessageType.COMMAND_AMF0, message_stream_id, serialize_command(command), 65536
            )
        )


def connected() -> Pair:
    pair = Pair()
    pair.run()
    return pair


def publishing() -> Pair:
    pair = connected()
    pair.client.publish("key?token=abc")
    pair.run()
    request = pair.server_events[-1]
    assert isinstance(request, PublishRequested)
    pair.server.accept(request)
    pair.run()
    return pair


def playing() -> Pair:
    pair = connected()
    pair.client.play("room")
    pair.run()
    pair.server.accept(pair.server_events[-1])  # type: ignore[arg-type]
    pair.run()
    return pair


def test_connects_by_itself_and_learns_what_the_server_can() -> None:
    pair = connected()
    [accepted] = pair.client_events
    assert isinstance(accepted, ConnectAccepted)
    assert accepted.capabilities.can_reconnect
    assert "av01" in accepted.capabilities.four_ccs
    assert names(pair.server_events) == ["ClientConnected"]
    assert pair.server.capabilities.can_reconnect


def test_publishes_and_stops() -> None:
    pair = publishing()
    assert pair.client_events[-1] == PublishStarted()
    pair.client.send_metadata(0, {"width": 640})
    pair.client.send_video(5, b"v" * 100_000)
    pair.client.send_audio(2**32 + 6, b"a")
    pair.run()
    assert pair.server_events[-3:] == [
        MetadataReceived(0, {"width": 640.0}),
        VideoReceived(5, b"v" * 100_000),
        AudioReceived(6, b"a"),
    ]
    pair.client.stop()
    pair.run()
    assert pair.server_events[-1] == PublishEnded()
    assert names(pair.client_events[-1:]) == ["StreamEnded"]
    with pytest.raises(LocalProtocolError, match="done cannot send media"):
        pair.client.send_audio(0, b"")


def test_plays_until_the_server_says_it_is_over() -> None:
    pair = playing()
    assert pair.client_events[-1] == PlayStarted()
    media = [serialize_message(6, 7, 9, 1, b"v", 65536), serialize_message(5, 0, 18, 1, METADATA, 65536)]
    assert pair.client.receive_data(b"".join(media)) == [
        VideoReceived(7, b"v"),
        MetadataReceived(0, {"a": 1.0}),
    ]
    pair.server.end("NetStream.Play.UnpublishNotify", "Over.")
    pair.run()
    assert names(pair.client_events).count("StreamEnded") == 1


METADATA = amf0.encode("onMetaData", {"a": 1.0})


@pytest.mark.parametrize("ask", [RtmpClientSession.publish, RtmpClientSession.play])
def test_a_refusal_is_told_once(ask: object) -> None:
    pair = connected()
    ask(pair.client, "wrong")  # type: ignore[operator]
    pair.run()
    request = pair.server_events[-1]
    pair.server.refuse(request, "NetStream.Publish.BadName", "No such key.")  # type: ignore[arg-type]
    pair.run()
    assert pair.client_events[-1] == RequestRefused("NetStream.Publish.BadName", "No such key.")
    assert pair.say(replies.on_status("error", "NetStream.Publish.Failed", "")) == []


def test_takeover_is_told_as_a_refusal() -> None:
    pair = publishing()
    pair.server.end("NetStream.Publish.BadName", "Taken over.")
    pair.run()
    assert pair.client_events[-1] == RequestRefused("NetStream.Publish.BadName", "Taken over.")
    assert pair.client.activity is ClientActivity.ENDED


def test_refused_connect() -> None:
    pair = Pair()
    pair.server.receive_data(pair.client.data_to_send())
    pair.client.receive_data(pair.server.data_to_send())
    call = Command("connect", 1, None)
    refusal = replies.error(call, "NetConnection.Connect.Rejected", "Go away.")
    wire = serialize_message(3, 0, 20, 0, serialize_command(refusal), 128)
    # The echo S2 came with S0 and S1, so the client is waiting for the answer to connect.
    assert pair.client.receive_data(wire) == [RequestRefused("NetConnection.Connect.Rejected", "Go away.")]


def test_errors_for_courtesy_calls_are_ignored() -> None:
    pair = connected()
    pair.client.publish("key")
    assert (
        pair.say(replies.error(Command("releaseStream", 2, None), "NetConnection.Call.Failed", ""), 0) == []
    )
    pair.run()
    assert names(pair.server_events[-1:]) == ["PublishRequested"]


def test_reconnect_requests_with_and_without_a_target() -> None:
    pair = publishing()
    assert pair.server.request_reconnect("Maintenance.")
    pair.run()
    assert pair.client_events[-1] == ReconnectRequested(None, "Maintenance.")
    status = Command("onStatus", 0, None, ({"code": replies.RECONNECT_REQUEST, "tcUrl": "rtmp://b/live"},))
    assert pair.say(status, 0) == [ReconnectRequested("rtmp://b/live", "")]
    assert pair.client.activity is ClientActivity.PUBLISHING


@pytest.mark.parametrize(
    "code", ["NetStream.Play.Stop", "NetStream.Play.Complete", "NetConnection.Connect.Closed"]
)
def test_codes_that_end_a_stream(code: str) -> None:
    pair = playing()
    assert pair.say(replies.on_status("status", code, "x")) == [StreamEnded(code, "x")]


def test_statuses_that_mean_nothing() -> None:
    pair = playing()
    for command in (
        replies.on_status("status", "NetStream.Play.PublishNotify", ""),
        replies.on_status("status", "NetStream.Publish.Start", ""),
        Command("onStatus", 0, None),
        Command("onStatus", 0, None, (5.0,)),
        Command("onBWDone", 0, None),
        Command("_result", 77, None),
    ):
        assert pair.say(command) == []


@pytest.mark.parametrize("answer", [None, "1", -1.0, 1e20, float("nan")])
def test_a_senseless_stream_id_is_a_violation(answer: object) -> None:
    pair = connected()
    pair.client.play("room")
    [event] = pair.say(Command("_result", 2, None, (answer,)), 0)
    assert isinstance(event, ProtocolViolated)
    assert isinstance(event.error, MessageError)


def test_calls_out_of_order_are_our_own_fault() -> None:
    client = RtmpClientSession("live", "rtmp://host/live")
    with pytest.raises(LocalProtocolError, match="not connected"):
        client.publish("key")
    pair = publishing()
    with pytest.raises(LocalProtocolError, match="publishing cannot be asking to play"):
        pair.client.play("room")
    with pytest.raises(LocalProtocolError, match="idle cannot send media"):
        connected().client.send_video(0, b"")


def test_a_wrong_version_closes() -> None:
    client = RtmpClientSession("live", "rtmp://host/live")
    assert names(client.receive_data(b"HTTP/1.1 400")) == ["ProtocolViolated"]
    assert client.state is SessionState.CLOSED


@given(st.data())
def test_the_same_events_however_cut(data: st.DataObject) -> None:
    """What a server sent in one conversation gives the same events in any segments."""
    server = RtmpServerSession()
    first = RtmpClientSession("live", "rtmp://host/live")
    server.receive_data(first.data_to_send())
    handshake = server.data_to_send()
    first.receive_data(handshake)
    server.receive_data(first.data_to_send())
    wire = server.data_to_send() + serialize_message(6, 0, 9, 0, b"v", 65536)
    wire += serialize_message(3, 0, 20, 0, serialize_command(replies.on_status("error", "x", "y")), 65536)
    again = RtmpClientSession("live", "rtmp://host/live")
    again.receive_data(handshake)
    events: list[Event] = []
    for piece in data.draw(segments(wire)):
        events += again.receive_data(piece)
    assert events == first.receive_data(wire)
    assert names(events) == ["ConnectAccepted", "VideoReceived", "RequestRefused"][::2]
