"""Reports on streams (RFC 3550 6.4), who sends them (6.5, 6.6), receivers' round trips (RFC 3611)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sfu.protocol.errors import MalformedPacket
from sfu.protocol.rtcp import framing

CANONICAL_NAME = 1
RECEIVER_REFERENCE_TIME = 4
DELAY_SINCE_LAST_REPORT = 5
MAX_NAME_SIZE = 255
MAX_DELAYS = 128
"""More sub-blocks than a compound can hold."""

_WORD = struct.Struct("!L")
_SENDER = struct.Struct("!LQLLL")
_WHOLE_SENDER = struct.Struct("!BBHLQLLL")
"""With the header that it has without blocks."""
_BLOCK = struct.Struct("!LLLLLL")
_XR_BLOCK = struct.Struct("!BxH")
_NTP = struct.Struct("!Q")
_DELAY = struct.Struct("!LLL")


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """How one stream arrives; times are in units of 1/65536 s, `fraction_lost` of 1/256."""

    ssrc: int
    fraction_lost: int
    packets_lost: int
    highest_sequence: int
    jitter: int
    last_sender_report: int = 0
    delay_since_last: int = 0

    def serialize(self) -> bytes:
        """Return the 24 bytes of the block."""
        lost = min(max(self.packets_lost, -0x80_0000), 0x7F_FFFF) & 0xFF_FFFF
        return _BLOCK.pack(
            self.ssrc,
            self.fraction_lost << 24 | lost,
            self.highest_sequence,
            self.jitter,
            self.last_sender_report,
            self.delay_since_last,
        )


def _read_blocks(body: bytes, offset: int, count: int) -> tuple[ReportBlock, ...]:
    """Return the report blocks; what follows them belongs to a profile and is left alone."""
    if offset + _BLOCK.size * count > len(body):
        raise MalformedPacket("RTCP report blocks beyond the packet")
    blocks = []
    for start in range(offset, offset + _BLOCK.size * count, _BLOCK.size):
        ssrc, losses, highest, jitter, last, delay = _BLOCK.unpack_from(body, start)
        lost = losses & 0xFF_FFFF
        lost -= (lost & 0x80_0000) << 1
        blocks.append(ReportBlock(ssrc, losses >> 24, lost, highest, jitter, last, delay))
    return tuple(blocks)


@dataclass(frozen=True, slots=True)
class SenderReport:
    """Ties a stream's RTP timestamps to its sender's clock; `ntp_time` is 32.32 fixed point seconds."""

    ssrc: int
    ntp_time: int
    rtp_timestamp: int
    packet_count: int
    octet_count: int
    blocks: tuple[ReportBlock, ...] = ()

    def serialize(self) -> bytes:
        """Return the packet."""
        body = _SENDER.pack(
            self.ssrc, self.ntp_time, self.rtp_timestamp, self.packet_count, self.octet_count
        ) + b"".join(block.serialize() for block in self.blocks)
        return framing.join(framing.SENDER_REPORT, len(self.blocks), body)

    @classmethod
    def read(cls, count: int, body: bytes) -> SenderReport:
        """Return the report of a packet's body."""
        if len(body) < _SENDER.size:
            raise MalformedPacket("sender report too short")
        ssrc, ntp_time, rtp_timestamp, packets, octets = _SENDER.unpack_from(body)
        blocks = _read_blocks(body, _SENDER.size, count)
        return cls(ssrc, ntp_time, rtp_timestamp, packets, octets, blocks)


def sender_report(ssrc: int, ntp_time: int, rtp_timestamp: int, packets: int, octets: int) -> bytes:
    """Return `SenderReport(…).serialize()` without blocks, faster: it is sent for each stream each second."""
    words = _WHOLE_SENDER.size // 4 - 1
    return _WHOLE_SENDER.pack(
        0x80, framing.SENDER_REPORT, words, ssrc, ntp_time, rtp_timestamp, packets, octets
    )


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """How streams arrive at one who sends none."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()

    def serialize(self) -> bytes:
        """Return the packet."""
        body = _WORD.pack(self.ssrc) + b"".join(block.serialize() for block in self.blocks)
        return framing.join(framing.RECEIVER_REPORT, len(self.blocks), body)

    @classmethod
    def read(cls, count: int, body: bytes) -> ReceiverReport:
        """Return the report of a packet's body."""
        if len(body) < _WORD.size:
            raise MalformedPacket("receiver report too short")
        return cls(_WORD.unpack_from(body)[0], _read_blocks(body, _WORD.size, count))


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """The canonical names of sources, as (SSRC, name); other items are not kept."""

    names: tuple[tuple[int, str], ...]

    def serialize(self) -> bytes:
        """Return the packet."""
        body = b"".join(self._chunk(ssrc, name.encode()) for ssrc, name in self.names)
        return framing.join(framing.SOURCE_DESCRIPTION, len(self.names), body)

    @staticmethod
    def _chunk(ssrc: int, name: bytes) -> bytes:
        if len(name) > MAX_NAME_SIZE:
            raise ValueError(f"a canonical name has at most {MAX_NAME_SIZE} bytes")
        chunk = _WORD.pack(ssrc) + bytes((CANONICAL_NAME, len(name))) + name + b"\0"
        return chunk + bytes(-len(chunk) % 4)

    @classmethod
    def read(cls, count: int, body: bytes) -> SourceDescription:
        """Return the names of a packet's body."""
        names = []
        offset = 0
        try:
            for _ in range(count):
                ssrc = _WORD.unpack_from(body, offset)[0]
                name, offset = cls._read_items(body, offset + 4)
                if name is not None:
                    names.append((ssrc, name.decode()))
        except (IndexError, struct.error, UnicodeDecodeError) as error:
            raise MalformedPacket("source description is wrong") from error
        return cls(tuple(names))

    @staticmethod
    def _read_items(body: bytes, offset: int) -> tuple[bytes | None, int]:
        """Return the canonical name and where the next chunk starts."""
        name = None
        while body[offset]:
            end = offset + 2 + body[offset + 1]
            if end > len(body):
                raise IndexError
            if body[offset] == CANONICAL_NAME:
                name = body[offset + 2 : end]
            offset = end
        return name, (offset + 4) & ~3


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Sources that have ended."""

    sources: tuple[int, ...]

    def serialize(self) -> bytes:
        """Return the packet."""
        body = b"".join(map(_WORD.pack, self.sources))
        return framing.join(framing.GOODBYE, len(self.sources), body)

    @classmethod
    def read(cls, count: int, body: bytes) -> Goodbye:
        """Return the sources of a packet's body; a reason for leaving is for people, and is left out."""
        if 4 * count > len(body):
            raise MalformedPacket("goodbye of more sources than it holds")
        return cls(struct.unpack_from(f"!{count}L", body))


@dataclass(frozen=True, slots=True)
class ExtendedReport:
    """A receiver's clock (RRTR), and the answers to it as (SSRC, last receiver report, delay) (DLRR)."""

    ssrc: int
    receiver_time: int | None = None
    delays: tuple[tuple[int, int, int], ...] = ()

    def serialize(self) -> bytes:
        """Return the packet."""
        body = _WORD.pack(self.ssrc)
        if self.receiver_time is not None:
            body += _XR_BLOCK.pack(RECEIVER_REFERENCE_TIME, 2) + _NTP.pack(self.receiver_time)
        if self.delays:
            body += _XR_BLOCK.pack(DELAY_SINCE_LAST_REPORT, 3 * len(self.delays))
            body += b"".join(_DELAY.pack(*delay) for delay in self.delays)
        return framing.join(framing.EXTENDED_REPORT, 0, body)

    @classmethod
    def read(cls, body: bytes) -> ExtendedReport:
        """Return both kinds of block of a packet's body; other kinds are skipped (RFC 3611 2)."""
        if len(body) < 4:
            raise MalformedPacket("extended report too short")
        receiver_time: int | None = None
        delays: list[tuple[int, int, int]] = []
        offset = 4
        while offset < len(body):
            kind, end = cls._block(body, offset)
            if kind == RECEIVER_REFERENCE_TIME and end - offset == 12:
                receiver_time = _NTP.unpack_from(body, offset + 4)[0]
            elif kind == DELAY_SINCE_LAST_REPORT and (end - offset - 4) % _DELAY.size == 0:
                delays.extend(_DELAY.iter_unpack(body[offset + 4 : end]))
            offset = end
        if len(delays) > MAX_DELAYS:
            raise MalformedPacket("extended report of too many sources")
        return cls(_WORD.unpack_from(body)[0], receiver_time, tuple(delays))

    @staticmethod
    def _block(body: bytes, offset: int) -> tuple[int, int]:
        """Return the type of the block at `offset` and where it ends."""
        if offset + 4 > len(body):
            raise MalformedPacket("extended report block too short")
        kind, words = _XR_BLOCK.unpack_from(body, offset)
        end = offset + 4 + 4 * words
        if end > len(body):
            raise MalformedPacket("extended report block beyond the packet")
        return kind, end
