"""A room's router and the browser that publishes into it, without a network."""

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mediaserver.gateways.rtp_h264 import H264Packetizer
from mediaserver.gateways.rtp_writing import RtpWriter
from mediaserver.gateways.webrtc_ports import Producing, RoomListener
from mediaserver.media.packet import Codec, MediaPacket, TrackKind
from sfu.producer import LocalProducerListener
from sfu.protocol.capabilities import default_media_codecs
from sfu.protocol.parameters import (
    Kind,
    RtpCapabilities,
    RtpCodecCapability,
    RtpCodecParameters,
    RtpParameters,
)
from sfu.protocol.rtp import RtpHeader, parse
from sfu.taps import PacketSink
from tests.helpers.encoded import Encoded, encode

ROOM: Final = "room"
NTP: Final = 3_900_000_000 << 32
H264: Final = RtpCodecParameters(mime_type="video/H264", payload_type=108, clock_rate=90_000)
VP8: Final = RtpCodecParameters(mime_type="video/VP8", payload_type=102, clock_rate=90_000)
RTX: Final = RtpCodecParameters(mime_type="video/rtx", payload_type=109, clock_rate=90_000)
OPUS: Final = RtpCodecParameters(mime_type="audio/opus", payload_type=100, clock_rate=48_000, channels=2)

_ids = itertools.count(1)


@dataclass
class FakeTap:
    sink: PacketSink
    keyframe_requests: int = 0
    is_closed: bool = False

    def request_keyframe(self) -> None:
        self.keyframe_requests += 1

    def close(self) -> None:
        self.is_closed = True


class FakeProducer:
    def __init__(self, router: "FakeRouter", kind: Kind, codecs: Sequence[RtpCodecParameters]) -> None:
        self.id = f"producer-{next(_ids)}"
        self.kind: Kind = kind
        self.rtp_parameters = RtpParameters(codecs=tuple(codecs))
        self.is_program = True
        self.paused = False
        self.is_closed = False
        self.taps: list[FakeTap] = []
        self._router = router

    @property
    def tap(self) -> FakeTap:
        """The one that is open."""
        [tap] = [tap for tap in self.taps if not tap.is_closed]
        return tap

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._router.closed(self)


class FakeLocalProducer(FakeProducer):
    """Keeps what it is fed with; ``join`` and ``leave`` are a consumer's."""

    def __init__(
        self, router: "FakeRouter", codec: RtpCodecCapability, listener: LocalProducerListener
    ) -> None:
        parameters = RtpCodecParameters(
            mime_type=codec.mime_type, payload_type=96, clock_rate=codec.clock_rate
        )
        super().__init__(router, codec.kind, [parameters])
        self.codec: Final = codec
        self.listener: Final = listener
        self.ssrc = 0xABCD
        self.payload_type = 96
        self.frames: list[list[bytes]] = []
        self.reports: list[tuple[int, int]] = []
        self.consumers = 0

    def send(self, packets: Sequence[bytes], *, received_at: float) -> None:
        self.frames.append(list(packets))

    def sender_report(self, ntp: int, rtp_timestamp: int) -> None:
        self.reports.append((ntp, rtp_timestamp))

    def join(self) -> None:
        """One more consumer, which asks for a keyframe as the SFU does when it starts."""
        self.consumers += 1
        self.listener.on_consumers(self.consumers)
        if self.kind == "video":
            self.listener.on_keyframe_requested()

    def leave(self) -> None:
        self.consumers -= 1
        self.listener.on_consumers(self.consumers)

    @property
    def headers(self) -> list[RtpHeader]:
        """Of the first packet of each frame."""
        return [parse(packets[0]) for packets in self.frames]


@dataclass
class FakeRouter:
    room_id: str = ROOM
    rtp_capabilities: RtpCapabilities = field(
        default_factory=lambda: RtpCapabilities(codecs=default_media_codecs())
    )
    all_producers: dict[str, FakeProducer] = field(default_factory=dict)
    listeners: list[RoomListener] = field(default_factory=list)
    refusal: Exception | None = None

    @property
    def producers(self) -> Mapping[str, Producing]:
        return self.all_producers

    @property
    def local(self) -> dict[str, FakeLocalProducer]:
        """By kind, the local producers that are open."""
        return {p.kind: p for p in self.all_producers.values() if isinstance(p, FakeLocalProducer)}

    def produce(self, kind: Kind, *codecs: RtpCodecParameters, is_program: bool = True) -> FakeProducer:
        producer = FakeProducer(self, kind, codecs)
        producer.is_program = is_program
        self._add(producer)
        return producer

    def produce_local(
        self, kind: Kind, codec: RtpCodecCapability, listener: LocalProducerListener
    ) -> FakeLocalProducer:
        assert codec.kind == kind
        if self.refusal is not None:
            raise self.refusal
        producer = FakeLocalProducer(self, codec, listener)
        self._add(producer)
        return producer

    def tap(self, producer_id: str, sink: PacketSink) -> FakeTap:
        tap = FakeTap(sink)
        self.all_producers[producer_id].taps.append(tap)
        return tap

    def add_listener(self, listener: RoomListener) -> None:
        self.listeners.append(listener)

    def remove_listener(self, listener: RoomListener) -> None:
        self.listeners.remove(listener)

    def closed(self, producer: FakeProducer) -> None:
        del self.all_producers[producer.id]
        for tap in producer.taps:
            if not tap.is_closed:
                tap.sink.on_closed()
        for listener in list(self.listeners):
            listener.on_producer_closed(producer)

    def _add(self, producer: FakeProducer) -> None:
        self.all_producers[producer.id] = producer
        for listener in list(self.listeners):
            listener.on_producer(producer)


class Browser:
    """Publishes H.264 and Opus: encoded media as RTP on two streams with clocks of their own."""

    def __init__(
        self,
        router: FakeRouter,
        clip: Encoded | None = None,
        *,
        has_video: bool = True,
        has_audio: bool = True,
        turn_ms: int = 1_500,
    ) -> None:
        self.turn_ms: Final = turn_ms
        self.clip: Final = clip or encode(Codec.H264, Codec.OPUS)
        self.video = router.produce("video", H264, RTX) if has_video else None
        self.audio = router.produce("audio", OPUS) if has_audio else None
        self.packetizer: Final = H264Packetizer(self.clip.of(TrackKind.VIDEO)[0].track.config)
        self.writers: Final = {
            TrackKind.VIDEO: RtpWriter(108, 1, 100, 0xFFFF_FF00),
            TrackKind.AUDIO: RtpWriter(100, 2, 0xFFF0, 5),
        }
        self.start = asyncio.get_running_loop().time()

    def rtp(self, packet: MediaPacket, turn: int = 0) -> list[bytes]:
        """The packets of one frame, ``turn_ms`` later with each ``turn``."""
        kind = packet.track.kind
        ticks = packet.dts + turn * self.turn_ms * packet.track.clock_rate // 1000
        if kind is TrackKind.VIDEO:
            return self.writers[kind].write(self.packetizer.packetize(packet.payload), ticks)
        return self.writers[kind].write([packet.payload], ticks, is_frame=False)

    def deliver(self, kind: TrackKind, packets: Sequence[bytes], at: float) -> None:
        """``at`` is in seconds since the beginning."""
        producer = self.video if kind is TrackKind.VIDEO else self.audio
        if producer is None or producer.is_closed:
            return
        for packet in packets:
            producer.tap.sink.on_packet(packet, parse(packet), self.start + at)

    def play(self, turn: int = 0) -> None:
        """Send the clip."""
        for packet in self.clip.packets:
            at = packet.dts / packet.track.clock_rate + turn * self.turn_ms / 1000
            self.deliver(packet.track.kind, self.rtp(packet, turn), at)

    def report(self, seconds: float, audio_late: float = 0.0) -> None:
        """Sender reports of both streams; ``audio_late`` says that sound was captured later than sent."""
        for producer, kind, rate in (
            (self.video, TrackKind.VIDEO, 90_000),
            (self.audio, TrackKind.AUDIO, 48_000),
        ):
            if producer is not None:
                late = audio_late if kind is TrackKind.AUDIO else 0.0
                ntp = NTP + round((seconds + late) * (1 << 32))
                producer.tap.sink.on_sender_report(ntp, self.writers[kind].timestamp(round(seconds * rate)))
