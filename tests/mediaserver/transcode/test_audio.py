"""Sound keeps its time whatever codec it goes through."""

from itertools import pairwise

import pytest

from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind
from mediaserver.transcode.audio import ENCODERS, AudioConverter, TranscodeError
from tests.mediaserver.media.codecs import vectors
from tests.mediaserver.transcode.clicks import decode, encode, find_clicks, sound

CLICKS = (0.5, 1.03, 1.7, 2.21, 2.9)
OTHER = {Codec.AAC: Codec.OPUS, Codec.OPUS: Codec.AAC}


def _convert(packets: list[MediaPacket], target: Codec) -> list[MediaPacket]:
    converter = AudioConverter(target)
    converted = converter.convert(packets)
    return converted + converter.flush(0.0)


def _moved(packet: MediaPacket, ticks: int) -> MediaPacket:
    pts = packet.pts + ticks
    return MediaPacket(packet.track, pts, pts, True, packet.payload, packet.received_at)


@pytest.mark.parametrize(("rate", "layout"), [(48_000, "stereo"), (44_100, "stereo"), (22_050, "mono")])
def test_clicks_stay_where_they_are_from_aac_to_opus_to_aac(rate: int, layout: str) -> None:
    source = encode(sound(3.2, CLICKS, rate), Codec.AAC, rate, layout)
    opus = _convert(source, Codec.OPUS)
    aac = _convert(opus, Codec.AAC)
    assert find_clicks(decode(opus)) == pytest.approx(CLICKS, abs=0.005)
    assert find_clicks(decode(aac)) == pytest.approx(CLICKS, abs=0.01)


@pytest.mark.parametrize("target", list(OTHER))
def test_times_far_from_zero_are_kept(target: Codec) -> None:
    hour = 3600 * 48_000
    packets = encode(sound(3.2, CLICKS, 48_000), OTHER[target], start=hour)
    found = find_clicks(decode(_convert(packets, target)))
    assert [click - 3600 for click in found] == pytest.approx(CLICKS, abs=0.005)


@pytest.mark.parametrize("target", list(OTHER))
def test_packets_follow_each_other_without_gaps(target: Codec) -> None:
    converted = _convert(encode(sound(2, (), 48_000), OTHER[target]), target)
    steps = {after.dts - before.dts for before, after in pairwise(converted)}
    assert steps == {ENCODERS[target].samples_per_frame}
    assert all(packet.dts >= 0 and packet.is_keyframe for packet in converted)


@pytest.mark.parametrize("target", list(OTHER))
@pytest.mark.parametrize("missing", [1, 10])
def test_a_short_gap_becomes_silence(target: Codec, missing: int) -> None:
    packets = encode(sound(3.2, CLICKS, 48_000), OTHER[target])
    converted = _convert(packets[:60] + packets[60 + missing :], target)
    steps = {after.dts - before.dts for before, after in pairwise(converted)}
    assert steps == {ENCODERS[target].samples_per_frame}
    assert [click for click in find_clicks(decode(converted)) if click > 1.65] == pytest.approx(
        CLICKS[2:], abs=0.01
    )


@pytest.mark.parametrize("target", list(OTHER))
def test_a_long_gap_is_a_jump(target: Codec) -> None:
    packets = encode(sound(3.2, CLICKS, 48_000), OTHER[target])
    gap = 60 * 48_000
    converter = AudioConverter(target)
    converted = converter.convert(packets[:75] + [_moved(packet, gap) for packet in packets[75:]])
    found = find_clicks(decode(converted))
    assert converter.counters.jumps == 1
    assert [found[0], found[-2] - 60] == pytest.approx([CLICKS[0], CLICKS[-2]], abs=0.01)
    assert len(converted) < 200, "a minute of silence is not made up"


@pytest.mark.parametrize("drift", [1.001, 0.999])
def test_a_drifting_clock_is_followed(drift: float) -> None:
    """One in a thousand off for twenty seconds is 20 ms, which must not add up."""
    clicks = (1.0, 10.0, 19.0)
    packets = encode(sound(20, clicks, 48_000), Codec.AAC)
    drifted = [_moved(packet, round(packet.pts * drift) - packet.pts) for packet in packets]
    found = find_clicks(decode(_convert(drifted, Codec.OPUS)))
    assert found == pytest.approx([click * drift for click in clicks], abs=0.005)


@pytest.mark.parametrize("jitter", [48, 240])
def test_times_rounded_by_the_publisher_do_no_harm(jitter: int) -> None:
    packets = encode(sound(3.2, CLICKS, 48_000), Codec.AAC)
    rounded = [_moved(packet, packet.pts // jitter * jitter - packet.pts) for packet in packets]
    assert find_clicks(decode(_convert(rounded, Codec.OPUS))) == pytest.approx(CLICKS, abs=0.008)


def test_a_step_back_never_turns_back_what_comes_out() -> None:
    packets = encode(sound(3.2, CLICKS, 48_000), Codec.AAC, start=200_000)
    back = [_moved(packet, -100_000) for packet in packets[40:]]
    dts = [packet.dts for packet in _convert(packets[:40] + back, Codec.OPUS)]
    assert dts == sorted(set(dts))


def test_another_configuration_is_another_track() -> None:
    stereo = encode(sound(1, (), 48_000), Codec.AAC)
    mono = encode(sound(1, (0.5,), 44_100), Codec.AAC, 44_100, "mono", start=2 * 44_100)
    converted = _convert(stereo + mono, Codec.OPUS)
    assert find_clicks(decode(converted)) == pytest.approx([2.5], abs=0.005)
    assert len({packet.track for packet in converted}) == 1, "both come out as the same stereo"


def test_what_cannot_be_decoded_becomes_silence_and_is_counted() -> None:
    packets = encode(sound(3.2, CLICKS, 48_000), Codec.AAC)
    for index, payload in ((50, b""), (51, b"\xff" * 70_000), (52, bytes(range(200))), (110, b"\xff" * 9)):
        old = packets[index]
        packets[index] = MediaPacket(old.track, old.dts, old.pts, True, payload, 0.0)
    converter = AudioConverter(Codec.OPUS)
    found = find_clicks(decode(converter.convert(packets)))
    assert 2 <= converter.counters.undecodable <= 4
    for click in CLICKS[:2] + CLICKS[2:4]:
        assert any(abs(click - at) < 0.01 for at in found)


@pytest.mark.parametrize(
    ("codec", "config"),
    [
        (Codec.OPUS, b"OpusHead"),
        (Codec.AAC, b"\xff\xff\xff"),
        (Codec.FLAC, vectors.FLAC_BLOCKS),
    ],
)
def test_refuses_what_has_no_decoder(codec: Codec, config: bytes) -> None:
    track = Track(1, TrackKind.AUDIO, codec, 48_000, config)
    with pytest.raises(TranscodeError):
        AudioConverter(Codec.OPUS).convert([MediaPacket(track, 0, 0, True, b"\x00" * 20, 0.0)])


def test_the_track_says_what_came_out() -> None:
    [track] = {packet.track for packet in _convert(encode(sound(1, (), 48_000), Codec.AAC), Codec.OPUS)}
    assert (track.id, track.codec, track.clock_rate) == (1, Codec.OPUS, 48_000)
    assert track.config.startswith(b"OpusHead")
