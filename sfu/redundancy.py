"""Redundant audio on its way: taken from a peer, and handed to each consumer in the shape that it knows.

Inside the server every packet of such a producer is RED: a browser that has no copies to send, or too large
ones, sends plain Opus for a while, which is wrapped. Consumers without RED, and taps, get the frames alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from sfu.header_extensions import Batch
from sfu.protocol import red, rtp
from sfu.received_stream import ReceivedStream

if TYPE_CHECKING:
    from sfu.forwarding import ConsumerState
    from sfu.producer_stream import Places
    from sfu.protocol.parameters import RtpCodecParameters, RtpEncodingParameters


class RedundantStream(ReceivedStream):
    """A stream of RED, and of the plain audio that comes between."""

    __slots__ = ("_carried",)

    def __init__(
        self,
        encoding: RtpEncodingParameters,
        codec: RtpCodecParameters,
        carried: int,
        on_keyframe: Callable[[ReceivedStream], None],
        on_restart: Callable[[ReceivedStream, int, float], None],
    ) -> None:
        """`carried` is the payload type of the blocks."""
        super().__init__(encoding, codec, None, on_keyframe, on_restart)
        self.payload_types = (self.payload_type, carried)
        self._carried = carried

    def receive(
        self, packet: bytes, header: rtp.RtpHeader, places: Places, size: int, now: float, forwards: bool
    ) -> bool:
        """Take a packet as its base does; raises MalformedPacket for RED that is none."""
        if header.payload_type == self.payload_type:
            red.primary_offset(packet, header, self._carried)
        elif header.payload_type == self._carried:
            packet = red.wrapped(packet, header, self._carried)
        else:
            return False
        return self._receive_media(packet, header, places, size, now, forwards)


class Redundancy:
    """Makes of a batch of RED what its consumers and taps get."""

    def __init__(self, carried: int) -> None:
        """`carried` is the payload type of the producer's blocks."""
        self._carried = carried

    def plain(self, batch: Batch) -> Batch:
        """Return the frames alone, under the payload type that the producer has for them."""
        made = self._changed(batch, red.unwrapped, self._carried)
        made.headers = [rtp.parse(packet) for packet in made.packets]
        return made

    def parts(
        self, batch: Batch, states: Sequence[ConsumerState]
    ) -> Iterator[tuple[Batch, list[ConsumerState]]]:
        """Divide consumers by the shape that they get, each made once."""
        groups: dict[int | None, list[ConsumerState]] = {}
        for state in states:
            groups.setdefault(state.carried_payload_type, []).append(state)
        for carried, group in groups.items():
            if carried is None:
                yield self.plain(batch), group
            elif carried == self._carried:
                yield batch, group
            else:
                yield self._changed(batch, red.renumbered, carried), group

    def _changed(
        self, batch: Batch, change: Callable[[bytes, rtp.RtpHeader, int], bytes], payload_type: int
    ) -> Batch:
        made = Batch(batch.stream)
        made.details, made.headers = batch.details, batch.headers
        # What is changed lies behind the header extensions, so these stay where they are.
        made.places, made.sources = batch.places, batch.sources
        pairs = zip(batch.packets, batch.headers, strict=True)
        made.packets = [change(packet, header, payload_type) for packet, header in pairs]
        return made
