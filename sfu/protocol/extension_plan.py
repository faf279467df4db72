"""Header extensions on their way from a producer to its consumers, prepared once per shape of packet.

A producer's packets have few shapes: the same extensions with the same lengths. For each shape ExtensionPlan
works out once how a packet is laid out with the router's ids and with room for what differs per consumer, and
ConsumerExtensions which octets of that layout a consumer changes. What is left per packet and consumer are
writes at known offsets.
"""

from __future__ import annotations

from collections.abc import Mapping

from sfu.protocol import rtp

MAX_SHAPES = 64
"""A producer of more shapes than this is hostile, or at least costs only itself: all are worked out again."""
MAX_MID_ROOM = 16
ABS_SEND_TIME_SIZE = 3
TRANSPORT_SEQUENCE_SIZE = 2
_HIGHEST_ONE_BYTE_ID = 14

Shape = tuple[int, tuple[tuple[int, tuple[int, int]], ...]]


class ExtensionLayout:
    """Where extensions are in a prepared packet."""

    __slots__ = ("block", "copies", "elements", "fixed_end", "payload_offset", "two_byte")

    block: bytes
    """The extension block with its ids and lengths, all values zero; empty where there are no extensions."""
    copies: tuple[tuple[int, int, int], ...]
    """(Source offset, target offset, length) of the values taken over."""
    elements: dict[int, tuple[int, int]]
    """(Offset, length) of each value by the router's id."""
    fixed_end: int
    payload_offset: int
    two_byte: bool


class ConsumerPlan:
    """What one consumer changes in a prepared packet; an offset of -1: it did not negotiate the extension."""

    __slots__ = ("abs_send_time_offset", "edits", "mid_end", "mid_field", "mid_start", "transport_offset")

    abs_send_time_offset: int
    edits: tuple[tuple[int, int], ...]
    """(Offset, octet): ids that differ, and padding in place of what the consumer does not know."""
    mid_end: int
    mid_field: bytes
    mid_start: int
    transport_offset: int

    def apply(self, buffer: bytearray | memoryview) -> None:
        """Write all that does not differ from packet to packet."""
        for offset, octet in self.edits:
            buffer[offset] = octet
        if self.mid_field:
            buffer[self.mid_start : self.mid_end] = self.mid_field


class ExtensionPlan:
    """Lays out the packets of one producer stream.

    `id_map` turns the producer's ids into the router's; extensions without a new id are not forwarded. The
    ids of mid, abs-send-time and the transport-wide sequence number are the router's (0: never sent): every
    packet gets room for these.
    """

    __slots__ = ("_id_map", "_layouts", "_reserved", "abs_send_time_id", "mid_id", "transport_id")

    def __init__(
        self,
        id_map: Mapping[int, int],
        mid_id: int,
        abs_send_time_id: int,
        transport_id: int,
        mid_room: int = 8,
    ) -> None:
        if not 0 < mid_room <= MAX_MID_ROOM:
            raise ValueError(f"there are 1 to {MAX_MID_ROOM} octets for a mid")
        self.mid_id = mid_id
        self.abs_send_time_id = abs_send_time_id
        self.transport_id = transport_id
        sizes = {
            mid_id: mid_room,
            abs_send_time_id: ABS_SEND_TIME_SIZE,
            transport_id: TRANSPORT_SEQUENCE_SIZE,
        }
        self._reserved = {identifier: size for identifier, size in sizes.items() if identifier}
        self._id_map = {
            old: new for old, new in id_map.items() if 0 < new < 256 and new not in self._reserved
        }
        self._layouts: dict[Shape, ExtensionLayout] = {}

    def prepare(self, packet: rtp.Buffer, header: rtp.RtpHeader) -> tuple[bytearray, ExtensionLayout]:
        """Return a copy of `packet` with the router's extensions, and its layout."""
        found = rtp.extensions(packet, header)
        shape = (header.csrc_count, tuple(found.items()))
        layout = self._layouts.get(shape)
        if layout is None:
            if len(self._layouts) >= MAX_SHAPES:
                self._layouts.clear()
            layout = self._layouts[shape] = self._lay_out(header.csrc_count, found)
        buffer = bytearray(packet[: layout.fixed_end])
        buffer += layout.block
        buffer += packet[header.payload_offset :]
        buffer[0] = buffer[0] | 0x10 if layout.block else buffer[0] & 0xEF
        for source, target, length in layout.copies:
            buffer[target : target + length] = packet[source : source + length]
        return buffer, layout

    def _lay_out(self, csrc_count: int, found: Mapping[int, tuple[int, int]]) -> ExtensionLayout:
        sources = {self._id_map[old]: place for old, place in found.items() if old in self._id_map}
        sizes = {identifier: length for identifier, (_, length) in sources.items()} | self._reserved
        layout = ExtensionLayout()
        layout.fixed_end = rtp.HEADER_SIZE + 4 * csrc_count
        layout.block = rtp.serialize_extensions(
            [(identifier, bytes(size)) for identifier, size in sizes.items()]
        )
        layout.two_byte = layout.block[:1] == b"\x10"
        layout.payload_offset = layout.fixed_end + len(layout.block)
        layout.elements = {}
        offset = layout.fixed_end + 4
        for identifier, size in sizes.items():
            offset += 2 if layout.two_byte else 1
            layout.elements[identifier] = (offset, size)
            offset += size
        layout.copies = tuple(
            (source, layout.elements[identifier][0], length)
            for identifier, (source, length) in sources.items()
        )
        return layout


class ConsumerExtensions:
    """The extensions of one consumer: `id_map` turns the router's ids into the consumer's."""

    __slots__ = ("_id_map", "_mid", "_plan", "_plans")

    def __init__(self, plan: ExtensionPlan, id_map: Mapping[int, int], mid: bytes) -> None:
        self._plan = plan
        self._id_map = dict(id_map)
        self._mid = mid
        self._plans: dict[ExtensionLayout, ConsumerPlan] = {}

    def plan(self, layout: ExtensionLayout) -> ConsumerPlan:
        """Return what the consumer changes in packets of this layout."""
        found = self._plans.get(layout)
        if found is None:
            if len(self._plans) >= MAX_SHAPES:
                self._plans.clear()
            found = self._plans[layout] = self._work_out(layout)
        return found

    def _work_out(self, layout: ExtensionLayout) -> ConsumerPlan:
        known = {old: self._new_id(layout, old) for old in layout.elements}
        if self._plan.mid_id in known and not 0 < len(self._mid) <= layout.elements[self._plan.mid_id][1]:
            known[self._plan.mid_id] = 0
        plan = ConsumerPlan()
        edits: list[tuple[int, int]] = []
        for old, (offset, size) in layout.elements.items():
            if old != known[old]:
                edits += _changed_id(layout, known[old], offset, size)
        plan.edits = tuple(edits)
        plan.abs_send_time_offset = _offset(layout, known, self._plan.abs_send_time_id)
        plan.transport_offset = _offset(layout, known, self._plan.transport_id)
        plan.mid_field, plan.mid_start, plan.mid_end = self._mid_field(layout, known)
        return plan

    def _new_id(self, layout: ExtensionLayout, old: int) -> int:
        """0 where the consumer has not negotiated it, or its id has no room in this form."""
        identifier = self._id_map.get(old, 0)
        highest = 255 if layout.two_byte else _HIGHEST_ONE_BYTE_ID
        return identifier if 0 < identifier <= highest else 0

    def _mid_field(self, layout: ExtensionLayout, known: Mapping[int, int]) -> tuple[bytes, int, int]:
        """The length with what precedes the value in its octet, the value, and padding up to the next one."""
        offset = _offset(layout, known, self._plan.mid_id)
        if offset < 0:
            return b"", 0, 0
        size = layout.elements[self._plan.mid_id][1]
        length = len(self._mid)
        first = length if layout.two_byte else known[self._plan.mid_id] << 4 | length - 1
        return bytes((first,)) + self._mid.ljust(size, b"\0"), offset - 1, offset + size


def _offset(layout: ExtensionLayout, known: Mapping[int, int], identifier: int) -> int:
    return layout.elements[identifier][0] if known.get(identifier) else -1


def _changed_id(layout: ExtensionLayout, identifier: int, offset: int, size: int) -> list[tuple[int, int]]:
    head = offset - (2 if layout.two_byte else 1)
    if not identifier:
        return [(position, 0) for position in range(head, offset + size)]
    return [(head, identifier if layout.two_byte else identifier << 4 | size - 1)]
