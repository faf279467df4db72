"""The header extensions that a peer negotiated, and packets laid out for all that negotiated the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from sfu.protocol import rtp
from sfu.protocol.errors import MalformedPacket
from sfu.sending_path import MAX_RUN_SIZE, MAX_SEGMENTS

MAX_BATCH: Final = 32
"""So many packets are laid out at a time."""
MAX_EXTENSIONS_SIZE: Final = 256
"""Of a producer's packet; the longest in use, a dependency descriptor with its structure, is half of it."""
MAX_MID_SIZE: Final = 16
MAX_LAID_OUT_SIZE: Final = rtp.MAX_PACKET_SIZE + 2 * MAX_EXTENSIONS_SIZE + 64
"""A packet with its extensions in the longer form, those added here, and SRTP's tag."""


class ExtensionPlan:
    """Which extensions of a producer's packets a peer gets under which ids, and its own ones; 0 is none.

    Made by `extension_plan`, which returns the same object for the same values: packets are laid out once
    for all consumers that share it.
    """

    __slots__ = ("abs_send_time", "mid", "mid_size", "renumbered", "transport_sequence")

    def __init__(
        self,
        renumbered: dict[int, int],
        mid: int,
        mid_size: int,
        abs_send_time: int,
        transport_sequence: int,
    ) -> None:
        self.renumbered = renumbered
        self.mid = mid if mid_size else 0
        self.mid_size = mid_size
        self.abs_send_time = abs_send_time
        self.transport_sequence = transport_sequence

    def apply(self, packet: bytes, header: rtp.RtpHeader, mid: bytes) -> bytearray:
        """Return `packet` with the peer's extensions, time and transport-wide number still to be written."""
        return rtp.replace_extensions(packet, header, self._values(packet, header, mid))

    def _values(self, packet: bytes, header: rtp.RtpHeader, mid: bytes) -> list[tuple[int, bytes]]:
        """What differs from peer to peer stands first, where its place is easy to tell."""
        values = []
        if self.abs_send_time:
            values.append((self.abs_send_time, bytes(3)))
        if self.transport_sequence:
            values.append((self.transport_sequence, bytes(2)))
        if self.mid:
            values.append((self.mid, mid))
        renumbered = self.renumbered
        for identifier, (offset, length) in rtp.extensions(packet, header).items():
            if identifier in renumbered:
                values.append((renumbered[identifier], bytes(packet[offset : offset + length])))
        return values


@lru_cache(maxsize=1024)
def _shared_plan(
    renumbered: tuple[tuple[int, int], ...], mid: int, mid_size: int, abs_send_time: int, transport: int
) -> ExtensionPlan:
    return ExtensionPlan(dict(renumbered), mid, mid_size, abs_send_time, transport)


def extension_plan(
    renumbered: dict[int, int] | None = None,
    mid: int = 0,
    mid_size: int = 0,
    abs_send_time: int = 0,
    transport_sequence: int = 0,
) -> ExtensionPlan:
    """Return the plan of a consumer: `renumbered` maps the producer's ids to the consumer's.

    What is not in it is left out, as rid must be. `mid_size` is the length of the consumer's mid.
    """
    ids = [mid, abs_send_time, transport_sequence, *(renumbered or {}).values()]
    used = [identifier for identifier in ids if identifier]
    if len(set(used)) < len(used) or not all(0 < identifier < 256 for identifier in used):
        raise ValueError("header extension ids must differ and be 1 to 255")
    if not 0 <= mid_size <= MAX_MID_SIZE:
        raise ValueError(f"a mid of {mid_size} bytes")
    pairs = tuple(sorted((renumbered or {}).items()))
    return _shared_plan(pairs, mid, mid_size, abs_send_time, transport_sequence)


class Batch:
    """Packets of one producer stream, plain and in order, usually one frame: they leave together."""

    __slots__ = ("headers", "packets", "sources", "stream")

    def __init__(self, stream: int = 0) -> None:
        """`stream` and each packet's `source` are what a consumer's history is told (retransmission)."""
        self.stream = stream
        self.packets: list[bytes] = []
        self.headers: list[rtp.RtpHeader] = []
        self.sources: list[int] = []

    @classmethod
    def of(cls, packets: Iterable[bytes], stream: int = 0) -> Batch:
        """Return a batch of packets whose sources are their own numbers."""
        batch = cls(stream)
        for packet in packets:
            batch.add(packet)
        return batch

    def add(self, packet: bytes, source: int | None = None, header: rtp.RtpHeader | None = None) -> None:
        """Append `packet`; raises MalformedPacket for one that must not be forwarded."""
        header = header or rtp.parse(packet)
        if header.extension_size > MAX_EXTENSIONS_SIZE:
            raise MalformedPacket(f"header extensions of {header.extension_size} bytes")
        rtp.extensions(packet, header)
        self.packets.append(packet)
        self.headers.append(header)
        self.sources.append(header.sequence_number if source is None else source)


class Layout:
    """Packets one behind the other, with room for SRTP's tag after each, as they are copied per consumer.

    Everything that a consumer's loop needs of a packet is in plain lists.
    """

    __slots__ = (
        "end",
        "markers",
        "mid_offsets",
        "payload_octets",
        "payload_offsets",
        "pointers",
        "positions",
        "protected_sizes",
        "runs",
        "sequences",
        "sizes",
        "sources",
        "stream",
        "template",
        "timestamps",
        "transport_offsets",
    )

    def __init__(
        self, batch: Batch, indices: Sequence[int], plan: ExtensionPlan, tag: int, pointer: Any, time: bytes
    ) -> None:
        """`pointer` is the C address of the buffer the template is copied to; `time` abs-send-time."""
        headers = [batch.headers[index] for index in indices]
        self.stream = batch.stream
        self.sources = [batch.sources[index] for index in indices]
        self.sequences = [header.sequence_number for header in headers]
        self.timestamps = [header.timestamp for header in headers]
        self.markers = [0x80 if header.marker else 0 for header in headers]
        self.positions: list[int] = []
        self.sizes: list[int] = []
        self.transport_offsets: list[int] = []
        self.mid_offsets: list[int] = []
        self.payload_offsets: list[int] = []
        template = bytearray()
        for index, header in zip(indices, headers, strict=True):
            self._append(template, batch.packets[index], header, plan, time)
            template += bytes(tag)
        self.template = bytes(template)
        self.end = len(template)
        self.protected_sizes = [size + tag for size in self.sizes]
        self.payload_octets = sum(
            position + size - payload
            for position, size, payload in zip(self.positions, self.sizes, self.payload_offsets, strict=True)
        ) - sum(header.padding for header in headers)
        self.pointers = [pointer + position for position in self.positions]
        self.runs = runs(self.protected_sizes)

    def _append(
        self, template: bytearray, packet: bytes, header: rtp.RtpHeader, plan: ExtensionPlan, time: bytes
    ) -> None:
        """Lay one packet out and note where in the whole its places are."""
        laid_out = plan.apply(packet, header, bytes(plan.mid_size))
        position = len(template)
        offset = rtp.HEADER_SIZE + 4 * header.csrc_count + 4
        one_byte = laid_out[offset - 4 : offset - 2] == b"\xbe\xde"
        offset += 1 if one_byte else 2
        between = 1 if one_byte else 2
        if plan.abs_send_time:
            laid_out[offset : offset + 3] = time
            offset += 3 + between
        self.transport_offsets.append(position + offset)
        if plan.transport_sequence:
            offset += 2 + between
        self.mid_offsets.append(position + offset)
        self.positions.append(position)
        self.sizes.append(len(laid_out))
        payload = len(laid_out) - (len(packet) - header.payload_offset)
        self.payload_offsets.append(position + payload)
        template += laid_out


def runs(sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """Divide datagrams behind each other into (start, end, size): all of a size, the last may be less."""
    result: list[tuple[int, int, int]] = []
    start = end = count = 0
    first = previous = 0
    for size in sizes:
        fits = count < MAX_SEGMENTS and end - start + size <= MAX_RUN_SIZE
        if count and (previous < first or size > first or not fits):
            result.append((start, end, first))
            start, count = end, 0
        if not count:
            first = size
        previous = size
        end += size
        count += 1
    if count:
        result.append((start, end, first))
    return result
