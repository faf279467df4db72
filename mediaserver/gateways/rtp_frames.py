"""RTP packets of one stream back in order, and put together to frames.

Rules:

* Sans-I/O: packets and ``now`` (seconds) in, frames out; payloads are decrypted, retransmissions unwrapped.
* A missing packet is waited for, since it may be sent again, but not for long: then its frame is lost.
* A frame is whole or not given out. After a loss, nothing but a keyframe goes on: what players of HLS and
  FLV make of a missing reference is worse than a picture that stands still.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from sfu.protocol.errors import MalformedPacket
from sfu.protocol.sequence import unwrap16, unwrap32

MAX_HELD_PACKETS: Final = 1024
MAX_WAIT_SECONDS: Final = 0.3
"""Time for a few retransmissions; afterwards a new keyframe is the quicker repair."""
MAX_MISORDER: Final = 3000
"""Numbers further back than this are those of a stream that began anew, if two follow each other."""
MAX_FRAME_PACKETS: Final = 8192
MAX_FRAME_BYTES: Final = 8 * 1024 * 1024

_ROUND: Final = 1 << 16


class RtpPayload:
    """One packet; ``sequence`` and ``timestamp`` are unwrapped, ``received_at`` in seconds."""

    __slots__ = ("is_last_of_frame", "payload", "received_at", "sequence", "timestamp")

    def __init__(
        self, sequence: int, timestamp: int, is_last_of_frame: bool, payload: bytes, received_at: float
    ) -> None:
        self.sequence: Final = sequence
        self.timestamp: Final = timestamp
        self.is_last_of_frame: Final = is_last_of_frame
        self.payload: Final = payload
        self.received_at: Final = received_at


class CodedFrame:
    """One access unit as samples are stored in files (see ``media.packet``).

    ``timestamp`` is RTP's, unwrapped. ``config`` is the decoder configuration that holds from here on, None
    where the codec has none or none is known yet.
    """

    __slots__ = ("config", "is_keyframe", "payload", "received_at", "timestamp")

    def __init__(
        self, timestamp: int, is_keyframe: bool, payload: bytes, config: bytes | None, received_at: float
    ) -> None:
        self.timestamp: Final = timestamp
        self.is_keyframe: Final = is_keyframe
        self.payload: Final = payload
        self.config: Final = config
        self.received_at: Final = received_at


class ReorderBuffer:
    """Packets in the order of sequence numbers, each once."""

    def __init__(self, max_wait_seconds: float = MAX_WAIT_SECONDS) -> None:
        self.lost = 0
        self.late = 0
        self._max_wait_seconds = max_wait_seconds
        self._held: dict[int, RtpPayload] = {}
        self._next: int | None = None
        self._timestamp = 0
        self._suspect: int | None = None

    def add(
        self, sequence_number: int, timestamp: int, marker: bool, payload: bytes, now: float
    ) -> list[RtpPayload]:
        """The packets that are in order now; ``sequence_number`` and ``timestamp`` as on the wire."""
        if self._next is None:
            self._next, self._timestamp = sequence_number, timestamp
        sequence = unwrap16(sequence_number, self._next)
        if sequence < self._next:
            if not self._began_anew(sequence):
                self.late += 1
                return []
            self._held.clear()
            # Another round of the numbers, so that what is given out still rises.
            self._next = sequence = sequence + _ROUND
        self._timestamp = unwrap32(timestamp, self._timestamp)
        held = RtpPayload(sequence, self._timestamp, marker, payload, now)
        self._held.setdefault(sequence, held)
        return self._in_order() + self.expire(now)

    def expire(self, now: float) -> list[RtpPayload]:
        """The packets behind a gap that was waited for long enough; also done by ``add``."""
        ready: list[RtpPayload] = []
        while self._held and self._next is not None:
            first = min(self._held)
            is_full = len(self._held) > MAX_HELD_PACKETS
            if not is_full and now - self._held[first].received_at < self._max_wait_seconds:
                break
            self.lost += first - self._next
            self._next = first
            ready += self._in_order()
        return ready

    def _in_order(self) -> list[RtpPayload]:
        ready = []
        while self._next is not None and (packet := self._held.pop(self._next, None)) is not None:
            ready.append(packet)
            self._next += 1
        return ready

    def _began_anew(self, sequence: int) -> bool:
        """As RFC 3550, A.1: two packets in a row that are far off count as another beginning."""
        assert self._next is not None
        is_restart = self._suspect is not None and sequence == self._suspect + 1
        self._suspect = sequence if self._next - sequence > MAX_MISORDER else None
        if is_restart and self._suspect is not None:
            self._suspect = None
            return True
        return False


class PayloadFormat(Protocol):
    """How one codec's frames lie in packets."""

    def starts_frame(self, payload: bytes) -> bool:
        """Whether a frame may begin with this packet, asked where the packet before it is missing."""

    def assemble(self, payloads: Sequence[bytes]) -> tuple[bytes, bool]:
        """The frame in ``payloads``, empty if they hold none, and whether it is a keyframe.

        Raises MalformedPacket.
        """

    @property
    def config(self) -> bytes | None:
        """The decoder configuration, as far as frames have told it."""


class FrameAssembler:
    """Frames out of packets that are in order, as ``ReorderBuffer`` gives them out."""

    def __init__(self, payload_format: PayloadFormat) -> None:
        self.dropped_frames = 0
        self.wants_keyframe = True
        """Whether a keyframe should be requested: nothing is given out until one comes."""
        self._format = payload_format
        self._packets: list[RtpPayload] = []
        self._size = 0
        self._next: int | None = None
        self._broken: int | None = None

    def add(self, packet: RtpPayload) -> list[CodedFrame]:
        """The frames that ``packet`` completes: mostly none or one."""
        frames: list[CodedFrame] = []
        is_contiguous = packet.sequence == self._next
        self._next = packet.sequence + 1
        if not is_contiguous:
            self._begin_after_loss(packet)
        elif self._packets and self._packets[0].timestamp != packet.timestamp:
            frames += self._finish()
        if packet.timestamp == self._broken:
            return frames
        self._broken = None
        self._packets.append(packet)
        self._size += len(packet.payload)
        if len(self._packets) > MAX_FRAME_PACKETS or self._size > MAX_FRAME_BYTES:
            self._drop(packet.timestamp)
        elif packet.is_last_of_frame:
            frames += self._finish()
        return frames

    def _begin_after_loss(self, packet: RtpPayload) -> None:
        if self._packets:
            self._drop(self._packets[0].timestamp)
        self.wants_keyframe = True
        if not self._format.starts_frame(packet.payload):
            self._drop(packet.timestamp)

    def _drop(self, timestamp: int) -> None:
        """Give up the frame of ``timestamp``, whatever of it is still to come."""
        self._broken = timestamp
        self._packets = []
        self._size = 0
        self.dropped_frames += 1
        self.wants_keyframe = True

    def _finish(self) -> list[CodedFrame]:
        packets, self._packets, self._size = self._packets, [], 0
        first = packets[0]
        try:
            payload, is_keyframe = self._format.assemble([packet.payload for packet in packets])
        except MalformedPacket:
            self._drop(first.timestamp)
            return []
        if not payload:
            return []
        if self.wants_keyframe and not is_keyframe:
            self.dropped_frames += 1
            return []
        self.wants_keyframe = False
        received_at = packets[-1].received_at
        return [CodedFrame(first.timestamp, is_keyframe, payload, self._format.config, received_at)]
