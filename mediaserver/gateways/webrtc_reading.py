"""RTP of one producer into frames on its publisher's clock."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from mediaserver.gateways.rtp_av1 import Av1Format
from mediaserver.gateways.rtp_clock import TrackClock
from mediaserver.gateways.rtp_frames import (
    CodedFrame,
    FrameAssembler,
    PayloadFormat,
    ReorderBuffer,
    RtpPayload,
)
from mediaserver.gateways.rtp_h264 import H264Format
from mediaserver.gateways.rtp_opus import opus_frame
from mediaserver.gateways.rtp_vpx import Vp9Format
from mediaserver.media.packet import Codec
from sfu.protocol.parameters import RtpParameters
from sfu.protocol.rtp import RtpHeader

VIDEO_FORMATS: Final[dict[Codec, Callable[[], PayloadFormat]]] = {
    Codec.H264: H264Format,
    Codec.VP9: Vp9Format,
    Codec.AV1: Av1Format,
}
CARRIED: Final = {
    "video/h264": Codec.H264,
    "video/vp9": Codec.VP9,
    "video/av1": Codec.AV1,
    "audio/opus": Codec.OPUS,
}
_REPAIR: Final = ("rtx", "red", "ulpfec", "flexfec-03")


def carried_codecs(parameters: RtpParameters) -> dict[int, Codec]:
    """By payload type, the codecs of a producer that the hub carries."""
    return {
        codec.payload_type: CARRIED[codec.mime_type.lower()]
        for codec in parameters.codecs
        if codec.mime_type.lower() in CARRIED
    }


def refusal(parameters: RtpParameters) -> str | None:
    """Why nothing of a producer can go to HLS, FLV and RTMP; None if something can."""
    if carried_codecs(parameters):
        return None
    names = [codec.mime_type.partition("/")[2] for codec in parameters.codecs]
    sent = ", ".join(name for name in names if name.lower() not in _REPAIR) or "nothing"
    return (
        f"{sent} cannot be carried to HLS, HTTP-FLV and RTMP: publish H.264, AV1 or VP9 video and Opus audio"
    )


@dataclass(frozen=True, slots=True)
class PlacedFrame:
    """A frame and its time: ``ticks`` of its RTP clock rate on the publisher's clock."""

    codec: Codec
    frame: CodedFrame
    ticks: int


class ProducerReader:
    """Packets of one producer in, placed frames out. Which codec it is, the payload types tell.

    Another SSRC is another layer of simulcast, with numbers and timestamps of its own.
    """

    def __init__(self, parameters: RtpParameters, clock: TrackClock) -> None:
        self.ignored = 0
        """Packets of payload types that are not carried."""
        self._codecs = carried_codecs(parameters)
        self._clock = clock
        self._order = ReorderBuffer()
        self._codec: Codec | None = None
        self._ssrc: int | None = None
        self._assembler: FrameAssembler | None = None
        self._lost_before = self._dropped_before = 0

    @property
    def wants_keyframe(self) -> bool:
        """Whether no frame goes on before a keyframe comes; never for audio."""
        return self._assembler is not None and self._assembler.wants_keyframe

    @property
    def lost_packets(self) -> int:
        return self._lost_before + self._order.lost

    @property
    def dropped_frames(self) -> int:
        dropped = self._assembler.dropped_frames if self._assembler is not None else 0
        return self._dropped_before + dropped

    def add(self, packet: bytes, header: RtpHeader, received_at: float) -> Iterator[PlacedFrame]:
        """The frames that ``packet`` completes."""
        codec = self._codecs.get(header.payload_type)
        if codec is None:
            self.ignored += 1
            return
        if codec is not self._codec or header.ssrc != self._ssrc:
            self._begin(codec, header.ssrc)
        payload = bytes(packet[header.payload_offset : len(packet) - header.padding])
        in_order = self._order.add(
            header.sequence_number, header.timestamp, header.marker, payload, received_at
        )
        yield from self._read(in_order)

    def expire(self, now: float) -> Iterator[PlacedFrame]:
        """The frames behind packets that will not come any more."""
        yield from self._read(self._order.expire(now))

    def sender_report(self, ntp: int, rtp_timestamp: int) -> None:
        self._clock.sender_report(ntp, rtp_timestamp)

    def _begin(self, codec: Codec, ssrc: int) -> None:
        self._dropped_before = self.dropped_frames
        if self._ssrc is not None and ssrc != self._ssrc:
            self._lost_before += self._order.lost
            self._order = ReorderBuffer()
            self._clock.forget_place()
        self._codec, self._ssrc = codec, ssrc
        make_format = VIDEO_FORMATS.get(codec)
        self._assembler = FrameAssembler(make_format()) if make_format is not None else None

    def _read(self, packets: list[RtpPayload]) -> Iterator[PlacedFrame]:
        assert self._codec is not None or not packets
        for packet in packets:
            for frame in self._frames(packet):
                assert self._codec is not None
                ticks = self._clock.place(frame.timestamp, frame.received_at)
                yield PlacedFrame(self._codec, frame, ticks)

    def _frames(self, packet: RtpPayload) -> list[CodedFrame]:
        if self._assembler is not None:
            return self._assembler.add(packet)
        frame = opus_frame(packet)
        return [frame] if frame is not None else []
