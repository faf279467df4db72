"""Which layers of one scalable stream (VP9, AV1) a consumer gets, under contiguous numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sfu.forwarding import ConsumerState
from sfu.header_extensions import Batch
from sfu.packet_layers import StreamPacket
from sfu.producer_stream import PADDING_LAYER
from sfu.protocol.payloads.consumer_pictures import ConsumerPictures
from sfu.protocol.reception import SenderClock
from sfu.protocol.rtp import RtpHeader
from sfu.protocol.sequence import SequenceRewriter
from sfu.protocol.simulcast import NONE, higher_temporal
from sfu.selection import Selection, first_sequence_number

_MODULUS = 0xFFFF_FFFF


class SvcSelection:
    """Up to a higher spatial layer at keyframes, down to a lower one at any picture where that is allowed."""

    __slots__ = (
        "_clock",
        "_is_key",
        "_on_switch",
        "_pictures",
        "_rewriter",
        "current",
        "current_temporal",
        "overtaken",
        "target",
        "target_temporal",
        "timestamp_offset",
    )

    def __init__(
        self,
        clock: SenderClock,
        pictures: ConsumerPictures | None,
        on_switch: Callable[[], None],
        *,
        is_key: bool,
    ) -> None:
        """`is_key`: lower layers are not decodable from higher ones' pictures between keyframes (K-SVC)."""
        self.timestamp_offset = 0
        self.overtaken: list[int] = []
        self.current = self.current_temporal = NONE
        self.target = self.target_temporal = NONE
        self._clock = clock
        self._pictures = pictures
        self._on_switch = on_switch
        self._is_key = is_key
        self._rewriter = SequenceRewriter(first_sequence_number())

    @property
    def wanted_keyframe(self) -> int:
        """The one stream, if a higher layer, or anything, waits for its keyframe."""
        waits = self.current < self.target or (self._is_key and self.current > self.target != NONE)
        return 0 if waits else NONE

    def rewrite(self, detail: StreamPacket) -> int | None:
        """Return a packet's outgoing number, None for one that is left out."""
        if self.target == NONE or (self.current == NONE and not detail.keyframe):
            return None
        if detail.start_of_frame and detail.spatial == 0:
            self._change_at_picture(detail)
        if detail.spatial > self.current or detail.temporal > self.current_temporal:
            self._rewriter.drop(detail.sequence_number)
            if detail.spatial == 0 and self._pictures is not None and detail.temporal != PADDING_LAYER:
                self._pictures.drop(detail.payload)
            return None
        return self._rewriter.rewrite(detail.sequence_number)

    def _change_at_picture(self, detail: StreamPacket) -> None:
        before = self.current
        if detail.keyframe:
            if before == NONE:
                self._rewriter.sync(detail.sequence_number)
                if self._pictures is not None:
                    self._pictures.sync(detail.payload)
            self.current, self.current_temporal = self.target, self.target_temporal
        elif not self._is_key:
            self.current = min(before, self.target)
        if self.current_temporal > self.target_temporal:
            self.current_temporal = self.target_temporal
        else:
            self.current_temporal = higher_temporal(detail, self.current_temporal, self.target_temporal)
        if self.current != before:
            self._on_switch()

    def set_target(self, spatial: int, temporal: int) -> None:
        """Say what the consumer shall get."""
        self.target, self.target_temporal = spatial, temporal
        if spatial == NONE:
            self.current = self.current_temporal = NONE

    def wants(self, stream: int) -> bool:
        """There is one stream."""
        return self.target != NONE

    def last_layer(self, has_keyframe: bool) -> int:
        """Return the layer that ends the pictures of a batch."""
        if has_keyframe or (self.target < self.current and not self._is_key):
            return self.target
        return self.current

    def restart(self, stream: int, timestamp: int, now: float) -> None:
        """Wait for the next keyframe."""
        self.current = self.current_temporal = NONE

    def sender_timestamp(self, ntp: float) -> int | None:
        """Return the outgoing timestamp at an NTP time of the producer."""
        if not self._clock.known:
            return None
        return self._clock.timestamp_at(ntp) & _MODULUS


def by_last_layer(
    batch: Batch, states: Iterable[ConsumerState], selections: Mapping[int, Selection]
) -> dict[int, list[ConsumerState]]:
    """Group consumers by what they get, which decides where their pictures end.

    `selections` has each consumer's by the `id` of its state.
    """
    has_keyframe = any(detail.keyframe for detail in batch.details)
    groups: dict[int, list[ConsumerState]] = {}
    for state in states:
        selection = selections.get(id(state))
        layer = selection.last_layer(has_keyframe) if isinstance(selection, SvcSelection) else 0
        groups.setdefault(layer, []).append(state)
    return groups


def with_markers(batch: Batch, spatial: int) -> Batch:
    """Return the batch for those who get no higher spatial layer: its last packets end the pictures."""
    copy = Batch(batch.stream)
    copy.packets, copy.places = batch.packets, batch.places
    copy.sources, copy.details = batch.sources, batch.details
    copy.headers = [
        _marked(header) if detail.end_of_frame and detail.spatial == spatial else header
        for header, detail in zip(batch.headers, batch.details, strict=True)
    ]
    return copy


def _marked(header: RtpHeader) -> RtpHeader:
    copy = RtpHeader()
    for name in RtpHeader.__slots__:
        setattr(copy, name, getattr(header, name))
    copy.marker = True
    return copy
