"""Made-up streams through the packager, every playlist on the way held against the RFC."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediaserver.delivery.hls.opening import SHORTEST_TAIL
from mediaserver.delivery.hls.options import HlsOptions
from mediaserver.delivery.hls.packager import MAX_FORMER
from mediaserver.media.packet import MediaPacket
from tests.helpers.hls_checker import attributes, fragment_times
from tests.mediaserver.delivery.hls.streams import (
    AUDIO,
    OTHER_VIDEO,
    VIDEO,
    WALL_CLOCK,
    Watch,
    frame,
    frames,
    sounds,
    with_b_frames,
)

ALIGNED = SHORTEST_TAIL + 0.025
"""Seconds by which segments of sound may begin before those of video: a tail too short, and half a frame."""


@pytest.mark.parametrize("rate", [24, 25, 29.97, 30, 50, 59.94, 60])
def test_common_frame_rates(rate: float):
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(rate, 20, 2), sounds(20))
    watch.end()
    assert all(1.9 <= duration <= 2.1 for duration in watch.durations()[:-1])
    assert all(1.7 <= duration <= 2.35 for duration in watch.durations(AUDIO)[:-1])
    assert watch.last().is_independent
    assert watch.last().is_ended
    for track in (VIDEO, AUDIO):
        tails = [
            s.parts[-1].duration
            for p in watch.seen[watch.rendition(track).name]
            for s in p.complete
            if s.parts
        ]
        assert min(tails[:-1]) > 0.25, "players miss shorter ones"
    assert not any(part.is_gap for part in watch.last().parts)


@pytest.mark.parametrize("rate", [0.5, 1, 2, 5, 7, 10, 12])
def test_slow_frames_make_part_target_a_whole_number_of_them(rate: float):
    watch = Watch()
    watch.tracks(VIDEO)
    watch.feed(frames(rate, 30, 2))
    assert watch.last().part_target >= 1 / rate
    assert not any(segment.is_discontinuous for segment in watch.last().segments)
    assert not any(part.is_gap for part in watch.last().parts)


def test_b_frames_keep_their_times():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    packets = with_b_frames(30, 12, 2)
    watch.feed(packets, sounds(12))
    parts = [part for segment in watch.last().segments for part in segment.parts]
    presented = [
        times.decode_time + sum(times.durations[:n]) + offset
        for times in (fragment_times(bytes(watch.packager.data(p.uri) or b"")) for p in parts)
        for n, offset in enumerate(times.offsets)
    ]
    fed = [packet.pts for packet in packets]
    first = fed.index(presented[0])
    assert presented == fed[first : first + len(presented)]


def test_sequence_numbers_mean_the_same_time_in_every_rendition():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 15, 2), sounds(15))
    video, audio = ({s.sequence: s.start for s in watch.rendition(t).window.listed} for t in (VIDEO, AUDIO))
    assert all(abs(video[number] - audio[number]) < ALIGNED for number in video.keys() & audio.keys())
    assert watch.last().reports.keys() == {watch.rendition(AUDIO).uri}
    assert watch.last(AUDIO).reports.keys() == {watch.rendition().uri}


def test_a_report_says_what_the_other_playlist_says():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 7.7, 2), sounds(7.7))
    reports = watch.packager.playlist(watch.rendition()).reports
    assert (reports[0].last_sequence, reports[0].last_part) == watch.last(AUDIO).last_part


@pytest.mark.parametrize("skew", [-0.3, 0.3])
def test_sound_that_is_sent_earlier_or_later_than_its_picture(skew: float):
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    packets = [(p.dts / p.track.clock_rate, p) for p in frames(30, 15, 2)]
    packets += [(p.dts / p.track.clock_rate + skew, p) for p in sounds(15)]
    for _, packet in sorted(packets, key=lambda timed: timed[0]):
        watch.packager.on_packet(packet)
        watch.look()
    assert watch.last().segments[-1].sequence - watch.last(AUDIO).segments[-1].sequence in (-1, 0, 1)
    assert not any(part.is_gap for part in watch.last(AUDIO).parts)


def test_nothing_is_listed_before_the_first_segment_is_over():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 2, 2), sounds(2))
    assert not watch.packager.is_ready
    watch.feed(frames(30, 0.2, 2, start=2), sounds(0.2, start=2))
    assert watch.packager.is_ready


def test_a_long_group_of_pictures_raises_target_duration_before_anything_is_listed():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 45, 10), sounds(45))
    assert watch.packager.target_duration == 10
    assert watch.last().is_independent


def test_a_group_that_grows_later_is_cut_and_the_promise_withdrawn():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 6, 2) + frames(30, 16, 8, start=6), sounds(22))
    assert watch.packager.target_duration == 2
    assert not watch.last().is_independent
    assert watch.last(AUDIO).is_independent
    assert watch.last().segments[-1].sequence == watch.last(AUDIO).segments[-1].sequence


def test_a_stream_without_keyframes_after_the_first_is_bounded():
    watch = Watch()
    watch.tracks(VIDEO)
    watch.feed(frames(30, 60, 1000))
    before = watch.packager.store.total
    watch.feed(frames(30, 240, 1000, start=60)[1:])
    assert watch.packager.target_duration == watch.options.longest_segment
    assert watch.packager.store.total < 8 * before
    assert not watch.last().is_independent


def test_a_stream_without_any_keyframe_begins_after_a_while():
    watch = Watch()
    watch.tracks(VIDEO)
    watch.feed(frames(30, 60, 1000)[1:])
    assert watch.packager.is_ready
    assert not watch.last().is_independent


def test_nothing_is_kept_while_waiting_for_a_keyframe():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 9, 1000)[1:], sounds(9))
    assert watch.packager.store.total == 0
    assert len(watch.packager._opening.packets) == 0


def test_audio_only():
    watch = Watch()
    watch.tracks(AUDIO)
    watch.feed(sounds(20))
    watch.end()
    assert all(abs(duration - 2) < 0.3 for duration in watch.durations(AUDIO)[:-1])
    text = watch.packager.multivariant().decode()
    assert 'CODECS="mp4a.40.2"' in text
    assert "EXT-X-MEDIA:" not in text


def test_a_variable_frame_rate_with_freezes_keeps_every_rule():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    moments = [n / 30 for n in range(600) if not 100 < n < 112 and not 200 < n < 218 and not 300 < n < 400]
    packets = [frame(at, is_keyframe=round(at * 30) % 60 == 0) for at in moments]
    watch.feed(packets, sounds(20))
    gaps = [part.duration for playlist in watch.seen[watch.rendition().name][-1:] for part in playlist.parts]
    assert gaps
    presented = set()
    for playlist in watch.seen[watch.rendition().name]:
        for part in playlist.parts:
            if not part.is_gap and (data := watch.packager.data(part.uri)) is not None:
                times = fragment_times(bytes(data))
                starts = [times.decode_time + sum(times.durations[:n]) for n in range(len(times.durations))]
                presented |= {start + offset for start, offset in zip(starts, times.offsets, strict=True)}
    assert presented <= {packet.pts for packet in packets}


def test_what_left_the_playlist_stays_for_as_long_as_the_playlist_lasts():
    watch = Watch()
    watch.tracks(VIDEO)
    watch.feed(frames(30, 60, 2))
    rendition = watch.rendition()
    first = watch.last().media_sequence
    for sequence in range(first - watch.options.playlist_segments, first):
        assert watch.packager.data(f"{rendition.name}.s{sequence}.m4s"), sequence
    assert watch.packager.data(f"{rendition.name}.s{first - 12}.m4s") is None


@pytest.mark.parametrize("gop_seconds", [2, 1000])
def test_memory_is_bounded_in_bytes(gop_seconds: float):
    watch = Watch(HlsOptions(max_bytes=400_000))
    watch.tracks(VIDEO, AUDIO)
    gop = int(gop_seconds * 30)
    big = [frame(n / 30, is_keyframe=n % gop == 0, size=4000) for n in range(3000)]
    most = 0
    for packet in big:
        watch.packager.on_packet(packet)
        most = max(most, watch.packager.store.total)
    assert most <= 400_000 + 20 * 4100
    kept = sum(len(data) for name, data in watch.packager.store._data.items() if ".s" not in name)
    assert kept <= watch.packager.store.total


def test_nothing_is_kept_twice():
    watch = Watch()
    watch.tracks(VIDEO)
    watch.feed(frames(30, 5, 2))
    segment = watch.rendition().window.listed[0]
    whole = watch.packager.data(segment.name)
    for part in segment.parts:
        data = watch.packager.data(part.name)
        assert isinstance(data, memoryview)
        assert data.obj is whole


def test_codecs_bandwidth_and_frame_rate_are_those_of_the_media():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 10, 2), sounds(10))
    line = next(x for x in watch.packager.multivariant().decode().splitlines() if "STREAM-INF" in x)
    found = attributes(line)
    assert found["CODECS"] == "avc1.42C01E,mp4a.40.2"
    assert (found["RESOLUTION"], found["FRAME-RATE"]) == ("640x360", "30.000")
    sizes = {
        track.id: [s.size * 8 / s.duration for s in watch.rendition(track).window.listed]
        for track in (VIDEO, AUDIO)
    }
    assert int(found["BANDWIDTH"]) == pytest.approx(max(sizes[0]) + max(sizes[1]), abs=1)
    assert int(found["AVERAGE-BANDWIDTH"]) <= int(found["BANDWIDTH"])


def test_dates_are_those_of_the_clock_on_the_wall():
    watch = Watch()
    watch.tracks(VIDEO)
    watch.feed(frames(30, 5, 2))
    assert watch.last().segments[0].date == "2027-01-15T08:00:00.000Z"
    assert WALL_CLOCK == 1_800_000_000


def test_the_end_of_a_short_stream_lists_what_there_was():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 1, 2), sounds(1))
    watch.end()
    assert watch.last().is_ended
    assert watch.last().duration == pytest.approx(1, abs=0.05)


def test_the_end_of_a_stream_without_media_is_only_an_end():
    watch = Watch()
    watch.tracks(VIDEO)
    watch.end()
    assert watch.packager.is_ended
    assert not watch.packager.is_ready


def test_a_track_that_appears_after_a_discontinuity_counts_it_too():
    watch = Watch()
    watch.tracks(VIDEO)
    watch.feed(frames(30, 6, 2))
    watch.interrupt()
    watch.sweep(5)
    watch.interrupt()
    watch.tracks(OTHER_VIDEO, AUDIO)
    watch.feed(frames(30, 12, 2, start=12, track=OTHER_VIDEO), sounds(12, start=12))
    numbers = {}
    for track in (VIDEO, AUDIO):
        count = watch.last(track).discontinuity_sequence
        for segment in watch.last(track).segments:
            count += segment.is_discontinuous
            numbers.setdefault(segment.sequence, set()).add(count)
    assert all(len(found) == 1 for found in numbers.values())


def test_tracks_that_come_and_go_leave_nothing_behind():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    for n in range(30):
        watch.tracks(VIDEO, AUDIO)
        watch.feed(frames(30, 6, 2, start=n * 8.0), sounds(6, start=n * 8.0))
        watch.tracks(VIDEO)
        watch.feed(frames(30, 2, 2, start=n * 8.0 + 6))
    names = {name.rpartition("-")[2].partition(".")[0] for name in watch.packager.store._data}
    assert len(names) <= MAX_FORMER + 2
    sizes = {name: len(d) for name, d in watch.packager.store._data.items() if ".p" in name or ".i" in name}
    assert watch.packager.store.total == sum(sizes.values())


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rate=st.floats(2, 60),
    gop_seconds=st.floats(0.4, 6),
    jitter=st.floats(0, 0.95),
    freezes=st.integers(0, 4),
    cuts=st.integers(0, 2),
)
def test_whatever_the_timing(
    seed: int, rate: float, gop_seconds: float, jitter: float, freezes: int, cuts: int
):
    chance = random.Random(seed)
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    moments = _moments(chance, rate, jitter, freezes)
    gop = max(1, round(rate * gop_seconds))
    video = [frame(at, is_keyframe=n % gop == 0, offset=90 * (n % gop % 3)) for n, at in enumerate(moments)]
    audio = [packet for packet in sounds(moments[-1]) if chance.random() > 0.002 * freezes]
    breaks = sorted(chance.uniform(0, moments[-1]) for _ in range(cuts))
    begin = 0.0
    for until in (*breaks, moments[-1]):
        watch.feed(_between(video, begin, until), _between(audio, begin, until))
        begin = until
        if until in breaks:
            watch.interrupt()
            watch.sweep(chance.choice((0, 1, 5)))
            begin = max(begin, watch.now)
            watch.tracks(VIDEO, AUDIO)
    watch.end()


def _moments(chance: random.Random, rate: float, jitter: float, freezes: int) -> list[float]:
    frozen = {chance.randrange(int(rate * 14)): chance.uniform(0, 9) for _ in range(freezes)}
    at, moments = 0.0, []
    for index in range(int(rate * 14)):
        moments.append(at)
        at += max(0.002, (1 / rate) * (1 + chance.uniform(-jitter, jitter))) + frozen.get(index, 0.0)
    return moments


def _between(packets: list[MediaPacket], begin: float, until: float) -> list[MediaPacket]:
    return [p for p in packets if begin <= p.dts / p.track.clock_rate < until]
