"""Parts by themselves: how long they are, and that no sample is lost or presented at another time."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.delivery.hls.cutter import MAX_PART_BYTES, PartCutter, Run
from mediaserver.media.packet import MediaPacket, Track
from tests.mediaserver.delivery.hls.streams import AUDIO, VIDEO

TARGET = 45_000
SHORTEST = 38_250


def packets(times: list[int], track: Track = VIDEO) -> list[MediaPacket]:
    return [MediaPacket(track, dts, dts + 9000, n == 0, b"%d" % n, 0.0) for n, dts in enumerate(times)]


def cut(fed: list[MediaPacket], track: Track = VIDEO, target: float = 0.5) -> list[Run]:
    cutter = PartCutter(track, target)
    runs = [run for packet in fed for run in cutter.add(packet)]
    last = cutter.finish()
    return [*runs, last] if last is not None else runs


def test_frames_that_fit_are_cut_as_they_are():
    runs = cut(packets([n * 3000 for n in range(46)]))
    assert [run.duration for run in runs] == [45_000, 45_000, 45_000, 3000]
    assert [packet.dts for run in runs for packet in run.packets] == [n * 3000 for n in range(46)]


def test_a_part_ends_as_soon_as_it_is_full():
    cutter = PartCutter(VIDEO, 0.5)
    fed = packets([n * 3000 for n in range(16)])
    assert [len(cutter.add(packet)) for packet in fed] == [0] * 15 + [1]


def test_a_frame_that_does_not_fit_is_decoded_earlier_and_presented_when_it_was():
    runs = cut(packets([0, 18_000, 36_000, 54_000, 72_000]))
    assert runs[0].duration == TARGET
    moved = runs[1].packets[0]
    assert (moved.dts, moved.pts) == (TARGET, 54_000 + 9000)


def test_a_hole_too_long_to_bridge_is_a_gap():
    runs = cut(packets([0, 3000, 200_000, 203_000]))
    assert [(bool(run.packets), run.start, run.duration) for run in runs] == [
        (True, 0, TARGET),
        (False, 45_000, TARGET),
        (False, 90_000, TARGET),
        (False, 135_000, TARGET),
        (False, 180_000, 20_000),
        (True, 200_000, 6000),
    ]


def test_sound_is_never_moved():
    times = [0, 1024, 2048, 60_000, 61_024]
    runs = cut(packets(times, AUDIO), AUDIO)
    assert [packet.dts for run in runs for packet in run.packets] == times
    assert [run.duration for run in runs if not run.packets] == [24_000, 24_000, 60_000 - 3072 - 48_000]


def test_sound_that_comes_after_its_time_was_given_up_is_left_out():
    cutter = PartCutter(AUDIO, 0.5)
    cutter.add(packets([0], AUDIO)[0])
    cutter.finish()
    cutter.gap(0, 20_000)
    assert cutter.add(packets([15_000], AUDIO)[0]) == []
    assert not cutter.pending


def test_a_picture_that_comes_after_its_time_was_given_up_is_kept():
    cutter = PartCutter(VIDEO, 0.5)
    cutter.add(packets([0])[0])
    cutter.finish()
    cutter.gap(0, 90_000)
    for packet in packets([50_000, 53_000, 100_000]):
        cutter.add(packet)
    assert [packet.dts for packet in cutter.pending] == [90_000, 90_001, 100_000]
    assert [packet.pts for packet in cutter.pending] == [59_000, 62_000, 109_000]


def test_splitting_within_a_part():
    cutter = PartCutter(AUDIO, 0.5)
    for packet in packets([n * 1024 for n in range(10)], AUDIO):
        cutter.add(packet)
    assert cutter.split(5 * 1024 + 9000, shortest=5 * 1024 + 1) is None
    run = cutter.split(5 * 1024 + 9000, shortest=5 * 1024)
    assert run is not None
    assert (len(run.packets), run.duration) == (5, 5 * 1024)
    assert cutter.split(5 * 1024 + 9000, shortest=1) is None
    assert cutter.split(10**9, shortest=1) is None


@given(
    st.lists(st.integers(1, 400_000) | st.integers(1, 9000), min_size=1, max_size=120),
    st.sampled_from([VIDEO, AUDIO]),
    st.sampled_from([0.1, 0.35, 0.5, 1.001]),
)
def test_whatever_the_distances(distances: list[int], track: Track, target: float):
    times = [sum(distances[:n]) for n in range(len(distances) + 1)]
    fed = packets(times, track)
    runs = cut(fed, track, target)
    ticks = int(target * track.clock_rate)
    assert [packet.payload for run in runs for packet in run.packets] == [p.payload for p in fed]
    assert [packet.pts for run in runs for packet in run.packets] == [p.pts for p in fed]
    assert all(before.start + before.duration == after.start for before, after in pairwise(runs))
    for run, following in pairwise(runs):
        assert 0 < run.duration <= ticks
        if track is VIDEO and run.packets and following.packets:
            assert run.duration >= 0.85 * target * track.clock_rate
    for run in runs:
        decoded = [packet.dts for packet in run.packets]
        assert all(before < after for before, after in pairwise(decoded))
        assert not decoded or (decoded[0] == run.start and run.last_duration > 0)


@pytest.mark.parametrize("count", [1, 20])
def test_nothing_lasts_longer_than_allowed_at_the_end(count: int):
    runs = cut(packets([n * 2250 for n in range(count)]))
    assert all(run.duration <= TARGET for run in runs)


def test_a_clock_that_stands_still_cannot_fill_the_memory():
    cutter = PartCutter(VIDEO, 0.5)
    parts = [
        run for n in range(5000) for run in cutter.add(MediaPacket(VIDEO, n, n, n == 0, bytes(50_000), 0.0))
    ]
    assert parts
    assert sum(len(packet.payload) for packet in cutter.pending) <= MAX_PART_BYTES + 50_000
