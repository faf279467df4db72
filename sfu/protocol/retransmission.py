"""Retransmission: packets kept once per producer stream, what each consumer was sent, and RTX (RFC 4588).

An outgoing packet is never sent again under its own SSRC and number: AES-GCM would use one nonce twice
(RFC 7714 8.4 forbids it). Lost packets go out as RTX, which has an SSRC and a numbering of its own.
"""

from __future__ import annotations

import struct
from array import array
from typing import NamedTuple

from sfu.protocol.errors import MalformedPacket
from sfu.protocol.rtp import HEADER_SIZE, Buffer, RtpHeader
from sfu.protocol.sequence import unwrap16, unwrap32

VIDEO_PACKETS = 2500
FIRST_CAPACITY = 160
"""Of what a consumer was sent: two seconds of 600 kb/s; more is found out as it comes."""
MAX_AGE = 2.0
"""Seconds of the stream's own time after which a lost packet is of no use to a player."""
MAX_RESENDS_PER_SECOND = 1000
"""A consumer that claims to have lost more is flooding, or its path is full."""
MAX_REMEMBERED_RESENDS = 512
"""More than these are not on their way at once; each costs a consumer some 130 bytes."""
MAX_PADDING = 255

_FIXED = struct.Struct("!BBHLL")
_TWO_OCTETS = struct.Struct("!H")
_MODULUS = 0xFFFF_FFFF


class PacketRing:
    """The newest packets of one producer stream, as they came; all its consumers share them."""

    __slots__ = ("_base", "_capacity", "_newest", "_numbers", "_packets")

    def __init__(self, capacity: int = VIDEO_PACKETS) -> None:
        self._capacity = capacity
        # Room below for late packets, which have to stay positive.
        self._base = 0x1_0000
        self._newest = -1
        self._numbers = [-1] * capacity
        self._packets: list[bytes] = [b""] * capacity

    def store(self, sequence_number: int, packet: bytes) -> int:
        """Keep `packet`; return the unwrapped number it is found by."""
        newest = self._newest
        if newest < 0:
            newest = self._newest = sequence_number + self._base
        number = newest + ((sequence_number - newest + 0x8000) & 0xFFFF) - 0x8000
        if number > newest:
            self._newest = number
        slot = number % self._capacity
        if self._numbers[slot] <= number:
            self._numbers[slot] = number
            self._packets[slot] = packet
        return number

    def find(self, number: int) -> bytes | None:
        """Return the packet of an unwrapped number (or its lower 32 bits), if it is still there."""
        number = unwrap32(number, self._newest)
        slot = number % self._capacity
        return self._packets[slot] if number >= 0 and self._numbers[slot] == number else None

    def clear(self) -> None:
        """Let go of every packet: the stream was restarted. No unwrapped number comes back after that."""
        self._base = max(self._base, ((self._newest >> 16) + 2) << 16)
        self._newest = -1
        self._numbers = [-1] * self._capacity
        self._packets = [b""] * self._capacity


class Sent(NamedTuple):
    """What it takes to build an outgoing packet once more."""

    sequence_number: int
    stream: int
    source: int
    timestamp: int
    picture: int


class SentHistory:
    """What one consumer was sent, by outgoing number: 13 bytes per packet, no packet and no object.

    Columns instead of packets keep a consumer small: the bytes are in the producer's PacketRing. They begin
    with few packets and grow until they cover `MAX_AGE`, or hold `capacity`.
    """

    __slots__ = (
        "_allowance",
        "_capacity",
        "_clock_rate",
        "_floor",
        "_looks_at",
        "_most",
        "_newest",
        "_newest_timestamp",
        "_numbers",
        "_pictures",
        "_refilled_at",
        "_resent",
        "_sources",
        "_streams",
        "_timestamps",
        "refused",
    )

    def __init__(self, clock_rate: int, capacity: int = VIDEO_PACKETS, pictures: bool = False) -> None:
        if clock_rate <= 0 or not 0 < capacity < 0x8000:
            raise ValueError("clock rate and capacity must be positive, the capacity below 32768")
        self.refused = 0
        self._most = capacity
        self._capacity = capacity = min(capacity, FIRST_CAPACITY)
        self._looks_at = 0
        self._floor = -1
        self._clock_rate = clock_rate
        self._newest = -1
        self._newest_timestamp = 0
        self._numbers = array("I", bytes(4 * capacity))
        self._sources = array("I", bytes(4 * capacity))
        self._timestamps = array("I", bytes(4 * capacity))
        self._streams = array("B", bytes(capacity))
        self._pictures = array("I", bytes(4 * capacity)) if pictures else None
        self._resent: dict[int, float] = {}
        self._allowance = float(MAX_RESENDS_PER_SECOND)
        self._refilled_at = 0.0

    def sent(
        self, sequence_number: int, stream: int, source: int, timestamp: int, now: float, picture: int = 0
    ) -> bool:
        """Note an outgoing packet before it is protected; False: it went out before or is too old, drop it.

        `stream` and `source` say in which PacketRing it is and where; `picture` is whatever else the
        caller needs to rewrite the payload again (VP8's picture numbers).
        """
        newest = self._newest
        if newest < 0:
            # Unwrapped numbers start at 65536, so that 0 in a column is no number.
            newest = self._newest = sequence_number + 0xFFFF
            self._looks_at = newest + self._capacity
        number = newest + ((sequence_number - newest + 0x8000) & 0xFFFF) - 0x8000
        if number >= self._looks_at:
            self._look(number)
        slot = number % self._capacity
        known = number & _MODULUS
        if number > newest:
            self._newest = number
            self._newest_timestamp = timestamp
        elif number <= max(newest - self._capacity, self._floor) or self._numbers[slot] == known:
            return False
        else:
            # The consumer has asked for it perhaps while the producer was repeating it: that is answered now.
            self._remember(number, now)
        self._numbers[slot] = known
        self._sources[slot] = source & _MODULUS
        self._timestamps[slot] = timestamp
        self._streams[slot] = stream
        if self._pictures is not None:
            self._pictures[slot] = picture
        return True

    def answer(self, lost: list[int], now: float, round_trip: float) -> list[Sent]:
        """Return what to send by RTX for a NACK: nothing that may still be on its way, within limits."""
        self._refill(now)
        found = []
        for sequence_number in dict.fromkeys(lost):
            number = unwrap16(sequence_number, self._newest)
            if not self._repairable(number) or now < self._resent.get(number, -1e9) + round_trip:
                continue
            if self._allowance < 1:
                self.refused += 1
                continue
            self._allowance -= 1
            self._remember(number, now)
            found.append(self._entry(number))
        return found

    def newest(self) -> Sent | None:
        """Return the last packet sent, which is what a probe best repeats by RTX."""
        return self._entry(self._newest) if self._repairable(self._newest) else None

    def _look(self, number: int) -> None:
        """Grow if what `number` would replace is young still."""
        capacity = self._capacity
        while capacity < self._most and self._repairable(number - capacity):
            self._grow(min(2 * capacity, self._most))
            capacity = self._capacity
        self._looks_at = number + capacity // 4

    def _grow(self, capacity: int) -> None:
        """Move what is known to columns of `capacity` packets."""
        # What was forgotten must not be taken for what never went out, now that there is room for it.
        self._floor = floor = max(self._floor, self._newest - self._capacity)
        numbers = [
            (number, slot)
            for slot, known in enumerate(self._numbers)
            if known and (number := unwrap32(known, self._newest)) > floor
        ]
        for name in ("_numbers", "_sources", "_timestamps", "_streams", "_pictures"):
            column = getattr(self, name)
            if column is None:
                continue
            grown = array(column.typecode, bytes(column.itemsize * capacity))
            for number, slot in numbers:
                grown[number % capacity] = column[slot]
            setattr(self, name, grown)
        self._capacity = capacity

    def _repairable(self, number: int) -> bool:
        slot = number % self._capacity
        if number <= 0 or self._numbers[slot] != number & _MODULUS:
            return False
        age = (self._newest_timestamp - self._timestamps[slot]) & _MODULUS
        # Timestamps ahead of the newest packet's (B-frames) are not old.
        return age > 0x8000_0000 or age <= MAX_AGE * self._clock_rate

    def _entry(self, number: int) -> Sent:
        slot = number % self._capacity
        picture = 0 if self._pictures is None else self._pictures[slot]
        return Sent(
            number & 0xFFFF, self._streams[slot], self._sources[slot], self._timestamps[slot], picture
        )

    def _refill(self, now: float) -> None:
        gained = (now - self._refilled_at) * MAX_RESENDS_PER_SECOND
        self._allowance = min(MAX_RESENDS_PER_SECOND, self._allowance + max(0.0, gained))
        self._refilled_at = now

    def _remember(self, number: int, now: float) -> None:
        self._resent.pop(number, None)
        self._resent[number] = now
        if len(self._resent) > MAX_REMEMBERED_RESENDS:
            del self._resent[next(iter(self._resent))]


class RtxEncoder:
    """Builds the RTX packets of one consumer; every one has a number of its own."""

    __slots__ = ("_next", "_payload_type", "_ssrc")

    def __init__(self, payload_type: int, ssrc: int, first_sequence_number: int) -> None:
        # Below 2**15 a loss of the first packets cannot mislead SRTP's rollover counter (RFC 3711 3.3.1).
        if not 0 <= first_sequence_number < 0x8000:
            raise ValueError("the first outgoing sequence number must be below 32768")
        self._payload_type = payload_type
        self._ssrc = ssrc
        self._next = first_sequence_number

    def encode(self, packet: Buffer, header: RtpHeader) -> bytearray:
        """Return `packet`, an outgoing packet before protection, as RTX (RFC 4588 4); padding is left out."""
        end = len(packet) - header.padding
        result = bytearray(packet[: header.payload_offset])
        result += _TWO_OCTETS.pack(header.sequence_number)
        result += packet[header.payload_offset : end]
        marker = result[1] & 0x80
        _FIXED.pack_into(
            result,
            0,
            result[0] & 0xDF,
            marker | self._payload_type,
            self._take(),
            header.timestamp,
            self._ssrc,
        )
        return result

    def padding(self, size: int, timestamp: int, extensions: bytes = b"") -> bytearray:
        """Return a packet of nothing but `size` bytes of padding, for probing the path.

        `extensions` is a block of rtp.serialize_extensions: what a probe is for is its transport-wide number.
        """
        if not 0 < size <= MAX_PADDING:
            raise ValueError("padding is 1 to 255 bytes")
        first = 0xB0 if extensions else 0xA0
        result = bytearray(HEADER_SIZE)
        _FIXED.pack_into(result, 0, first, self._payload_type, self._take(), timestamp & _MODULUS, self._ssrc)
        result += extensions
        result += bytes(size - 1)
        result.append(size)
        return result

    def _take(self) -> int:
        number = self._next
        self._next = (number + 1) & 0xFFFF
        return number


def decode(packet: Buffer, header: RtpHeader, payload_type: int, ssrc: int) -> bytearray | None:
    """Return the packet that a producer's RTX packet carries (RFC 4588 4), None for one that only probes."""
    start = header.payload_offset
    end = len(packet) - header.padding
    if end == start:
        return None
    if end - start < 2:
        raise MalformedPacket("RTX without an original sequence number")
    number = _TWO_OCTETS.unpack_from(packet, start)[0]
    result = bytearray(packet[:start])
    result += packet[start + 2 : end]
    marker = result[1] & 0x80
    _FIXED.pack_into(result, 0, result[0] & 0xDF, marker | payload_type, number, header.timestamp, ssrc)
    return result
