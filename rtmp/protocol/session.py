"""What both ends of a connection share: handshake, chunks, acknowledgements, pings, states.

Rules:

* ``receive_data`` takes bytes and returns events; ``data_to_send`` hands out, once, the bytes that have come
  due since. No call waits, reads a clock or does I/O.
* The bytes are always whole chunks: other whole messages of the same chunk size may be written in between.
* A peer's fault is not raised but told as the last event, ``ProtocolViolated``, after all that happened
  before it: so the events do not depend on how the bytes were cut on their way.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from rtmp.protocol.chunks import DEFAULT_CHUNK_SIZE, ChunkLimits, ChunkReader, serialize_message
from rtmp.protocol.errors import LocalProtocolError, MessageError, ProtocolError
from rtmp.protocol.events import AudioReceived, Event, MetadataReceived, ProtocolViolated, VideoReceived
from rtmp.protocol.handshake import ClientHandshake, HandshakeState, ServerHandshake
from rtmp.protocol.messages import (
    ChunkStreamId,
    Command,
    MessageType,
    UserControlType,
    parse_command,
    parse_metadata,
    parse_set_peer_bandwidth,
    parse_user_control,
    parse_word,
    serialize_command,
    serialize_user_control,
    serialize_word,
    split_aggregate,
    strip_amf3_format,
)

OUTGOING_CHUNK_SIZE: Final = 65_536
"""The chunk size we announce and use, the same on every connection so that chunked bytes can be shared."""
WINDOW_SIZE: Final = 2_500_000
"""After how many bytes the peer acknowledges, and the bandwidth we ask it to use."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What one connection may cost."""

    chunks: ChunkLimits = ChunkLimits()  # noqa: RUF009  (frozen)
    max_bytes_before_request: int = 65_536
    """Bytes of messages a client may send while it neither publishes nor plays."""
    max_message_streams: int = 8
    """Message streams open at once."""


class SessionState(Enum):
    HANDSHAKING = "handshaking"
    CONNECTING = "waiting for connect or its answer"
    CONNECTED = "connected"
    CLOSED = "closed"


_MOVES = {
    SessionState.HANDSHAKING: {SessionState.CONNECTING, SessionState.CLOSED},
    SessionState.CONNECTING: {SessionState.CONNECTED, SessionState.CLOSED},
    SessionState.CONNECTED: {SessionState.CLOSED},
    SessionState.CLOSED: set(),
}


class Session:
    """The common part of ``RtmpServerSession`` and ``RtmpClientSession``."""

    def __init__(self, handshake: ServerHandshake | ClientHandshake, limits: SessionLimits) -> None:
        self._handshake = handshake
        self._limits = limits
        self._reader = ChunkReader(self._on_message, limits.chunks)
        self._events: list[Event] = []
        self._output: list[bytes] = []
        self._output_chunk_size = DEFAULT_CHUNK_SIZE
        self._bytes_received = 0
        self._bytes_acknowledged = 0
        self._peer_window = 0
        self._announced_window = 0
        self._media_stream_id = -1
        """The message stream whose media we want, or -1: one comparison per message on the hot path."""
        self.state = SessionState.HANDSHAKING

    @property
    def bytes_received(self) -> int:
        return self._bytes_received

    def receive_data(self, data: bytes) -> list[Event]:
        """Take received bytes and return what they mean. After ProtocolViolated everything is ignored."""
        if self.state is SessionState.CLOSED:
            return []
        self._bytes_received += len(data)
        try:
            if self.state is SessionState.HANDSHAKING:
                self._shake_hands(data)
            else:
                self._reader.receive(data)
            self._acknowledge()
        except ProtocolError as error:
            self._move(SessionState.CLOSED)
            self._events.append(ProtocolViolated(error))
        events = self._events
        self._events = []
        return events

    def data_to_send(self) -> bytes:
        """Return the bytes that have come due since the last call."""
        output = self._output
        if not output:
            return b""
        self._output = []
        return b"".join(output)

    def close(self) -> None:
        """Ignore everything the peer sends from now on."""
        if self.state is not SessionState.CLOSED:
            self._move(SessionState.CLOSED)

    def send_ping(self, timestamp: int) -> None:
        """Queue a ping request; any answer counts as a sign of life. ``timestamp`` in ms comes back in it."""
        self._require(SessionState.CONNECTED)
        self._send_user_control(UserControlType.PING_REQUEST, timestamp)

    # Receiving.

    def _shake_hands(self, data: bytes) -> None:
        reply = self._handshake.receive(data)
        if reply:
            self._output.append(reply)
        if self._handshake.state is HandshakeState.DONE:
            self._move(SessionState.CONNECTING)
            self._on_handshake_done()
            self._reader.receive(self._handshake.trailing_data)

    def _on_handshake_done(self) -> None:
        """Queue what opens the conversation."""

    def _on_message(self, type_id: int, timestamp: int, message_stream_id: int, payload: bytes) -> None:
        if type_id == MessageType.VIDEO:
            if message_stream_id == self._media_stream_id:
                self._events.append(VideoReceived(timestamp, payload))
        elif type_id == MessageType.AUDIO:
            if message_stream_id == self._media_stream_id:
                self._events.append(AudioReceived(timestamp, payload))
        elif type_id <= MessageType.SET_PEER_BANDWIDTH:
            self._on_control(type_id, payload)
        elif type_id == MessageType.COMMAND_AMF0:
            self._on_command(message_stream_id, parse_command(payload))
        elif type_id == MessageType.COMMAND_AMF3:
            self._on_command(message_stream_id, parse_command(strip_amf3_format(payload)))
        elif type_id == MessageType.DATA_AMF0:
            self._on_data(timestamp, message_stream_id, payload)
        elif type_id == MessageType.DATA_AMF3:
            self._on_data(timestamp, message_stream_id, strip_amf3_format(payload))
        elif type_id == MessageType.AGGREGATE:
            self._on_aggregate(timestamp, message_stream_id, payload)

    def _on_control(self, type_id: int, payload: bytes) -> None:
        if type_id == MessageType.USER_CONTROL:
            self._on_user_control(*parse_user_control(payload))
        elif type_id == MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE:
            self._peer_window = parse_word("Window Acknowledgement Size", payload)
        elif type_id == MessageType.SET_PEER_BANDWIDTH:
            self._announce_window(parse_set_peer_bandwidth(payload))
        elif type_id == MessageType.ACKNOWLEDGEMENT:
            parse_word("Acknowledgement", payload)

    def _on_user_control(self, event_type: int, data: bytes) -> None:
        if event_type == UserControlType.PING_REQUEST:
            self._send_user_control(UserControlType.PING_RESPONSE, int.from_bytes(data[:4], "big"))

    def _on_command(self, message_stream_id: int, command: Command) -> None:
        raise NotImplementedError

    def _on_data(self, timestamp: int, message_stream_id: int, payload: bytes) -> None:
        if message_stream_id == self._media_stream_id:
            values = parse_metadata(payload)
            if values is not None:
                self._events.append(MetadataReceived(timestamp, values))

    def _on_aggregate(self, timestamp: int, message_stream_id: int, payload: bytes) -> None:
        for type_id, sub_timestamp, body in split_aggregate(timestamp, payload):
            if type_id == MessageType.AGGREGATE:
                raise MessageError("an aggregate inside an aggregate")
            self._on_message(type_id, sub_timestamp, message_stream_id, body)

    # Sending.

    def _acknowledge(self) -> None:
        """Acknowledge received bytes once the peer's window is full (section 5.4.3)."""
        if 0 < self._peer_window <= self._bytes_received - self._bytes_acknowledged:
            self._bytes_acknowledged = self._bytes_received
            self._send_control(MessageType.ACKNOWLEDGEMENT, serialize_word(self._bytes_received))

    def _announce_window(self, window: int) -> None:
        if window != self._announced_window:
            self._announced_window = window
            self._send_control(MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE, serialize_word(window))

    def _announce_chunk_size(self) -> None:
        self._send_control(MessageType.SET_CHUNK_SIZE, serialize_word(OUTGOING_CHUNK_SIZE))
        self._output_chunk_size = OUTGOING_CHUNK_SIZE

    def _send_control(self, type_id: MessageType, payload: bytes) -> None:
        self._send(ChunkStreamId.CONTROL, 0, type_id, 0, payload)

    def _send_user_control(self, event_type: UserControlType, value: int) -> None:
        self._send_control(MessageType.USER_CONTROL, serialize_user_control(event_type, value))

    def _send_command(self, message_stream_id: int, command: Command) -> None:
        payload = serialize_command(command)
        self._send(ChunkStreamId.COMMAND, 0, MessageType.COMMAND_AMF0, message_stream_id, payload)

    def _send(
        self, chunk_stream_id: int, timestamp: int, type_id: int, message_stream_id: int, payload: bytes
    ) -> None:
        self._output.append(
            serialize_message(
                chunk_stream_id, timestamp, type_id, message_stream_id, payload, self._output_chunk_size
            )
        )

    # States.

    def _move(self, state: SessionState) -> None:
        if state not in _MOVES[self.state]:
            raise LocalProtocolError(f"a session that is {self.state.value} cannot become {state.value}")
        self.state = state

    def _require(self, state: SessionState) -> None:
        if self.state is not state:
            raise LocalProtocolError(f"the session is {self.state.value}, not {state.value}")
