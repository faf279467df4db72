"""The header extensions that a peer negotiated, and packets laid out for all that negotiated the same."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sfu.protocol import rtp
from sfu.protocol.congestion.ledger import sent_entries
from sfu.protocol.errors import MalformedPacket
from sfu.sending_path import MAX_RUN_SIZE, MAX_SEGMENTS

MAX_BATCH: Final = 32
"""So many packets are laid out at a time."""
MAX_EXTENSIONS_SIZE: Final = 256
"""Of a producer's packet; the longest in use, a dependency descriptor with its structure, is half of it."""
MAX_MID_SIZE: Final = 16
MAX_LAID_OUT_SIZE: Final = rtp.MAX_PACKET_SIZE + 2 * MAX_EXTENSIONS_SIZE + 64
"""A packet with its extensions in the longer form, those added here, and SRTP's tag."""

_BLOCK_HEAD = struct.Struct("!HH")


class _Form:
    """The plan's own extensions in the one-byte or two-byte form, and where they stand behind the header."""

    __slots__ = ("head_size", "mid", "prefix", "time", "transport_sequence")

    def __init__(self, own: Sequence[tuple[int, int]], head_size: int) -> None:
        """`own` is id and length of time, transport-wide number and mid; id 0 is left out."""
        self.head_size = head_size
        prefix = b""
        places = []
        for identifier, length in own:
            places.append(_BLOCK_HEAD.size + len(prefix) + head_size)
            prefix += self.element(identifier, bytes(length)) if identifier else b""
        self.prefix = prefix
        self.time, self.transport_sequence, self.mid = places

    def element(self, identifier: int, value: bytes) -> bytes:
        """Return one extension."""
        if self.head_size == 1:
            return bytes((identifier << 4 | len(value) - 1,)) + value
        return bytes((identifier, len(value))) + value

    def block(self, elements: bytes) -> bytes:
        """Return the whole block with its head."""
        words = (len(elements) + 3) // 4
        profile = rtp.ONE_BYTE_PROFILE if self.head_size == 1 else rtp.TWO_BYTE_PROFILE
        return (_BLOCK_HEAD.pack(profile, words) + elements).ljust(_BLOCK_HEAD.size + 4 * words, b"\0")


class ExtensionPlan:
    """Which extensions of a producer's packets a peer gets under which ids, and its own ones; 0 is none.

    Made by `extension_plan`, which returns the same object for the same values: packets are laid out once
    for all consumers that share it.
    """

    __slots__ = ("_long", "_short", "abs_send_time", "mid", "mid_size", "renumbered", "transport_sequence")

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
        own = [(abs_send_time, 3), (transport_sequence, 2), (self.mid, mid_size)]
        self._long = _Form(own, 2)
        self._short = _Form(own, 1) if max(identifier for identifier, _ in own) < 15 else None

    def apply(self, packet: bytes, header: rtp.RtpHeader, mid: bytes) -> bytearray:
        """Return `packet` with the peer's extensions, time and transport-wide number still to be written."""
        result, form = self.lay_out(packet, header, rtp.extensions(packet, header))
        if self.mid:
            offset = rtp.HEADER_SIZE + 4 * header.csrc_count + form.mid
            result[offset : offset + self.mid_size] = mid
        return result

    def lay_out(
        self, packet: bytes, header: rtp.RtpHeader, places: dict[int, tuple[int, int]]
    ) -> tuple[bytearray, _Form]:
        """Return `packet` with the peer's extensions, its own ones first and all zero, and their form."""
        values = [
            (self.renumbered[identifier], packet[offset : offset + length])
            for identifier, (offset, length) in places.items()
            if identifier in self.renumbered
        ]
        form = self._short
        if form is None or any(identifier > 14 or not 0 < len(value) <= 16 for identifier, value in values):
            form = self._long
        elements = form.prefix
        for identifier, value in values:
            elements += form.element(identifier, value)
        fixed_end = rtp.HEADER_SIZE + 4 * header.csrc_count
        result = bytearray(packet[:fixed_end])
        result[0] &= 0xEF
        if elements:
            result[0] |= 0x10
            result += form.block(elements)
        result += packet[header.payload_offset :]
        return result, form


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

    __slots__ = ("details", "headers", "packets", "places", "sources", "stream")

    def __init__(self, stream: int = 0) -> None:
        """`stream` and each packet's `source` are what a consumer's history is told (retransmission)."""
        self.stream = stream
        self.details: list[Any] = []
        self.packets: list[bytes] = []
        self.headers: list[rtp.RtpHeader] = []
        self.places: list[dict[int, tuple[int, int]]] = []
        self.sources: list[int] = []

    @classmethod
    def of(cls, packets: Iterable[bytes], stream: int = 0) -> Batch:
        """Return a batch of packets whose sources are their own numbers."""
        batch = cls(stream)
        for packet in packets:
            batch.add(packet)
        return batch

    def add(
        self,
        packet: bytes,
        source: int | None = None,
        header: rtp.RtpHeader | None = None,
        detail: object = None,
    ) -> None:
        """Append `packet`; raises MalformedPacket for one that must not be forwarded.

        `detail` is what each consumer's `rewrite` gets: what is known of the packet's layer, say.
        """
        header = header or rtp.parse(packet)
        if header.extension_size > MAX_EXTENSIONS_SIZE:
            raise MalformedPacket(f"header extensions of {header.extension_size} bytes")
        self.places.append(rtp.extensions(packet, header))
        self.details.append(header.sequence_number if detail is None else detail)
        self.packets.append(packet)
        self.headers.append(header)
        self.sources.append(header.sequence_number if source is None else source)


class Place(NamedTuple):
    """Where one packet of a layout is, and what each consumer's header is made of; offsets into the whole."""

    header: int
    """Of the header's second byte: the first is the same for every consumer."""
    marker: int
    """0x80 or 0."""
    timestamp: int
    transport: int
    """Of the transport-wide number."""
    mid: int
    payload: int
    end: int
    size: int
    source: int
    pointer: Any
    """The packet's C address."""


class Layout:
    """Packets one behind the other, with room for SRTP's tag after each, as they are copied per consumer.

    Everything that is the same for all consumers of a plan is here, ready to be used.
    """

    __slots__ = (
        "details",
        "end",
        "entries",
        "payload_octets",
        "places",
        "protected_sizes",
        "runs",
        "stream",
        "template",
    )

    def __init__(
        self,
        batch: Batch,
        indices: Sequence[int],
        plan: ExtensionPlan,
        tag: int,
        buffer: memoryview,
        pointer: Any,
        now: float,
    ) -> None:
        """`buffer` is what the template is copied to, `pointer` its C address; `now` is in seconds."""
        self.stream = batch.stream
        self.details = [batch.details[index] for index in indices]
        self.payload_octets = 0
        self.places: list[Place] = []
        self.protected_sizes: list[int] = []
        template = bytearray()
        time = abs_send_time(now)
        for index in indices:
            self._append(template, batch, index, plan, time, pointer)
            self.protected_sizes.append(self.places[-1].size + tag)
            template += bytes(tag)
        self.template = template
        self.end = len(template)
        self.entries = sent_entries(self.protected_sizes, int(now * 1_000_000))
        self.runs = [(buffer[start:end], size) for start, end, size in runs(self.protected_sizes)]

    def _append(
        self,
        template: bytearray,
        batch: Batch,
        index: int,
        plan: ExtensionPlan,
        time: bytes,
        pointer: Any,
    ) -> None:
        """Lay one packet out and note where in the whole its places are."""
        packet, header = batch.packets[index], batch.headers[index]
        laid_out, form = plan.lay_out(packet, header, batch.places[index])
        size, position = len(laid_out), len(template)
        payload_size = len(packet) - header.payload_offset
        extensions = position + rtp.HEADER_SIZE + 4 * header.csrc_count
        template += laid_out
        if plan.abs_send_time:
            template[extensions + form.time : extensions + form.time + 3] = time
        self.payload_octets += payload_size - header.padding
        self.places.append(
            Place(
                header=position + 1,
                marker=0x80 if header.marker else 0,
                timestamp=header.timestamp,
                transport=extensions + form.transport_sequence,
                mid=extensions + form.mid,
                payload=position + size - payload_size,
                end=position + size,
                size=size,
                source=batch.sources[index],
                pointer=pointer + position,
            )
        )


def abs_send_time(now: float) -> bytes:
    """Return the three bytes of abs-send-time: seconds modulo 64 in 6.18 fixed point."""
    return (int(now * 262144) & 0xFFFFFF).to_bytes(3, "big")


def runs(sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """Divide datagrams behind each other into (start, end, size): all of a size, the last may be less."""
    if len(sizes) == 1:
        return [(0, sizes[0], sizes[0])]
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
