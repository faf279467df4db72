"""Publishers on bad paths, and such as send what nobody should send."""

import asyncio
import random

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.gateways.rtp_clock import PublisherClock
from mediaserver.gateways.webrtc_ingest import WebRtcIngest
from mediaserver.gateways.webrtc_reading import PlacedFrame, ProducerReader
from mediaserver.hub.hub import Hub
from mediaserver.media.codecs import h264
from mediaserver.media.codecs.nal_units import split_units, to_byte_stream
from mediaserver.media.packet import MediaPacket, TrackKind
from sfu.protocol.parameters import RtpCodecParameters, RtpParameters
from sfu.protocol.rtp import parse
from tests.mediaserver.gateways.rtmp_publishing import RecordingOutput
from tests.mediaserver.gateways.webrtc_room import H264, OPUS, ROOM, Browser, FakeRouter

TURNS = 8
CODECS = [
    H264,
    OPUS,
    RtpCodecParameters(mime_type="video/VP9", payload_type=98, clock_rate=90_000),
    RtpCodecParameters(mime_type="video/AV1", payload_type=45, clock_rate=90_000),
]


async def _published(disturb: "Path", *, has_audio: bool = True) -> tuple[RecordingOutput, WebRtcIngest]:
    """What the hub has of a publisher behind a path."""
    hub, router, output = Hub(grace_seconds=60), FakeRouter(), RecordingOutput()
    ingest = WebRtcIngest(hub)
    ingest.watch(router)
    browser = Browser(router, has_audio=has_audio, turn_ms=1_220)
    for turn in range(TURNS):
        for packet in browser.clip.packets:
            at = packet.dts / packet.track.clock_rate + turn * browser.turn_ms / 1000
            for kind, data in disturb.passed(packet.track.kind, browser.rtp(packet, turn)):
                browser.deliver(kind, [data], at)
            ingest.tick(browser.start + at)
            stream = hub.find_live(ROOM)
            if stream is not None and not output.tracks:
                stream.attach(output)
    await asyncio.sleep(0)
    return output, ingest


class Path:
    """Loses, doubles and holds back packets of each kind."""

    def __init__(self, seed: int, loss: float, late: float, doubled: float = 0.0) -> None:
        self._random = random.Random(seed)
        self._loss, self._late, self._doubled = loss, late, doubled
        self._held: list[tuple[TrackKind, bytes]] = []

    def passed(self, kind: TrackKind, packets: list[bytes]) -> list[tuple[TrackKind, bytes]]:
        """What comes out now."""
        passed = []
        for packet in packets:
            if self._random.random() < self._loss:
                continue
            if self._random.random() < self._late:
                self._held.append((kind, packet))
                continue
            passed += [(kind, packet)] * (2 if self._random.random() < self._doubled else 1)
            if self._random.random() < 0.5:
                passed += self._held
                self._held = []
        return passed


def _decode(frames: list[MediaPacket]) -> int:
    """Pictures that a strict decoder makes of ``frames``."""
    decoder = av.CodecContext.create("h264", "r")
    decoder.options = {"err_detect": "explode", "flags": "+output_corrupt"}
    count = 0
    for frame in frames:
        configuration = h264.AvcConfiguration.parse(frame.track.config)
        sets = configuration.sequence_parameter_sets + configuration.picture_parameter_sets
        units = [*sets, *split_units(frame.payload)] if frame.is_keyframe else [*split_units(frame.payload)]
        count += len(decoder.decode(av.Packet(to_byte_stream(units))))
    return count + len(decoder.decode(None))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("loss", "late"), [(0.0, 0.3), (0.01, 0.1), (0.3, 0.1)])
async def test_what_goes_on_decodes_whatever_the_path_does(seed: int, loss: float, late: float) -> None:
    output, ingest = await _published(Path(seed, loss, late, 0.1))
    frames = [packet for packet in output.packets if packet.track.kind is TrackKind.VIDEO]
    sounds = [packet for packet in output.packets if packet.track.kind is TrackKind.AUDIO]
    assert _decode(frames) == len(frames)
    for packets in (frames, sounds):
        times = [packet.dts for packet in packets]
        assert times == sorted(set(times))
    assert len(sounds) > (1 - loss) * 0.5 * TURNS * 61 - 61
    if not loss:
        assert ingest.counters.keyframe_requests <= TURNS
        assert len(frames) > (TURNS - 1) * 30 - 15
    else:
        assert frames[0].is_keyframe


async def test_a_clock_that_jumps_takes_sound_and_picture_along() -> None:
    hub, router, output = Hub(), FakeRouter(), RecordingOutput()
    WebRtcIngest(hub).watch(router)
    browser = Browser(router)
    browser.play()
    stream = hub.find_live(ROOM)
    assert stream is not None
    stream.attach(output)
    last = max(packet.dts / packet.track.clock_rate for packet in output.packets)
    output.packets.clear()
    for packet in browser.clip.packets:  # an hour later by the timestamps, at once by arrival
        at = packet.dts / packet.track.clock_rate + 1.5
        browser.deliver(packet.track.kind, browser.rtp(packet, 2_400), at)
    times = [packet.dts / packet.track.clock_rate for packet in output.packets]
    assert output.packets
    assert last < min(times) and max(times) < last + 12


@given(
    st.sampled_from(CODECS),
    st.lists(st.tuples(st.binary(max_size=40), st.booleans(), st.integers(0, 3)), max_size=30),
)
def test_payloads_of_any_bytes_are_frames_or_nothing(
    codec: RtpCodecParameters, payloads: list[tuple[bytes, bool, int]]
) -> None:
    reader = ProducerReader(RtpParameters(codecs=(codec,)), PublisherClock().track(codec.clock_rate))
    frames: list[PlacedFrame] = []
    sequence = timestamp = 0
    for payload, marker, step in payloads:
        sequence += 1 + (step == 3)
        timestamp += step * 3000
        fixed = bytes((0x80, marker << 7 | codec.payload_type)) + sequence.to_bytes(2, "big")
        packet = fixed + timestamp.to_bytes(4, "big") + bytes(4) + payload
        frames += reader.add(packet, parse(packet), sequence / 50)
    frames += reader.expire(1_000.0)
    ticks = [placed.ticks for placed in frames]
    assert ticks == sorted(set(ticks))
    assert all(placed.frame.payload for placed in frames)
