"""A hand-driven client of ``RtmpServerSession``: it writes messages and collects what comes back."""

from collections.abc import Sequence

from rtmp.protocol.chunks import ChunkReader, serialize_message
from rtmp.protocol.events import Event, ProtocolViolated, PublishRequested
from rtmp.protocol.handshake import PACKET_SIZE
from rtmp.protocol.messages import Command, MessageType, parse_command, serialize_command
from rtmp.protocol.server_session import RtmpServerSession
from rtmp.protocol.session import SessionLimits

HANDSHAKE = b"\x03" + bytes(PACKET_SIZE) + bytes(PACKET_SIZE)
"""C0, C1 and C2 of the simple form, all at once."""


def command_bytes(
    name: str,
    transaction_id: float = 0,
    *arguments: object,
    command_object: object = None,
    message_stream_id: int = 0,
    amf3: bool = False,
) -> bytes:
    """One command message in chunks of 128 bytes."""
    payload = serialize_command(Command(name, transaction_id, command_object, arguments))
    type_id = MessageType.COMMAND_AMF3 if amf3 else MessageType.COMMAND_AMF0
    return serialize_message(3, 0, type_id, message_stream_id, b"\x00" * amf3 + payload, 128)


def connect_bytes(**properties: object) -> bytes:
    return command_bytes(
        "connect", 1, command_object={"app": "live", "tcUrl": "rtmp://host/live"} | properties
    )


def media_bytes(type_id: int, timestamp: int, body: bytes, message_stream_id: int = 1) -> bytes:
    return serialize_message(
        4 if type_id == MessageType.AUDIO else 6, timestamp, type_id, message_stream_id, body, 128
    )


CONNECT = connect_bytes()
CREATE_STREAM = command_bytes("createStream", 2)
PUBLISH = command_bytes("publish", 3, "key?token=abc", "live", message_stream_id=1)
PLAY = command_bytes("play", 3, "room?token=abc", -2, message_stream_id=1)


class Dialogue:
    """``events`` and ``replies`` (type id, message stream id, payload) grow as the talk goes on."""

    def __init__(self, limits: SessionLimits | None = None, is_shaken: bool = True) -> None:
        self.session = RtmpServerSession(limits)
        self.events: list[Event] = []
        self.replies: list[tuple[int, int, bytes]] = []
        self._reader = ChunkReader(self._on_reply)
        if is_shaken:
            self.session.receive_data(HANDSHAKE)
            assert len(self.session.data_to_send()) == 1 + 2 * PACKET_SIZE

    def _on_reply(self, type_id: int, timestamp: int, message_stream_id: int, payload: bytes) -> None:
        self.replies.append((type_id, message_stream_id, payload))

    def say(self, *messages: bytes) -> list[Event]:
        """Send messages in one segment; return the new events."""
        events = self.session.receive_data(b"".join(messages))
        self.events += events
        self.collect()
        return events

    def collect(self) -> None:
        self._reader.receive(self.session.data_to_send())

    def commands(self, name: str | None = None) -> list[Command]:
        found = [parse_command(p) for type_id, _, p in self.replies if type_id == MessageType.COMMAND_AMF0]
        return [command for command in found if name in (None, command.name)]

    def control(self) -> list[tuple[int, bytes]]:
        return [(type_id, payload) for type_id, _, payload in self.replies if type_id < MessageType.AUDIO]

    def status_codes(self) -> list[object]:
        return [information(command)["code"] for command in self.commands("onStatus")]


def information(command: Command) -> dict[str, object]:
    found = command.arguments[0]
    assert isinstance(found, dict)
    return found


def connected(limits: SessionLimits | None = None, **properties: object) -> Dialogue:
    """A dialogue with message stream 1 open and the replies so far forgotten."""
    dialogue = Dialogue(limits)
    dialogue.say(connect_bytes(**properties), CREATE_STREAM)
    dialogue.events.clear()
    dialogue.replies.clear()
    return dialogue


def names(events: Sequence[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def violation(events: list[Event]) -> Exception:
    """What the peer did wrong, as the last of ``events`` tells."""
    assert isinstance(events[-1], ProtocolViolated)
    return events[-1].error


def publishing(**properties: object) -> Dialogue:
    """A talk in which a publish was accepted."""
    dialogue = connected(**properties)
    [request] = dialogue.say(PUBLISH)
    assert isinstance(request, PublishRequested)
    assert dialogue.session.accept(request)
    dialogue.collect()
    dialogue.replies.clear()
    return dialogue
