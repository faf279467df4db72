"""The server's side of one connection: commands answered, publish and play put to the embedder.

Rules:

* One publish or play at a time per connection; a second one is refused with a status.
* Media is told from the moment publish is asked for, not only once it is accepted: encoders do not wait.
* Every command with a transaction id gets its answer under that id, in the order of arrival.
"""

from collections.abc import Callable
from enum import Enum

from rtmp.protocol import amf0, replies
from rtmp.protocol.addressing import resolve_name
from rtmp.protocol.capabilities import Capabilities, parse_capabilities
from rtmp.protocol.errors import LimitExceededError, LocalProtocolError, MessageError
from rtmp.protocol.events import ClientConnected, PlayEnded, PlayRequested, PublishEnded, PublishRequested
from rtmp.protocol.handshake import ServerHandshake
from rtmp.protocol.messages import (
    BandwidthLimit,
    ChunkStreamId,
    Command,
    MessageType,
    UserControlType,
    serialize_set_peer_bandwidth,
)
from rtmp.protocol.session import WINDOW_SIZE, Session, SessionLimits, SessionState

_MESSAGE_OVERHEAD = 12
"""Counted for each message before a publish or play on top of its payload."""

Request = PublishRequested | PlayRequested


class Activity(Enum):
    """What the connection's one active message stream does."""

    NONE = "idle"
    PUBLISH_REQUESTED = "waiting for leave to publish"
    PUBLISHING = "publishing"
    PLAY_REQUESTED = "waiting for leave to play"
    PLAYING = "playing"


_MOVES = {
    Activity.NONE: {Activity.PUBLISH_REQUESTED, Activity.PLAY_REQUESTED},
    Activity.PUBLISH_REQUESTED: {Activity.PUBLISHING, Activity.NONE},
    Activity.PUBLISHING: {Activity.NONE},
    Activity.PLAY_REQUESTED: {Activity.PLAYING, Activity.NONE},
    Activity.PLAYING: {Activity.NONE},
}


class RtmpServerSession(Session):
    """See ``Session`` for feeding and draining. Answer requests with ``accept`` or ``refuse``."""

    def __init__(self, limits: SessionLimits | None = None, handshake: ServerHandshake | None = None) -> None:
        super().__init__(handshake or ServerHandshake(), limits or SessionLimits())
        self._app = ""
        self._tc_url = ""
        self._message_streams: set[int] = set()
        self._last_message_stream_id = 0
        self._bytes_before_request = 0
        self._request: Request | None = None
        self.activity = Activity.NONE
        self.capabilities = Capabilities()
        self._restrict()

    # For the embedder.

    def accept(self, request: Request) -> bool:
        """Grant ``request``; False if the client has withdrawn it in the meantime."""
        if request is not self._request:
            return False
        if isinstance(request, PublishRequested):
            self._move_activity(Activity.PUBLISHING)
            self._send_publish_start(request.message_stream_id)
        else:
            self._move_activity(Activity.PLAYING)
            self._send_play_start(request.message_stream_id)
        return True

    def refuse(self, request: Request, code: str, description: str) -> bool:
        """Answer ``request`` with an error status; False if the client has withdrawn it in the meantime."""
        if request is not self._request:
            return False
        self._clear_activity()
        self._send_status(request.message_stream_id, "error", code, description)
        return True

    def end(self, code: str, description: str) -> None:
        """Tell the client that what it publishes or plays is over, and take nothing more from it."""
        request = self._request
        if self.state is SessionState.CONNECTED and request is not None:
            level = "error"
            if self.activity is Activity.PLAYING:
                level = "status"
                self._send_user_control(UserControlType.STREAM_EOF, request.message_stream_id)
            self._send_status(request.message_stream_id, level, code, description)
        self.close()

    def request_reconnect(self, description: str) -> bool:
        """Ask the client to connect anew (Enhanced RTMP v2); False if it did not announce that it can."""
        if self.state is not SessionState.CONNECTED or not self.capabilities.can_reconnect:
            return False
        self._send_status(0, "status", replies.RECONNECT_REQUEST, description)
        return True

    # Receiving.

    def _on_message(self, type_id: int, timestamp: int, message_stream_id: int, payload: bytes) -> None:
        if self._request is None:
            self._count_before_request(_MESSAGE_OVERHEAD + len(payload))
        super()._on_message(type_id, timestamp, message_stream_id, payload)

    def _count_before_request(self, size: int) -> None:
        self._bytes_before_request += size
        limit = self._limits.max_bytes_before_request
        if self._bytes_before_request > limit:
            raise LimitExceededError(f"more than {limit} bytes of messages without a publish or play")

    def _on_command(self, message_stream_id: int, command: Command) -> None:
        if self.state is SessionState.CONNECTING and command.name != "connect":
            raise MessageError(f"command {command.name[:32]!r} before connect")
        handler = _COMMANDS.get(command.name)
        if handler is not None:
            handler(self, message_stream_id, command)
        elif command.transaction_id:
            description = "This command is not known here."
            self._send_command(0, replies.error(command, "NetConnection.Call.Failed", description))

    def on_connect(self, message_stream_id: int, command: Command) -> None:
        if self.state is not SessionState.CONNECTING:
            raise MessageError("a second connect")
        properties = command.command_object
        if not isinstance(properties, dict):
            raise MessageError("connect without an object of properties")
        self._app = _text(properties, "app")
        self._tc_url = _text(properties, "tcUrl") or _text(properties, "tcurl")
        self.capabilities = parse_capabilities(properties)
        self._move(SessionState.CONNECTED)
        self._announce_window(WINDOW_SIZE)
        bandwidth = serialize_set_peer_bandwidth(WINDOW_SIZE, BandwidthLimit.DYNAMIC)
        self._send_control(MessageType.SET_PEER_BANDWIDTH, bandwidth)
        self._announce_chunk_size()
        self._send_command(0, replies.connect_result(command.transaction_id))
        app, _, _ = resolve_name(self._app, self._tc_url, "")
        self._events.append(ClientConnected(app, _text(properties, "flashVer"), self.capabilities))

    def on_create_stream(self, message_stream_id: int, command: Command) -> None:
        if len(self._message_streams) >= self._limits.max_message_streams:
            description = f"No more than {self._limits.max_message_streams} streams at once."
            self._send_command(0, replies.error(command, "NetConnection.Call.Failed", description))
            return
        self._last_message_stream_id += 1
        self._message_streams.add(self._last_message_stream_id)
        self._send_command(0, replies.result(command, self._last_message_stream_id))

    def on_publish(self, message_stream_id: int, command: Command) -> None:
        if self._may_begin(message_stream_id, "NetStream.Publish.Failed"):
            app, name, query = resolve_name(self._app, self._tc_url, _stream_name(command))
            self._begin(PublishRequested(message_stream_id, app, name, query), Activity.PUBLISH_REQUESTED)
            self._media_stream_id = message_stream_id

    def on_play(self, message_stream_id: int, command: Command) -> None:
        self._request_play(message_stream_id, _stream_name(command))

    def on_play2(self, message_stream_id: int, command: Command) -> None:
        parameters = command.arguments[0] if command.arguments else None
        name = _text(parameters, "streamName") if isinstance(parameters, dict) else ""
        self._request_play(message_stream_id, name)

    def _request_play(self, message_stream_id: int, stream_name: str) -> None:
        if self._may_begin(message_stream_id, "NetStream.Play.Failed"):
            app, name, query = resolve_name(self._app, self._tc_url, stream_name)
            self._begin(PlayRequested(message_stream_id, app, name, query), Activity.PLAY_REQUESTED)

    def _may_begin(self, message_stream_id: int, refusal_code: str) -> bool:
        if message_stream_id not in self._message_streams:
            description = f"There is no stream {message_stream_id}: createStream comes first."
        elif self._request is not None:
            description = "This connection already publishes or plays."
        else:
            return True
        self._send_status(message_stream_id, "error", refusal_code, description)
        return False

    def on_fc_publish(self, message_stream_id: int, command: Command) -> None:
        self._answer(command)
        name = _stream_name(command)
        self._send_command(0, replies.on_fc_event("onFCPublish", "NetStream.Publish.Start", name))

    def on_fc_unpublish(self, message_stream_id: int, command: Command) -> None:
        self._answer(command)
        name = _stream_name(command)
        self._send_command(0, replies.on_fc_event("onFCUnpublish", "NetStream.Unpublish.Success", name))
        if isinstance(self._request, PublishRequested):
            self._end_activity(self._request)

    def on_delete_stream(self, message_stream_id: int, command: Command) -> None:
        deleted = command.arguments[0] if command.arguments else None
        if isinstance(deleted, float) and deleted in self._message_streams:
            self._message_streams.discard(int(deleted))
            self.on_close_stream(int(deleted), command)

    def on_close_stream(self, message_stream_id: int, command: Command) -> None:
        request = self._request
        if request is not None and request.message_stream_id == message_stream_id:
            self._end_activity(request)

    def on_get_stream_length(self, message_stream_id: int, command: Command) -> None:
        self._send_command(0, replies.result(command, 0))

    def on_acknowledged(self, message_stream_id: int, command: Command) -> None:
        """Commands that want an answer and nothing else."""
        self._answer(command)

    def on_seek(self, message_stream_id: int, command: Command) -> None:
        self._send_status(message_stream_id, "error", "NetStream.Seek.Failed", "A live stream cannot seek.")

    def on_pause(self, message_stream_id: int, command: Command) -> None:
        self._send_status(message_stream_id, "error", "NetStream.Pause.Failed", "A live stream cannot pause.")

    def on_ignored(self, message_stream_id: int, command: Command) -> None:
        """Answers to our own calls, and notices that change nothing for us."""

    # Activity.

    def _begin(self, request: Request, activity: Activity) -> None:
        self._move_activity(activity)
        self._request = request
        self._reader.max_message_size = self._limits.chunks.max_message_size
        self._reader.max_buffered_bytes = self._limits.chunks.max_buffered_bytes
        self._events.append(request)

    def _end_activity(self, request: Request) -> None:
        is_publish = isinstance(request, PublishRequested)
        self._clear_activity()
        self._events.append(PublishEnded() if is_publish else PlayEnded())
        if is_publish:
            code, description = "NetStream.Unpublish.Success", "Publishing ended."
            self._send_status(request.message_stream_id, "status", code, description)

    def _clear_activity(self) -> None:
        self._move_activity(Activity.NONE)
        self._request = None
        self._media_stream_id = -1
        self._restrict()

    def _restrict(self) -> None:
        """Allow little until the client publishes or plays: it may never do either."""
        self._bytes_before_request = 0
        chunks, most = self._limits.chunks, self._limits.max_bytes_before_request
        self._reader.max_message_size = min(chunks.max_message_size, most)
        self._reader.max_buffered_bytes = min(chunks.max_buffered_bytes, most)

    def _move_activity(self, activity: Activity) -> None:
        if activity not in _MOVES[self.activity]:
            raise LocalProtocolError(f"a connection that is {self.activity.value} cannot be {activity.value}")
        self.activity = activity

    # Sending.

    def _answer(self, command: Command) -> None:
        if command.transaction_id:
            self._send_command(0, replies.result(command, None))

    def _send_status(self, message_stream_id: int, level: str, code: str, description: str) -> None:
        self._send_command(message_stream_id, replies.on_status(level, code, description))

    def _send_publish_start(self, message_stream_id: int) -> None:
        self._send_user_control(UserControlType.STREAM_BEGIN, message_stream_id)
        self._send_status(message_stream_id, "status", "NetStream.Publish.Start", "Publishing started.")

    def _send_play_start(self, message_stream_id: int) -> None:
        """Send what players wait for before media (section 7.2.2.1, and what Flash Media Server adds)."""
        self._send_user_control(UserControlType.STREAM_BEGIN, message_stream_id)
        self._send_status(message_stream_id, "status", "NetStream.Play.Reset", "Playing anew.")
        self._send_status(message_stream_id, "status", "NetStream.Play.Start", "Playing started.")
        payload = amf0.encode("|RtmpSampleAccess", True, True)
        self._send(ChunkStreamId.DATA, 0, MessageType.DATA_AMF0, message_stream_id, payload)


def _text(properties: dict[str, object], name: str) -> str:
    value = properties.get(name)
    return value if isinstance(value, str) else ""


def _stream_name(command: Command) -> str:
    name = command.arguments[0] if command.arguments else None
    return name if isinstance(name, str) else ""


_COMMANDS: dict[str, Callable[[RtmpServerSession, int, Command], None]] = {
    "connect": RtmpServerSession.on_connect,
    "createStream": RtmpServerSession.on_create_stream,
    "releaseStream": RtmpServerSession.on_acknowledged,
    "FCPublish": RtmpServerSession.on_fc_publish,
    "publish": RtmpServerSession.on_publish,
    "FCUnpublish": RtmpServerSession.on_fc_unpublish,
    "deleteStream": RtmpServerSession.on_delete_stream,
    "closeStream": RtmpServerSession.on_close_stream,
    "play": RtmpServerSession.on_play,
    "play2": RtmpServerSession.on_play2,
    "seek": RtmpServerSession.on_seek,
    "pause": RtmpServerSession.on_pause,
    "pauseRaw": RtmpServerSession.on_pause,
    "getStreamLength": RtmpServerSession.on_get_stream_length,
    "_checkbw": RtmpServerSession.on_acknowledged,
    "FCSubscribe": RtmpServerSession.on_acknowledged,
    "receiveAudio": RtmpServerSession.on_ignored,
    "receiveVideo": RtmpServerSession.on_ignored,
    "_result": RtmpServerSession.on_ignored,
    "_error": RtmpServerSession.on_ignored,
    "onStatus": RtmpServerSession.on_ignored,
}
