from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.media.timestamps import (
    MAX_BACKWARD_MS,
    MAX_FORWARD_MS,
    MIN_RESUME_GAP_MS,
    TickClock,
    Timeline,
    TimestampUnwrapper,
)

VIDEO, AUDIO = 0, 1
Packet = tuple[int, int]
"""Track id and source time in ms."""

# Unwrapping


@pytest.mark.parametrize("wrap", [1 << 32, 1 << 31], ids=["2**32", "2**31"])
def test_unwraps_where_encoders_wrap(wrap: int) -> None:
    unwrapper = TimestampUnwrapper()
    times = [wrap - 40, wrap - 7, wrap + 3, wrap - 5, wrap + 33, wrap + 66, 2 * wrap - 10 + wrap // 2]
    assert [unwrapper.unwrap(time % wrap) for time in times[:6]] == times[:6]


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(-(2**30), 2**30 - 1), max_size=30),
    st.sampled_from([1 << 32, 1 << 31]),
)
def test_unwraps_any_steps(start: int, steps: list[int], wrap: int) -> None:
    unwrapper = TimestampUnwrapper()
    time = unwrapper.unwrap(start % wrap)
    assert time == start % wrap
    for step in steps:
        time += step
        assert unwrapper.unwrap(time % wrap) == time


# Placing


def _interleaved(seconds: int, start: int = 0) -> list[Packet]:
    """Audio every 21 ms and video every 33 ms, audio running 5 ms ahead."""
    video = [(VIDEO, start + time) for time in range(0, seconds * 1000, 33)]
    audio = [(AUDIO, start + time) for time in range(5, seconds * 1000, 21)]
    return sorted(video + audio, key=lambda packet: (packet[1], packet[0]))


def _place(timeline: Timeline, packets: list[Packet]) -> list[Packet]:
    return [(track, timeline.place(track, time)) for track, time in packets]


def _assert_monotonic(placed: list[Packet]) -> None:
    for track in (VIDEO, AUDIO):
        times = [time for other, time in placed if other == track]
        assert all(later >= earlier for earlier, later in pairwise(times))


def _skew(packets: list[Packet]) -> int:
    last = dict(packets)
    return last[AUDIO] - last[VIDEO]


def test_an_orderly_publisher_is_only_moved_to_zero() -> None:
    timeline = Timeline()
    packets = _interleaved(3, start=1_000_000)
    assert _place(timeline, packets) == [(track, time - 1_000_000) for track, time in packets]
    assert timeline.repairs == 0


def test_the_second_track_may_begin_a_little_before_the_first() -> None:
    timeline = Timeline()
    assert _place(timeline, [(VIDEO, 100), (AUDIO, 90), (AUDIO, 111)]) == [
        (VIDEO, 0),
        (AUDIO, 0),
        (AUDIO, 11),
    ]


@pytest.mark.parametrize("jump", [-3_600_000, -60_000, -1_500, 10_200, 60_000, 3_600_000, 2**30])
@pytest.mark.parametrize("stragglers", [0, 1, 4])
def test_a_jump_of_all_tracks_is_one_repair_and_keeps_them_in_step(jump: int, stragglers: int) -> None:
    timeline = Timeline()
    before, after = _interleaved(4), _interleaved(4, start=4_000 + jump)
    # The last audio packets of the old time arrive between the first video packets of the new.
    late = [packet for packet in before if packet[0] == AUDIO][-stragglers:] if stragglers else []
    early = [packet for packet in after if packet[0] == VIDEO][:stragglers]
    crossing = [packet for pair in zip(early, late, strict=True) for packet in pair]
    sent = [p for p in before if p not in late] + crossing + [p for p in after if p not in early]
    placed = _place(timeline, sent)
    assert timeline.repairs == 1
    _assert_monotonic(placed)
    assert _skew(placed) == _skew(sent)
    assert placed[-1][1] == pytest.approx(8_000, abs=100)


def test_tracks_of_different_origin_are_put_together_once() -> None:
    timeline = Timeline()
    packets = _interleaved(3)
    placed = _place(timeline, [(track, time + 7_200_000 * track) for track, time in packets])
    assert timeline.repairs == 1
    _assert_monotonic(placed)
    assert _skew(placed) == pytest.approx(_skew(packets), abs=10)
    assert placed[-1][1] == pytest.approx(3_000, abs=50)


def test_a_track_may_pause_and_come_back() -> None:
    timeline = Timeline()
    video = [(VIDEO, time) for time in range(0, 60_000, 40)]
    _place(timeline, [(AUDIO, 0), *video])
    assert timeline.place(AUDIO, 59_980) == 59_980
    assert timeline.repairs == 0


@pytest.mark.parametrize(
    ("step", "placed", "repairs"),
    [
        (0, 1_000, 0),
        (MAX_FORWARD_MS, 1_000 + MAX_FORWARD_MS, 0),
        (MAX_FORWARD_MS + 1, 1_001, 1),
        (-MAX_BACKWARD_MS, 0, 0),
        (-MAX_BACKWARD_MS - 1, 1_001, 1),
    ],
)
def test_where_a_step_becomes_a_jump(step: int, placed: int, repairs: int) -> None:
    timeline = Timeline()
    _place(timeline, [(VIDEO, 5_000), (VIDEO, 6_000)])
    assert timeline.place(VIDEO, 6_000 + step) == placed
    assert timeline.repairs == repairs


@pytest.mark.parametrize(("gap", "kept"), [(3_000, 3_000), (0, MIN_RESUME_GAP_MS), (-5, MIN_RESUME_GAP_MS)])
def test_the_next_publisher_goes_on_after_the_last(gap: int, kept: int) -> None:
    timeline = Timeline()
    before = _place(timeline, _interleaved(2, start=77_777))
    timeline.resume(gap)
    after = _place(timeline, _interleaved(2))
    assert after[0][1] == max(time for _, time in before) + kept
    assert _skew(after) == _skew(_interleaved(2))
    assert timeline.repairs == 0


def test_resuming_before_anything_came_changes_nothing() -> None:
    timeline = Timeline()
    timeline.resume(5_000)
    assert timeline.place(VIDEO, 123) == 0


any_times = st.lists(st.tuples(st.integers(0, 2), st.integers(-(2**33), 2**33)), max_size=60)


@given(any_times)
def test_no_times_whatever_break_the_timeline(packets: list[Packet]) -> None:
    timeline = Timeline()
    latest = 0
    by_track: dict[int, int] = {}
    for track, time in packets:
        placed = timeline.place(track, time)
        assert max(0, by_track.get(track, 0) - MAX_BACKWARD_MS) <= placed <= latest + MAX_FORWARD_MS
        by_track[track] = placed
        latest = max(latest, placed)
    assert timeline.repairs <= len(packets)


# Ticks


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("samples", [120, 576, 960, 1024, 1536, 2048])
def test_frames_follow_each_other_without_gap_although_milliseconds_are_rounded(
    rate: int, samples: int
) -> None:
    clock = TickClock(rate)
    frames = range(2_000)
    assert [clock.ticks(n * samples * 1000 // rate, samples) for n in frames] == [n * samples for n in frames]


def test_frames_with_one_timestamp_are_spread_by_their_samples() -> None:
    clock = TickClock(48_000)
    ticks = [clock.ticks(n // 3 * 64, 1024) for n in range(300)]
    durations = {later - earlier for earlier, later in pairwise(ticks)}
    assert max(durations) - min(durations) < 48  # a millisecond
    assert ticks[-1] == pytest.approx(300 * 1024, abs=3 * 1024)


@pytest.mark.parametrize("parts_per_million", [-300, -50, 50, 300])
def test_a_drifting_sound_card_is_followed_without_a_jump(parts_per_million: int) -> None:
    clock = TickClock(48_000)
    last = clock.ticks(0, 1024)
    for n in range(1, 200_000):
        told = n * 1024 * (1_000_000 + parts_per_million) // 48_000_000
        ticks = clock.ticks(told, 1024)
        assert abs(ticks - last - 1024) <= 2
        last = ticks
    assert last == pytest.approx(told * 48, abs=48 * 5)


def test_a_gap_in_the_sound_stays_a_gap() -> None:
    clock = TickClock(48_000)
    assert [clock.ticks(time, 1024) for time in (0, 21, 1_000, 1_021)] == [0, 1024, 48_000, 49_024]


def test_packets_of_one_timestamp_still_rise() -> None:
    clock = TickClock(90_000)
    assert [clock.ticks(time) for time in (0, 0, 0, 40, 39, 80)] == [0, 1, 2, 3_600, 3_601, 7_200]


@given(
    st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 5_760)), max_size=60),
    st.sampled_from([1_000, 44_100, 48_000, 90_000]),
)
def test_ticks_always_rise(packets: list[Packet], rate: int) -> None:
    clock = TickClock(rate)
    ticks = [clock.ticks(milliseconds, duration) for milliseconds, duration in packets]
    assert all(later > earlier for earlier, later in pairwise(ticks))
