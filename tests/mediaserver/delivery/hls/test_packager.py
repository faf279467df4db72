"""Made-up streams through the packager, every playlist on the way held against the RFC."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediaserver.delivery.hls.options import HlsOptions
from mediaserver.delivery.hls.packager import HlsPackager
from mediaserver.delivery.hls.playlist import Links, media_playlist, multivariant_playlist
from mediaserver.delivery.hls.rendition import Rendition
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind
from tests.helpers.hls_checker import MediaPlaylist, apply_delta, check, check_succession, parse

AVC = bytes.fromhex("0142c01effe100196742c01eda0280bfe5c044000003000400000300f03c58ba8001000468ce3c80")
VIDEO = Track(0, TrackKind.VIDEO, Codec.H264, 90_000, AVC)
AUDIO = Track(1, TrackKind.AUDIO, Codec.AAC, 48_000, bytes.fromhex("1188"))
OTHER_VIDEO = Track(0, TrackKind.VIDEO, Codec.H264, 90_000, AVC[:-1] + b"\x81")
SECOND_VIDEO = Track(2, TrackKind.VIDEO, Codec.H264, 90_000, AVC)


def frames(
    rate: float, seconds: float, gop_seconds: float, *, start: float = 0.0, track: Track = VIDEO
) -> list[MediaPacket]:
    """Video as RTMP brings it: stamps rounded to milliseconds."""
    gop = max(1, round(rate * gop_seconds))
    made = []
    for index in range(int(seconds * rate)):
        dts = int((start + index / rate) * 1000) * 90
        made.append(MediaPacket(track, dts, dts, index % gop == 0, b"%d" % index * 20, start + index / rate))
    return made


def sounds(seconds: float, *, start: float = 0.0, track: Track = AUDIO) -> list[MediaPacket]:
    first = int(start * 48_000 / 1024)
    count = int(seconds * 48_000 / 1024)
    return [
        MediaPacket(track, n * 1024, n * 1024, True, b"a" * 100, n * 1024 / 48_000)
        for n in range(first, first + count)
    ]


def merged(*packets: Iterable[MediaPacket]) -> list[MediaPacket]:
    everything = [packet for part in packets for packet in part]
    return sorted(everything, key=lambda packet: packet.dts / packet.track.clock_rate)


@dataclass
class Watch:
    """Feeds a packager and checks all its playlists after every packet that changed one."""

    options: HlsOptions = field(default_factory=HlsOptions)
    seen: dict[str, list[MediaPlaylist]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.packager = HlsPackager(self.options)
        self._versions: dict[str, int] = {}

    def feed(self, packets: Sequence[MediaPacket]) -> None:
        for packet in packets:
            self.packager.on_packet(packet)
            self.look()

    def look(self) -> None:
        if not self.packager.is_ready:
            return
        for rendition in self.packager.renditions.values():
            if rendition.is_empty or self._versions.get(rendition.name) == rendition.version:
                continue
            self._versions[rendition.name] = rendition.version
            self._check(rendition)

    def _check(self, rendition: Rendition) -> None:
        playlist = parse(media_playlist(self.packager, rendition, Links()).decode())
        check(playlist)
        history = self.seen.setdefault(rendition.name, [])
        if history:
            check_succession(history[-1], playlist)
            delta = parse(media_playlist(self.packager, rendition, Links(), is_delta=True).decode())
            rebuilt = apply_delta(history[-1], delta) if delta.skipped else delta.segments
            assert [s.uri for s in rebuilt] == [s.uri for s in playlist.segments]
            assert [s.map_uri for s in rebuilt] == [s.map_uri for s in playlist.segments]
        for segment in playlist.segments:
            for name in (segment.map_uri, *(part.uri for part in segment.parts)):
                assert rendition.resource(name), f"{name} is listed but not there"
            if segment.uri and not segment.is_gap:
                assert rendition.resource(segment.uri)
        history.append(playlist)

    def end(self) -> None:
        self.packager.on_end()
        self.look()

    def last(self, kind: str = "v") -> MediaPlaylist:
        return next(history[-1] for name, history in self.seen.items() if f"-{kind}" in name)

    def durations(self, kind: str = "v") -> list[float]:
        return [segment.duration for segment in self.last(kind).segments if segment.uri]


@pytest.fixture
async def watch() -> Watch:
    return Watch()


@pytest.mark.parametrize("rate", [24, 25, 29.97, 30, 50, 59.94, 60])
async def test_common_frame_rates(watch: Watch, rate: float):
    watch.packager.on_tracks((VIDEO, AUDIO), {})
    watch.feed(merged(frames(rate, 20, 2), sounds(20)))
    watch.end()
    assert all(1.9 <= duration <= 2.1 for duration in watch.durations()[:-1])
    assert all(1.9 <= duration <= 2.1 for duration in watch.durations("a")[:-1])
    assert watch.last().is_independent
    assert watch.last().is_ended


@pytest.mark.parametrize("rate", [1, 2, 5, 7, 10, 12])
async def test_slow_frames_make_part_target_a_whole_number_of_them(watch: Watch, rate: float):
    watch.packager.on_tracks((VIDEO,), {})
    watch.feed(frames(rate, 30, 2))
    watch.end()
    assert watch.last().part_target >= 1 / rate
    assert not any(segment.is_discontinuous for segment in watch.last().segments)


async def test_sequence_numbers_mean_the_same_time_in_every_rendition(watch: Watch):
    watch.packager.on_tracks((VIDEO, AUDIO), {})
    watch.feed(merged(frames(30, 15, 2), sounds(15)))
    starts = [
        {segment.sequence: segment.start for segment in rendition.segments}
        for rendition in watch.packager.renditions.values()
    ]
    assert all(
        abs(starts[0][number] - starts[1][number]) < 0.025 for number in starts[0] if number in starts[1]
    )
    video, audio = watch.packager.renditions.values()
    assert list(watch.last().reports) == [f"{audio.name}.m3u8"]
    assert list(watch.last("a").reports) == [f"{video.name}.m3u8"]


async def test_a_long_group_of_pictures_raises_target_duration_before_anything_is_listed(watch: Watch):
    watch.packager.on_tracks((VIDEO, AUDIO), {})
    watch.feed(merged(frames(30, 45, 10), sounds(45)))
    assert watch.packager.target_duration == 10
    assert watch.last().is_independent


async def test_a_group_that_grows_later_is_cut_and_the_playlist_says_so(watch: Watch):
    watch.packager.on_tracks((VIDEO,), {})
    watch.feed(frames(30, 6, 2))
    watch.feed(frames(30, 16, 8, start=6))
    assert watch.packager.target_duration == 2
    assert not watch.last().is_independent


async def test_a_stream_without_keyframes_after_the_first_is_bounded(watch: Watch):
    watch.packager.on_tracks((VIDEO,), {})
    watch.feed(frames(30, 120, 1000))
    (rendition,) = watch.packager.renditions.values()
    assert len(rendition.segments) <= watch.options.playlist_segments + 1
    assert len(rendition._resources) < 200


async def test_a_stream_without_any_keyframe_lists_nothing_and_keeps_nothing(watch: Watch):
    watch.packager.on_tracks((VIDEO,), {})
    watch.feed(frames(30, 60, 1000)[1:])
    (rendition,) = watch.packager.renditions.values()
    assert not watch.packager.is_ready
    assert rendition.is_empty
    assert len(rendition._resources) == 1


async def test_audio_only(watch: Watch):
    watch.packager.on_tracks((AUDIO,), {})
    watch.feed(sounds(20))
    watch.end()
    assert watch.durations("a")
    text = multivariant_playlist(watch.packager, Links()).decode()
    assert 'CODECS="mp4a.40.2"' in text
    assert "EXT-X-MEDIA:" not in text


async def test_audio_that_appears_late_joins_at_the_next_segment(watch: Watch):
    watch.packager.on_tracks((VIDEO,), {})
    watch.feed(frames(30, 7, 2))
    watch.packager.on_tracks((VIDEO, AUDIO), {})
    watch.feed(merged(frames(30, 12, 2, start=8), sounds(12, start=8)))
    assert watch.last("a").segments[0].sequence > 0
    assert "EXT-X-MEDIA:TYPE=AUDIO" in multivariant_playlist(watch.packager, Links()).decode()


async def test_a_changed_configuration_is_a_discontinuity_with_a_new_map_everywhere(watch: Watch):
    watch.packager.on_tracks((VIDEO, AUDIO), {})
    watch.feed(merged(frames(30, 6, 2), sounds(6)))
    watch.packager.on_tracks((OTHER_VIDEO, AUDIO), {})
    watch.feed(merged(frames(30, 6, 2, start=6, track=OTHER_VIDEO), sounds(6, start=6)))
    video, audio = watch.last(), watch.last("a")
    assert len({segment.map_uri for segment in video.segments}) == 2
    broken = [segment.sequence for segment in video.segments if segment.is_discontinuous]
    assert len(broken) == 1
    assert broken == [segment.sequence for segment in audio.segments if segment.is_discontinuous]
    watch.feed(merged(frames(30, 30, 2, start=12, track=OTHER_VIDEO), sounds(30, start=12)))
    assert watch.last().discontinuity_sequence == 1


async def test_an_interruption_is_a_discontinuity(watch: Watch):
    watch.packager.on_tracks((VIDEO, AUDIO), {})
    watch.feed(merged(frames(30, 7.3, 2), sounds(7.3)))
    watch.packager.on_interrupted()
    watch.look()
    watch.feed(merged(frames(30, 6, 2, start=11), sounds(6, start=11)))
    assert [s.is_discontinuous for s in watch.last().segments].count(True) == 1
    assert [s.is_discontinuous for s in watch.last("a").segments].count(True) == 1


async def test_audio_that_drops_out_is_listed_as_a_gap(watch: Watch):
    watch.packager.on_tracks((VIDEO, AUDIO), {})
    watch.feed(merged(frames(30, 16, 2), sounds(4), sounds(6, start=10)))
    sequences = [segment.sequence for segment in watch.last("a").segments]
    assert sequences == list(range(sequences[0], sequences[-1] + 1))
    assert any(segment.is_gap for segment in watch.last("a").segments)


async def test_several_video_tracks_are_variants(watch: Watch):
    watch.packager.on_tracks((VIDEO, AUDIO, SECOND_VIDEO), {})
    watch.feed(merged(frames(30, 8, 2), frames(30, 8, 2, track=SECOND_VIDEO), sounds(8)))
    text = multivariant_playlist(watch.packager, Links()).decode()
    assert text.count("#EXT-X-STREAM-INF:") == 2
    assert text.count("RESOLUTION=640x360") == 2


async def test_a_track_that_cannot_be_packaged_costs_only_itself(watch: Watch):
    broken = Track(3, TrackKind.AUDIO, Codec.OPUS, 48_000, b"not an OpusHead")
    watch.packager.on_tracks((VIDEO, broken), {})
    watch.feed(frames(30, 6, 2))
    assert len(watch.packager.renditions) == 1
    assert watch.durations()


async def test_a_track_that_goes_ends_its_playlist_and_the_other_goes_on(watch: Watch):
    watch.packager.on_tracks((VIDEO, AUDIO), {})
    watch.feed(merged(frames(30, 6, 2), sounds(6)))
    audio = watch.packager.renditions[AUDIO.id]
    watch.packager.on_tracks((VIDEO,), {})
    assert parse(media_playlist(watch.packager, audio, Links()).decode()).is_ended
    before = watch.last().segments[-1].sequence
    watch.feed(frames(30, 6, 2, start=6))
    assert watch.last().segments[-1].sequence > before


async def test_what_left_the_playlist_stays_for_as_long_as_the_playlist_lasts(watch: Watch):
    watch.packager.on_tracks((VIDEO,), {})
    watch.feed(frames(30, 60, 2))
    (rendition,) = watch.packager.renditions.values()
    first = rendition.segments[0].sequence
    for sequence in range(first - watch.options.playlist_segments, first):
        assert rendition.resource(f"{rendition.name}-{sequence}.m4s"), sequence


async def test_memory_is_bounded_in_bytes():
    watch = Watch(HlsOptions(max_bytes=200_000))
    watch.packager.on_tracks((VIDEO,), {})
    big = [MediaPacket(VIDEO, n * 3000, n * 3000, n % 60 == 0, bytes(2000), n / 30) for n in range(3000)]
    watch.feed(big)
    (rendition,) = watch.packager.renditions.values()
    assert rendition.kept_bytes <= 200_000 + 4 * 60 * 2100
    assert len(rendition.segments) >= 3


async def test_codecs_bandwidth_and_frame_rate_are_those_of_the_media(watch: Watch):
    watch.packager.on_tracks((VIDEO, AUDIO), {})
    watch.feed(merged(frames(30, 10, 2), sounds(10)))
    text = multivariant_playlist(watch.packager, Links()).decode()
    assert 'CODECS="avc1.42C01E,mp4a.40.2"' in text
    assert "RESOLUTION=640x360,FRAME-RATE=30.000" in text
    token = multivariant_playlist(watch.packager, Links("?token=abc")).decode()
    uris = [line for line in token.splitlines() if ".m3u8" in line]
    assert uris
    assert all("?token=abc" in line for line in uris)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.floats(8, 60),
    st.floats(0.4, 6),
    st.floats(0, 0.4),
)
async def test_whatever_the_timing(seed: int, rate: float, gop_seconds: float, jitter: float):
    chance = random.Random(seed)
    packets = []
    at = 0.0
    gop = max(1, round(rate * gop_seconds))
    for index in range(int(rate * 14)):
        dts = int(at * 1000) * 90
        packets.append(MediaPacket(VIDEO, dts, dts, index % gop == 0, b"x" * 10, at))
        at += max(0.002, (1 / rate) * (1 + chance.uniform(-jitter, jitter)))
    watch = LooseWatch()
    watch.packager.on_tracks((VIDEO, AUDIO), {})
    watch.feed(merged(packets, sounds(at)))
    watch.end()


class LooseWatch(Watch):
    """Frames of any length cannot fill parts to 85 percent; every other rule holds."""

    def _check(self, rendition: Rendition) -> None:
        if rendition.track.kind is TrackKind.AUDIO:
            super()._check(rendition)
            return
        playlist = parse(media_playlist(self.packager, rendition, Links()).decode())
        over = [p for s in playlist.segments for p in s.parts if p.duration > playlist.part_target + 1e-4]
        assert not over
        assert all(round(s.duration) <= playlist.target_duration for s in playlist.segments)
        history = self.seen.setdefault(rendition.name, [])
        if history:
            check_succession(history[-1], playlist)
        history.append(playlist)
