"""Answers one consumer's NACKs by RTX, and makes the padding that probes are of."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from sfu.forwarding import ConsumerState
from sfu.media_plane import MediaPlane
from sfu.protocol import rtp
from sfu.protocol.codec_matching import is_rtx
from sfu.protocol.parameters import RtpParameters
from sfu.protocol.payloads.consumer_pictures import ConsumerPictures
from sfu.protocol.retransmission import MAX_PADDING, RtxEncoder, Sent, SentHistory

if TYPE_CHECKING:
    from sfu.producer import Producer

DEFAULT_ROUND_TRIP: Final = 0.1
MIN_ROUND_TRIP: Final = 0.01


class Repair:
    """What a consumer with RTX was sent, and its RTX stream."""

    __slots__ = ("_encoder", "_pictures", "_plane", "_producer", "_state", "history", "nacks", "sent", "ssrc")

    def __init__(
        self,
        producer: Producer,
        state: ConsumerState,
        encoder: RtxEncoder,
        ssrc: int,
        pictures: ConsumerPictures | None,
        plane: MediaPlane,
    ) -> None:
        self.ssrc = ssrc
        self.sent = 0
        self.nacks = 0
        clock_rate = producer.streams[0].codec.clock_rate
        self.history = SentHistory(clock_rate, pictures=pictures is not None)
        self._producer = producer
        self._state = state
        self._encoder = encoder
        self._pictures = pictures
        self._plane = plane

    @classmethod
    def of(
        cls,
        producer: Producer,
        parameters: RtpParameters,
        state: ConsumerState,
        pictures: ConsumerPictures | None,
        plane: MediaPlane,
    ) -> Repair | None:
        """Return the repair of a consumer, None if its peer takes no RTX."""
        rtx = parameters.encodings[0].rtx
        payload_type = parameters.codecs[0].payload_type
        for codec in parameters.codecs:
            if rtx is not None and is_rtx(codec) and codec.parameters.get("apt") == payload_type:
                encoder = RtxEncoder(codec.payload_type, rtx.ssrc, secrets.randbelow(0x8000))
                return cls(producer, state, encoder, rtx.ssrc, pictures, plane)
        return None

    def answer(self, lost: list[int], now: float, round_trip: float) -> list[bytearray]:
        """Return the RTX packets for a NACK, still without time and transport-wide number."""
        self.nacks += 1
        round_trip = max(round_trip or DEFAULT_ROUND_TRIP, MIN_ROUND_TRIP)
        found = [self._encode(sent) for sent in self.history.answer(lost, now, round_trip)]
        packets = [packet for packet in found if packet is not None]
        self.sent += len(packets)
        self._plane.counters.retransmitted += len(packets)
        return packets

    def newest(self) -> bytearray | None:
        """Return the last packet sent as RTX once more, for a probe."""
        sent = self.history.newest()
        return None if sent is None else self._encode(sent)

    def padding(self, timestamp: int) -> bytearray:
        """Return a packet of padding, for a probe."""
        plan = self._state.plan
        own = [
            (plan.abs_send_time, bytes(3)),
            (plan.transport_sequence, bytes(2)),
            (plan.mid, self._state.mid),
        ]
        block = rtp.serialize_extensions([(identifier, value) for identifier, value in own if identifier])
        return self._encoder.padding(MAX_PADDING, timestamp, block)

    def _encode(self, sent: Sent) -> bytearray | None:
        ring = self._producer.streams[sent.stream].ring
        packet = ring.find(sent.source) if ring is not None else None
        if packet is None:
            return None
        state = self._state
        copy = state.plan.apply(packet, rtp.parse(packet), state.mid)
        rtp.rewrite_header(copy, state.payload_type, sent.sequence_number, sent.timestamp, state.ssrc)
        header = rtp.parse(copy)
        if self._pictures is not None:
            end = len(copy) - header.padding
            self._pictures.restore(copy, header.payload_offset, end, sent.picture)
        return self._encoder.encode(copy, header)
