"""One stream as it comes from a peer: repaired, freed of duplicates, and measured."""

from __future__ import annotations

from collections.abc import Callable

from sfu.producer_stream import Places, ProducerStream
from sfu.protocol import retransmission, rtp
from sfu.protocol.errors import MalformedPacket
from sfu.protocol.nack import Arrival, NackGenerator
from sfu.protocol.parameters import RtpCodecParameters, RtpEncodingParameters
from sfu.protocol.reception import DROPPED, StreamReception


class ReceivedStream:
    """Media and RTX of one encoding; `ssrc` is 0 until it is announced or seen."""

    __slots__ = (
        "_on_keyframe",
        "_on_restart",
        "_restarts",
        "codec",
        "keyframe_needed",
        "nacks",
        "payload_type",
        "payload_types",
        "reception",
        "repaired",
        "rid",
        "rtx_payload_type",
        "rtx_ssrc",
        "ssrc",
        "stream",
        "uses_nack",
    )

    def __init__(
        self,
        encoding: RtpEncodingParameters,
        codec: RtpCodecParameters,
        rtx_payload_type: int | None,
        on_keyframe: Callable[[ReceivedStream], None],
        on_restart: Callable[[ReceivedStream, int, float], None],
    ) -> None:
        self.codec = codec
        self.rid = encoding.rid
        self.ssrc = encoding.ssrc or 0
        self.rtx_ssrc = encoding.rtx.ssrc if encoding.rtx is not None else 0
        self.payload_type = codec.payload_type
        self.payload_types: tuple[int, ...] = (codec.payload_type,)
        """Those that media may come under."""
        self.rtx_payload_type = rtx_payload_type
        self.uses_nack = any(entry.type == "nack" and not entry.parameter for entry in codec.rtcp_feedback)
        self.nacks = NackGenerator()
        self.reception = StreamReception(self.ssrc, codec.clock_rate)
        self.repaired = 0
        self.keyframe_needed = False
        self.stream: ProducerStream
        """Where the packets go; set by the producer, which makes it with this object's clock."""
        self._on_keyframe = on_keyframe
        self._on_restart = on_restart
        self._restarts = -1

    def adopt(self, ssrc: int) -> None:
        """Go on with another SSRC: the peer has started the stream anew, or says its SSRC at last."""
        before = self.reception
        self.ssrc = ssrc
        self.reception = StreamReception(ssrc, self.codec.clock_rate)
        # The first packet counts as a restart then, and consumers hold on to the same clock.
        self.reception.restarts = before.restarts
        self.reception.clock = before.clock

    def receive(
        self, packet: bytes, header: rtp.RtpHeader, places: Places, size: int, now: float, forwards: bool
    ) -> bool:
        """Take a decrypted packet of `size` bytes on the wire; False if it is none of the stream's.

        Raises MalformedPacket for RTX that carries nothing.
        """
        if header.payload_type == self.payload_type:
            return self._receive_media(packet, header, places, size, now, forwards)
        if header.payload_type == self.rtx_payload_type and self.ssrc:
            self._receive_rtx(packet, header, size, now, forwards)
            return True
        return False

    def _receive_media(
        self, packet: bytes, header: rtp.RtpHeader, places: Places, size: int, now: float, forwards: bool
    ) -> bool:
        reception = self.reception
        if reception.receive(header.sequence_number, header.timestamp, size, now) == DROPPED:
            return False
        if reception.restarts != self._restarts:
            self._restart(header.timestamp, now)
        if not self._take(packet, header, places, now, forwards):
            reception.duplicate()
        return True

    def _restart(self, timestamp: int, now: float) -> None:
        is_first, self._restarts = self._restarts < 0, self.reception.restarts
        if not is_first:
            self.nacks.reset()
            self._on_restart(self, timestamp, now)

    def _receive_rtx(
        self, packet: bytes, header: rtp.RtpHeader, size: int, now: float, forwards: bool
    ) -> None:
        original = retransmission.decode(packet, header, self.payload_type, self.ssrc)
        if original is None or self._restarts < 0:
            return
        data = bytes(original)
        found = rtp.parse(data)
        if found.payload_offset >= len(data):
            raise MalformedPacket("RTX without a payload")
        self.reception.recovered(size, now)
        if self._take(data, found, rtp.extensions(data, found), now, forwards):
            self.repaired += 1

    def _take(self, packet: bytes, header: rtp.RtpHeader, places: Places, now: float, forwards: bool) -> bool:
        """Let a packet through once; return whether it was the first time."""
        detail = self.stream.describe(packet, header, places, now)
        keyframe = detail is not None and detail.keyframe
        if self.nacks.receive(header.sequence_number, now, keyframe) is Arrival.DUPLICATE:
            return False
        if keyframe:
            self._on_keyframe(self)
        if self.nacks.take_keyframe_needed():
            self.keyframe_needed = True
        if forwards:
            self.stream.push(packet, header, places, detail, now)
        return True
