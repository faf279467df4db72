"""The loop that every packet of every consumer passes: rewrite, protect, send.

`Forwarder.forward` is all that the rest knows of it, so that one in native code can take its place. Its
rules: packets are plain; what differs per consumer is in `ConsumerState`; nothing is allocated per packet
and consumer; what the kernel does not take at once is dropped and counted; what fails for one consumer costs
the others nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol, cast

from pylibsrtp._binding import ffi  # type: ignore[import-not-found]

from sfu.header_extensions import MAX_BATCH, MAX_LAID_OUT_SIZE, Batch, ExtensionPlan, Layout
from sfu.protocol import rtp
from sfu.sending_path import SendingPath
from sfu.srtp import MAX_TRAILER_SIZE, SrtpSession, srtp_protect

BUFFER_SIZE: Final = MAX_BATCH * MAX_LAID_OUT_SIZE + MAX_TRAILER_SIZE

_FIXED = struct.Struct("!BHLL")
"""A header from its second byte on: the first is the same for every consumer."""
_TWO_OCTETS = struct.Struct("!H")


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
        time = _abs_send_time(now)
        layouts: dict[tuple[ExtensionPlan, int], Layout] = {}
        for consumer in consumers:
            srtp = consumer.path.srtp
            if srtp is None:
                continue
            key = (consumer.plan, srtp.profile.tag_size)
            layout = layouts.get(key)
            if layout is None:
                layout = layouts[key] = Layout(batch, indices, *key, self._pointer, time)
            numbers = [consumer.rewrite(detail) for detail in layout.details]
            if None in numbers or -1 in numbers:
                chosen = [
                    (index, number) for index, number in zip(indices, numbers, strict=True) if _leaves(number)
                ]
                if not chosen:
                    continue
                layout = Layout(batch, [index for index, _ in chosen], *key, self._pointer, time)
                numbers = [number for _, number in chosen]
            sent[0] += self._send(consumer, srtp, layout, cast("list[int]", numbers), now)

    def send_packet(self, path: SendingPath, plan: ExtensionPlan, packet: bytearray, now: float) -> int:
        """Send one finished packet (RTX, a probe) with the time and transport-wide number written into it."""
        if path.srtp is None:
            return 0
        places = rtp.extensions(packet, rtp.parse(packet))
        time = places.get(plan.abs_send_time)
        if time is not None and time[1] == 3:
            packet[time[0] : time[0] + 3] = _abs_send_time(now)
        if path.ledger is not None:
            size = len(packet) + path.srtp.profile.tag_size
            number = path.ledger.record_batch([size], int(now * 1_000_000))
            place = places.get(plan.transport_sequence)
            if place is not None and place[1] == 2:
                rtp.write_transport_sequence(packet, place[0], number)
        return path.send_one(path.srtp.protect(bytes(packet)))

    def _send(
        self,
        consumer: ConsumerState,
        srtp: SrtpSession,
        layout: Layout,
        numbers: list[int],
        now: float,
    ) -> int:
        """Send what `layout` holds under `numbers`."""
        path, view = consumer.path, self._view
        ledger = path.ledger
        transport = 0
        if ledger is not None:
            transport = ledger.record_batch(layout.protected_sizes, int(now * 1_000_000))
        self._buffer[: layout.end] = layout.template
        refused = self._fill(consumer, srtp, layout, numbers, transport, now)
        consumer.packets += len(numbers) - len(refused)
        if refused:
            return self._send_singly(path, layout, refused)
        consumer.octets += layout.payload_octets
        if len(layout.runs) == 1:
            return path.send_run(view[: layout.end], layout.runs[0][2])
        return sum([path.send_run(view[start:end], size) for start, end, size in layout.runs])

    def _fill(
        self,
        consumer: ConsumerState,
        srtp: SrtpSession,
        layout: Layout,
        numbers: list[int],
        transport: int,
        now: float,
    ) -> Sequence[int]:
        """Rewrite and protect the copy in the buffer; return the indices of what must not leave."""
        buffer, length, pack = self._buffer, self._length, _FIXED.pack_into
        protect, context = srtp_protect, srtp.context
        ssrc, payload_type, shift = consumer.ssrc, consumer.payload_type, consumer.timestamp_offset
        mid, mid_size = consumer.mid, len(consumer.mid)
        has_transport = consumer.plan.transport_sequence and consumer.path.ledger is not None
        history, rewriter = consumer.history, consumer.payload_rewriter
        refused: list[int] | tuple[()] = ()
        picture: int | None = 0
        for index, position in enumerate(layout.positions):
            number, size = numbers[index], layout.sizes[index]
            timestamp = layout.timestamps[index] + shift & 0xFFFF_FFFF
            pack(buffer, position + 1, layout.markers[index] | payload_type, number, timestamp, ssrc)
            if has_transport:
                _TWO_OCTETS.pack_into(buffer, layout.transport_offsets[index], transport + index & 0xFFFF)
            if mid_size:
                offset = layout.mid_offsets[index]
                buffer[offset : offset + mid_size] = mid
            if rewriter is not None:
                picture = rewriter.rewrite(buffer, layout.payload_offsets[index], position + size)
            length[0] = size
            if (
                picture is None
                or (
                    history is not None
                    and not history.sent(
                        number, layout.stream, layout.sources[index], timestamp, now, picture
                    )
                )
                or protect(context, layout.pointers[index], length)
            ):
                refused = [*refused, index]
        return refused

    def _send_singly(self, path: SendingPath, layout: Layout, refused: Sequence[int]) -> int:
        """Send what is not refused."""
        view = self._view
        places = zip(layout.positions, layout.protected_sizes, strict=True)
        return sum(
            path.send_one(view[position : position + size])
            for index, (position, size) in enumerate(places)
            if index not in refused
        )


def _leaves(number: int | None) -> bool:
    return number is not None and number != -1


def _abs_send_time(now: float) -> bytes:
    """Return the three bytes of abs-send-time: seconds modulo 64 in 6.18 fixed point."""
    return (int(now * 262144) & 0xFFFFFF).to_bytes(3, "big")
