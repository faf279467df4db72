"""The client's side of one connection: publish to a server, or play from one.

The handshake and connect go by themselves; after ``ConnectAccepted`` either ``publish`` or ``play`` may be
called, once. The conversation is that of real encoders: releaseStream, FCPublish, createStream, publish.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

from rtmp.protocol import replies
from rtmp.protocol.capabilities import CapsEx, FourCcInfo, parse_capabilities, serialize_capabilities
from rtmp.protocol.errors import LocalProtocolError, MessageError
from rtmp.protocol.events import (
    ConnectAccepted,
    PlayStarted,
    PublishStarted,
    ReconnectRequested,
    RequestRefused,
    StreamEnded,
)
from rtmp.protocol.handshake import ClientHandshake
from rtmp.protocol.messages import (
    ChunkStreamId,
    Command,
    MessageType,
    UserControlType,
    serialize_set_data_frame,
)
from rtmp.protocol.session import WINDOW_SIZE, Session, SessionLimits, SessionState

FLASH_VERSION: Final = "FMLE/3.0 (compatible; mediaserver)"
_LIVE_OR_RECORDED = -2
_END_CODES = frozenset(
    {
        "NetStream.Play.UnpublishNotify",
        "NetStream.Play.Stop",
        "NetStream.Play.Complete",
        "NetStream.Unpublish.Success",
        "NetConnection.Connect.Closed",
        "NetConnection.Connect.AppShutdown",
    }
)


class ClientActivity(Enum):
    NONE = "idle"
    PUBLISH_REQUESTED = "asking to publish"
    PUBLISHING = "publishing"
    PLAY_REQUESTED = "asking to play"
    PLAYING = "playing"
    ENDED = "done"


_MOVES = {
    ClientActivity.NONE: {
        ClientActivity.PUBLISH_REQUESTED,
        ClientActivity.PLAY_REQUESTED,
        ClientActivity.ENDED,
    },
    ClientActivity.PUBLISH_REQUESTED: {ClientActivity.PUBLISHING, ClientActivity.ENDED},
    ClientActivity.PUBLISHING: {ClientActivity.ENDED},
    ClientActivity.PLAY_REQUESTED: {ClientActivity.PLAYING, ClientActivity.ENDED},
    ClientActivity.PLAYING: {ClientActivity.ENDED},
    ClientActivity.ENDED: set(),
}


class RtmpClientSession(Session):
    """See ``Session`` for feeding and draining; the first bytes to send are there from the start."""

    def __init__(
        self,
        app: str,
        tc_url: str,
        limits: SessionLimits | None = None,
        handshake: ClientHandshake | None = None,
    ) -> None:
        handshake = handshake or ClientHandshake()
        super().__init__(handshake, limits or SessionLimits())
        self._app = app
        self._tc_url = tc_url
        self._stream_name = ""
        self._message_stream_id = 0
        self._last_transaction_id = 0
        self._calls: dict[float, Callable[[Command], None]] = {}
        self.activity = ClientActivity.NONE
        self._output.append(handshake.start())

    # For the embedder.

    @property
    def message_stream_id(self) -> int:
        """The stream that createStream gave us, or 0: for embedders that cut chunks themselves."""
        return self._message_stream_id

    def publish(self, stream_name: str) -> None:
        """Ask to publish; ``PublishStarted`` or ``RequestRefused`` follows. The name may carry a query."""
        self._begin(ClientActivity.PUBLISH_REQUESTED, stream_name)
        self._call("releaseStream", stream_name)
        self._call("FCPublish", stream_name)
        self._call("createStream", on_result=self._on_stream_created)

    def play(self, stream_name: str) -> None:
        """Ask to play; ``PlayStarted`` or ``RequestRefused`` follows. The name may carry a query."""
        self._begin(ClientActivity.PLAY_REQUESTED, stream_name)
        self._call("createStream", on_result=self._on_stream_created)

    def send_audio(self, timestamp: int, body: bytes) -> None:
        """Queue the body of an FLV audio tag; ``timestamp`` in ms."""
        self._send_media(ChunkStreamId.AUDIO, timestamp, MessageType.AUDIO, body)

    def send_video(self, timestamp: int, body: bytes) -> None:
        """Queue the body of an FLV video tag; ``timestamp`` in ms."""
        self._send_media(ChunkStreamId.VIDEO, timestamp, MessageType.VIDEO, body)

    def send_metadata(self, timestamp: int, values: Mapping[str, object]) -> None:
        """Queue onMetaData."""
        payload = serialize_set_data_frame(values)
        self._send_media(ChunkStreamId.DATA, timestamp, MessageType.DATA_AMF0, payload)

    def stop(self) -> None:
        """Say that we are done (FCUnpublish and deleteStream), if there is anything to be done with."""
        if self.state is not SessionState.CONNECTED or self.activity is ClientActivity.ENDED:
            return
        if self.activity is ClientActivity.PUBLISHING:
            self._call("FCUnpublish", self._stream_name)
        if self._message_stream_id:
            self._call("deleteStream", self._message_stream_id)
        self._media_stream_id = -1

    # Receiving.

    def _on_handshake_done(self) -> None:
        self._announce_chunk_size()
        self._announce_window(WINDOW_SIZE)
        properties: dict[str, object] = {
            "app": self._app,
            "type": "nonprivate",
            "flashVer": FLASH_VERSION,
            "tcUrl": self._tc_url,
            "objectEncoding": 0,
        }
        caps_ex = CapsEx.RECONNECT | CapsEx.MULTITRACK | CapsEx.MOD_EX
        properties |= serialize_capabilities(caps_ex, FourCcInfo.CAN_FORWARD)
        self._call("connect", command_object=properties, on_result=self._on_connected)

    def _on_command(self, message_stream_id: int, command: Command) -> None:
        if command.name in ("_result", "_error"):
            on_result = self._calls.pop(command.transaction_id, None)
            if on_result is None:
                return
            if command.name == "_error":
                self._refused(*_code_and_description(command))
            else:
                on_result(command)
        elif command.name == "onStatus":
            self._on_status(command)

    def _on_connected(self, answer: Command) -> None:
        properties: dict[str, object] = {}
        for part in (answer.command_object, *answer.arguments):
            if isinstance(part, dict):
                properties |= part
        self._move(SessionState.CONNECTED)
        self._events.append(ConnectAccepted(parse_capabilities(properties)))

    def _on_stream_created(self, answer: Command) -> None:
        created = answer.arguments[0] if answer.arguments else None
        if not isinstance(created, float) or not 0 <= created < 2**32:
            raise MessageError("createStream answered without a stream id")
        self._message_stream_id = int(created)
        self._media_stream_id = self._message_stream_id
        if self.activity is ClientActivity.PUBLISH_REQUESTED:
            arguments: tuple[object, ...] = (self._stream_name, "live")
            self._call("publish", *arguments, message_stream_id=self._message_stream_id)
        elif self.activity is ClientActivity.PLAY_REQUESTED:
            arguments = (self._stream_name, _LIVE_OR_RECORDED)
            self._call("play", *arguments, message_stream_id=self._message_stream_id)

    def _on_status(self, command: Command) -> None:
        information = _information(command)
        code, description = _code_and_description(command)
        if code == replies.RECONNECT_REQUEST:
            tc_url = information.get("tcUrl")
            target = tc_url if isinstance(tc_url, str) and tc_url else None
            self._events.append(ReconnectRequested(target, description))
        elif information.get("level") == "error":
            self._refused(code, description)
        elif code == "NetStream.Publish.Start" and self.activity is ClientActivity.PUBLISH_REQUESTED:
            self._move_activity(ClientActivity.PUBLISHING)
            self._events.append(PublishStarted())
        elif code == "NetStream.Play.Start" and self.activity is ClientActivity.PLAY_REQUESTED:
            self._move_activity(ClientActivity.PLAYING)
            self._events.append(PlayStarted())
        elif code in _END_CODES:
            self._ended(code, description)

    def _on_user_control(self, event_type: int, data: bytes) -> None:
        super()._on_user_control(event_type, data)
        is_ours = int.from_bytes(data[:4], "big") == self._message_stream_id
        if event_type == UserControlType.STREAM_EOF and is_ours:
            self._ended("", "The server sent the end of the stream.")

    # Activity.

    def _begin(self, activity: ClientActivity, stream_name: str) -> None:
        self._require(SessionState.CONNECTED)
        self._move_activity(activity)
        self._stream_name = stream_name

    def _refused(self, code: str, description: str) -> None:
        if self.activity is not ClientActivity.ENDED:
            self._move_activity(ClientActivity.ENDED)
            self._events.append(RequestRefused(code, description))

    def _ended(self, code: str, description: str) -> None:
        if self.activity is not ClientActivity.ENDED:
            self._move_activity(ClientActivity.ENDED)
            self._events.append(StreamEnded(code, description))

    def _move_activity(self, activity: ClientActivity) -> None:
        if activity not in _MOVES[self.activity]:
            raise LocalProtocolError(f"a client that is {self.activity.value} cannot be {activity.value}")
        self.activity = activity

    # Sending.

    def _call(
        self,
        name: str,
        *arguments: object,
        command_object: object = None,
        on_result: Callable[[Command], None] | None = None,
        message_stream_id: int = 0,
    ) -> None:
        self._last_transaction_id += 1
        if on_result is not None:
            self._calls[self._last_transaction_id] = on_result
        command = Command(name, self._last_transaction_id, command_object, arguments)
        self._send_command(message_stream_id, command)

    def _send_media(self, chunk_stream_id: int, timestamp: int, type_id: int, body: bytes) -> None:
        if self.activity is not ClientActivity.PUBLISHING:
            raise LocalProtocolError(f"a client that is {self.activity.value} cannot send media")
        self._send(chunk_stream_id, timestamp, type_id, self._message_stream_id, body)


def _information(command: Command) -> Mapping[str, object]:
    information = command.arguments[0] if command.arguments else None
    return information if isinstance(information, dict) else {}


def _code_and_description(command: Command) -> tuple[str, str]:
    information = _information(command)
    return str(information.get("code", "")), str(information.get("description", ""))
