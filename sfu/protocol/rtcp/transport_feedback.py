"""Arrival times of a transport's packets (draft-holmer-rmcat-transport-wide-cc-extensions-01 3.1)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sfu.protocol.errors import MalformedPacket
from sfu.protocol.rtcp.feedback import write_feedback
from sfu.protocol.rtcp.framing import RTP_FEEDBACK

TRANSPORT_FEEDBACK = 15
MAX_STATUSES = 2048
"""Two seconds of a fast transport; a run of lost packets takes two bytes, so it needs a limit."""
TICK_US = 250
REFERENCE_US = 64_000
TIME_PERIOD_US = REFERENCE_US << 24
"""Arrival times are modulo this: compare them by their differences."""

_HEAD = struct.Struct("!HHL")
_CHUNK = struct.Struct("!H")
_LARGE_DELTA = struct.Struct("!h")
_LOST, _SMALL, _LARGE, _RESERVED = range(4)
_LONGEST_RUN = 0x1FFF


@dataclass(frozen=True, slots=True)
class TransportFeedback:
    """When each packet of a range arrived: (sequence number, time in µs, or None if it did not)."""

    sender: int
    media: int
    feedback_count: int
    arrivals: Sequence[tuple[int, int | None]]

    def serialize(self) -> bytes:
        """Return the packet; `arrivals` are consecutive numbers.

        Times keep a resolution of 250 µs. ValueError: neighbours that arrived are more than 8.19 s apart, or
        there are more than MAX_STATUSES: these belong into another feedback.
        """
        if not 0 < len(self.arrivals) <= MAX_STATUSES:
            raise ValueError(f"transport feedback on {len(self.arrivals)} packets")
        first_time = next((time for _, time in self.arrivals if time is not None), 0)
        reference = first_time // REFERENCE_US
        symbols, deltas = _deltas(self.arrivals, reference * REFERENCE_US // TICK_US)
        packed = (reference & 0xFF_FFFF) << 8 | self.feedback_count & 0xFF
        information = _HEAD.pack(self.arrivals[0][0] & 0xFFFF, len(self.arrivals), packed)
        information += b"".join(map(_CHUNK.pack, _chunks(symbols))) + deltas
        information += bytes(-len(information) % 4)
        return write_feedback(RTP_FEEDBACK, TRANSPORT_FEEDBACK, self.sender, self.media, information)

    @classmethod
    def read(cls, sender: int, media: int, information: bytes) -> TransportFeedback:
        """Return the arrivals that the control information tells of."""
        if len(information) < _HEAD.size:
            raise MalformedPacket("transport feedback too short")
        base, count, packed = _HEAD.unpack_from(information)
        if not 0 < count <= MAX_STATUSES:
            raise MalformedPacket(f"transport feedback on {count} packets")
        symbols, offset = _read_symbols(information, count)
        times = _read_times(information, offset, symbols, (packed >> 8) * REFERENCE_US)
        arrivals = [((base + position) & 0xFFFF, time) for position, time in enumerate(times)]
        return cls(sender, media, packed & 0xFF, arrivals)


def _deltas(arrivals: Sequence[tuple[int, int | None]], previous: int) -> tuple[list[int], bytes]:
    """Return the symbol of each arrival, and the deltas in ticks from `previous` on."""
    symbols = []
    deltas = bytearray()
    for _, time in arrivals:
        if time is None:
            symbols.append(_LOST)
            continue
        delta = time // TICK_US - previous
        previous += delta
        if 0 <= delta <= 255:
            symbols.append(_SMALL)
            deltas.append(delta)
        elif -0x8000 <= delta <= 0x7FFF:
            symbols.append(_LARGE)
            deltas += _LARGE_DELTA.pack(delta)
        else:
            raise ValueError("arrivals too far apart for one transport feedback")
    return symbols, bytes(deltas)


def _chunks(symbols: list[int]) -> Iterator[int]:
    """Yield status chunks: a run where it says more than a vector of 14 one-bit or 7 two-bit symbols."""
    position = 0
    while position < len(symbols):
        symbol = symbols[position]
        end = position + 1
        while end < len(symbols) and symbols[end] == symbol and end - position < _LONGEST_RUN:
            end += 1
        vector = symbols[position : position + 14]
        capacity = 7 if _LARGE in vector else 14
        if end - position >= min(capacity, len(symbols) - position):
            yield symbol << 13 | end - position
            position = end
        elif capacity == 14:
            yield 0x8000 | _pack(vector, 14, 1)
            position += 14
        else:
            yield 0xC000 | _pack(vector[:7], 7, 2)
            position += 7


def _pack(symbols: list[int], capacity: int, bits: int) -> int:
    value = 0
    for symbol in symbols:
        value = value << bits | symbol
    return value << bits * (capacity - len(symbols))


def _read_symbols(information: bytes, count: int) -> tuple[list[int], int]:
    """Return `count` symbols, and where the deltas start (3.1.3, 3.1.4)."""
    symbols: list[int] = []
    offset = _HEAD.size
    while len(symbols) < count:
        if offset + 2 > len(information):
            raise MalformedPacket("transport feedback ends within its statuses")
        chunk = _CHUNK.unpack_from(information, offset)[0]
        offset += 2
        if chunk < 0x8000:
            symbols += [chunk >> 13] * min(chunk & _LONGEST_RUN, count - len(symbols))
        elif chunk < 0xC000:
            symbols += [chunk >> shift & 1 for shift in range(13, -1, -1)]
        else:
            symbols += [chunk >> shift & 3 for shift in range(12, -1, -2)]
    del symbols[count:]
    return symbols, offset


def _read_times(information: bytes, offset: int, symbols: list[int], time: int) -> list[int | None]:
    """Return the arrival times in µs; `time` is the reference (3.1.5)."""
    times: list[int | None] = []
    try:
        for symbol in symbols:
            if symbol == _LOST:
                times.append(None)
                continue
            if symbol == _SMALL:
                time += information[offset] * TICK_US
            elif symbol == _LARGE:
                time += _LARGE_DELTA.unpack_from(information, offset)[0] * TICK_US
            else:
                raise MalformedPacket("transport feedback with a reserved status")
            offset += symbol
            times.append(time)
    except (IndexError, struct.error) as error:
        raise MalformedPacket("transport feedback ends within its times") from error
    return times
