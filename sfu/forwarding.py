"""The loop that every packet of every consumer passes: rewrite, protect, send.

`Forwarder.forward` is all that the rest knows of it, so that one in native code can take its place. Its
rules: packets are plain; what differs per consumer is in `ConsumerState`; nothing is allocated per packet
and consumer; what the kernel does not take at once is dropped and counted; what fails for one consumer costs
the others nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol

from pylibsrtp._binding import ffi  # type: ignore[import-not-found]

from sfu.header_extensions import (
    MAX_BATCH,
    MAX_LAID_OUT_SIZE,
    Batch,
    ExtensionPlan,
    Layout,
    Place,
    abs_send_time,
)
from sfu.protocol import rtp
from sfu.protocol.congestion.ledger import sent_entries
from sfu.sending_path import SendingPath
from sfu.srtp import MAX_TRAILER_SIZE, SrtpSession, srtp_protect

BUFFER_SIZE: Final = MAX_BATCH * MAX_LAID_OUT_SIZE + MAX_TRAILER_SIZE

_pack_fixed = struct.Struct("!BHLL").pack_into
"""A header from its second byte on: the first is the same for every consumer."""
_pack_number = struct.Struct("!H").pack_into


class PayloadRewriter(Protocol):
    """Rewrites the payload of a consumer's packet in place, such as VP8's picture numbers."""

    def rewrite(self, buffer: bytearray, start: int, end: int) -> int | None:
        """Change what is between `start` and `end`, not its length; return what `SentHistory` keeps.

        None keeps the packet from the consumer, whose numbers then have a gap.
        """


class SentHistory(Protocol):
    """Remembers what a consumer was sent, for retransmission."""

    def sent(
        self, sequence_number: int, stream: int, source: int, timestamp: int, now: float, picture: int = 0
    ) -> bool:
        """Note a packet; False if it must not go out (sent before)."""


class ConsumerState:
    """What differs from consumer to consumer; its owner may change it between two calls of `forward`."""

    __slots__ = (
        "carried_payload_type",
        "history",
        "mid",
        "octets",
        "packets",
        "path",
        "payload_rewriter",
        "payload_type",
        "plan",
        "rewrite",
        "ssrc",
        "timestamp_offset",
    )

    def __init__(
        self,
        path: SendingPath,
        ssrc: int,
        payload_type: int,
        rewrite: Callable[[Any], int | None],
        plan: ExtensionPlan,
        mid: bytes = b"",
    ) -> None:
        """`rewrite` takes a packet's `detail` in the batch, by default its number, and gives its new number.

        None and -1 leave the packet out. It is asked for all packets of a batch before anything else of
        this object is read, so it may set `timestamp_offset`.
        """
        if len(mid) != plan.mid_size:
            raise ValueError(f"the plan has room for a mid of {plan.mid_size} bytes")
        self.path = path
        self.ssrc = ssrc
        self.payload_type = payload_type
        self.rewrite = rewrite
        self.plan = plan
        self.mid = mid
        self.timestamp_offset = 0
        """Added to each timestamp, modulo 2**32."""
        self.payload_rewriter: PayloadRewriter | None = None
        self.history: SentHistory | None = None
        self.carried_payload_type: int | None = None
        """Of the audio in its RED; None if it gets none."""
        self.packets = 0
        self.octets = 0
        """Of payload, which is what sender reports tell (RFC 3550 6.4.1)."""


def _raise(error: Exception) -> None:
    raise error


class Forwarder:
    """Owns the buffer that packets are rewritten and protected in; one per event loop."""

    def __init__(self, on_failure: Callable[[Exception], None] = _raise) -> None:
        """`on_failure` is told what kept a batch from a consumer; the others are served whatever it was."""
        self._on_failure = on_failure
        self._buffer = bytearray(BUFFER_SIZE)
        self._view = memoryview(self._buffer)
        self._memory: Any = ffi.from_buffer("char[]", self._buffer)
        self._pointer: Any = self._memory + 0
        self._length: Any = ffi.new("int *")

    def forward(self, batch: Batch, consumers: Sequence[ConsumerState], now: float) -> int:
        """Send the packets of one stream to every consumer; return how many datagrams left.

        `now` is seconds of a monotonic clock, the same as everywhere in this transport's congestion control.
        """
        total = len(batch.packets)
        if total <= MAX_BATCH:
            return self._forward_part(batch, range(total), consumers, now)
        parts = [range(first, min(first + MAX_BATCH, total)) for first in range(0, total, MAX_BATCH)]
        return sum(self._forward_part(batch, indices, consumers, now) for indices in parts)

    def _forward_part(
        self, batch: Batch, indices: range, consumers: Sequence[ConsumerState], now: float
    ) -> int:
        """Forward what the buffer holds at a time."""
        remaining, sent = iter(consumers), [0]
        while True:
            try:
                # entered once per failure, not once per consumer: what does not fail costs nothing
                self._forward_to_rest(batch, indices, remaining, now, sent)
            except Exception as error:
                self._on_failure(error)
            else:
                return sent[0]

    def _forward_to_rest(
        self, batch: Batch, indices: range, consumers: Iterator[ConsumerState], now: float, sent: list[int]
    ) -> None:
        """Forward to those left, and count in `sent` what left, also if it raises."""
        layouts: dict[tuple[ExtensionPlan, int], Layout] = {}
        layout: Layout | None = None
        plan, profile = None, None
        for consumer in consumers:
            srtp = consumer.path.srtp
            if srtp is None:
                continue
            if layout is None or consumer.plan is not plan or srtp.profile is not profile:
                # nearly always, the one before had the same
                plan, profile = consumer.plan, srtp.profile
                layout = layouts.get((plan, profile.tag_size))
                if layout is None:
                    layout = self._lay_out(batch, indices, plan, profile.tag_size, now)
                    layouts[plan, profile.tag_size] = layout
            numbers: list[Any] = list(map(consumer.rewrite, layout.details))
            if None in numbers or -1 in numbers:
                sent[0] += self._send_some(consumer, srtp, batch, indices, numbers, now)
            else:
                sent[0] += self._send(consumer, srtp, layout, numbers, now)

    def _lay_out(
        self, batch: Batch, indices: Sequence[int], plan: ExtensionPlan, tag: int, now: float
    ) -> Layout:
        return Layout(batch, indices, plan, tag, self._view, self._pointer, now)

    def _send_some(
        self,
        consumer: ConsumerState,
        srtp: SrtpSession,
        batch: Batch,
        indices: range,
        numbers: Sequence[int | None],
        now: float,
    ) -> int:
        """Send what `numbers` leaves in."""
        chosen = [
            (index, number)
            for index, number in zip(indices, numbers, strict=True)
            if number is not None and number != -1
        ]
        if not chosen:
            return 0
        left = [index for index, _ in chosen]
        layout = self._lay_out(batch, left, consumer.plan, srtp.profile.tag_size, now)
        return self._send(consumer, srtp, layout, [number for _, number in chosen], now)

    def send_packet(self, path: SendingPath, plan: ExtensionPlan, packet: bytearray, now: float) -> int:
        """Send one finished packet (RTX, a probe) with the time and transport-wide number written into it."""
        if path.srtp is None:
            return 0
        places = rtp.extensions(packet, rtp.parse(packet))
        time = places.get(plan.abs_send_time)
        if time is not None and time[1] == 3:
            packet[time[0] : time[0] + 3] = abs_send_time(now)
        if path.ledger is not None:
            size = len(packet) + path.srtp.profile.tag_size
            number = path.ledger.record_batch(sent_entries([size], int(now * 1_000_000)))
            place = places.get(plan.transport_sequence)
            if place is not None and place[1] == 2:
                rtp.write_transport_sequence(packet, place[0], number)
        return path.send_one(path.srtp.protect(bytes(packet)))

    def _send(
        self,
        consumer: ConsumerState,
        srtp: SrtpSession,
        layout: Layout,
        numbers: Sequence[int],
        now: float,
    ) -> int:
        """Send what `layout` holds under `numbers`."""
        path = consumer.path
        ledger = path.ledger
        transport = ledger.record_batch(layout.entries) if ledger is not None else 0
        self._buffer[: layout.end] = layout.template
        refused = self._fill(consumer, srtp.context, layout, numbers, transport, now)
        consumer.packets += len(numbers) - len(refused)
        if refused:
            return self._send_singly(path, layout, refused)
        consumer.octets += layout.payload_octets
        sent = 0
        for data, size in layout.runs:
            sent += path.send_run(data, size)
        return sent

    def _fill(
        self,
        consumer: ConsumerState,
        context: Any,
        layout: Layout,
        numbers: Sequence[int],
        transport: int,
        now: float,
    ) -> Sequence[Place]:
        """Rewrite and protect the copy in the buffer; return the places of what must not leave."""
        buffer, length = self._buffer, self._length
        ssrc, payload_type, shift = consumer.ssrc, consumer.payload_type, consumer.timestamp_offset
        mid, mid_size = consumer.mid, len(consumer.mid)
        has_transport = consumer.plan.transport_sequence and consumer.path.ledger is not None
        history, rewriter = consumer.history, consumer.payload_rewriter
        refused: list[Place] | tuple[()] = ()
        picture: int | None = 0
        for place, number in zip(layout.places, numbers):  # noqa: B905 -- of one length, as the caller sees to
            header, marker, time, transport_at, mid_at, payload, end, size, source, pointer = place
            timestamp = time + shift & 0xFFFF_FFFF
            _pack_fixed(buffer, header, marker | payload_type, number, timestamp, ssrc)
            if has_transport:
                _pack_number(buffer, transport_at, transport & 0xFFFF)
                transport += 1
            if mid_size:
                buffer[mid_at : mid_at + mid_size] = mid
            if rewriter is not None:
                picture = rewriter.rewrite(buffer, payload, end)
            length[0] = size
            if (
                picture is None
                or (
                    history is not None
                    and not history.sent(number, layout.stream, source, timestamp, now, picture)
                )
                or srtp_protect(context, pointer, length)
            ):
                refused = [*refused, place]
        return refused

    def _send_singly(self, path: SendingPath, layout: Layout, refused: Sequence[Place]) -> int:
        """Send what is not refused."""
        return sum(
            path.send_one(self._view[place.header - 1 : place.header - 1 + size])
            for place, size in zip(layout.places, layout.protected_sizes, strict=True)
            if place not in refused
        )
