"""Streams of one publisher on one clock."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.gateways.rtp_clock import MAX_SKEW_SECONDS, PublisherClock, TrackClock

NTP = 3_900_000_000 << 32
"""Some day in 2023."""
VIDEO, AUDIO = 90_000, 48_000


def _ntp(seconds: float) -> int:
    return NTP + round(seconds * (1 << 32))


class _Sender:
    """A stream that begins to count at ``first``, and says so."""

    def __init__(self, clock: TrackClock, rate: int, first: int) -> None:
        self.clock, self.rate, self.first = clock, rate, first

    def timestamp(self, seconds: float) -> int:
        return self.first + round(seconds * self.rate)

    def report(self, seconds: float) -> None:
        self.clock.sender_report(_ntp(seconds), self.timestamp(seconds) & 0xFFFF_FFFF)

    def placed(self, seconds: float, received_at: float) -> float:
        """Where the frame captured at ``seconds`` is, in seconds."""
        return self.clock.place(self.timestamp(seconds), received_at) / self.rate


def _senders(origin: float = 0.0, firsts: tuple[int, int] = (7, 0xFFFF_0000)) -> tuple[_Sender, _Sender]:
    publisher = PublisherClock(origin)
    return (
        _Sender(publisher.track(VIDEO), VIDEO, firsts[0]),
        _Sender(publisher.track(AUDIO), AUDIO, firsts[1]),
    )


def test_without_reports_arrival_tells() -> None:
    video, audio = _senders(100.0)
    assert audio.placed(0.0, 50.0) == 100.0
    assert audio.placed(0.02, 50.5) == pytest.approx(100.02), "only the first one's arrival counts"
    assert video.placed(0.0, 50.3) == pytest.approx(100.3)


@given(
    st.floats(0, 0.5),
    st.tuples(st.integers(0, 0xFFFF_FFFF), st.integers(0, 0xFFFF_FFFF)),
    st.booleans(),
)
def test_reports_bring_late_video_in_step_with_audio(
    lateness: float, firsts: tuple[int, int], reports_come_first: bool
) -> None:
    video, audio = _senders(firsts=firsts)
    if reports_come_first:
        audio.report(0.0)
        video.report(0.0)
    audio.placed(0.0, 10.0)
    video.placed(0.0, 10.0 + lateness)
    audio.report(1.0)
    video.report(1.0)
    skew = video.placed(2.0, 12.0 + lateness) - audio.placed(2.0, 12.0)
    assert abs(skew) <= 0.006


def test_it_does_not_matter_who_reports_first() -> None:
    video, audio = _senders()
    video.placed(0.0, 10.0)
    audio.placed(0.0, 10.4)
    video.report(0.5)
    video.placed(1.0, 11.0)
    audio.report(0.5)
    assert audio.placed(1.0, 11.4) == pytest.approx(video.placed(1.1, 11.1) - 0.1, abs=0.006)


def test_small_differences_are_left_alone() -> None:
    _, audio = _senders()
    for second in range(5):
        audio.clock.sender_report(_ntp(second + 0.004 * (second % 2)), audio.timestamp(second) & 0xFFFF_FFFF)
        assert audio.clock.place(audio.timestamp(second), 10.0 + second) == second * AUDIO


def test_time_never_goes_back() -> None:
    video, audio = _senders()
    audio.placed(0.0, 10.0)
    audio.report(0.0)
    audio.placed(0.02, 10.02)
    before = [video.clock.place(video.timestamp(n / 30), 10.4 + n / 30) for n in range(10)]
    video.report(0.3)
    after = [video.clock.place(video.timestamp(n / 30), 10.4 + n / 30) for n in range(10, 40)]
    placed = before + after
    assert placed == sorted(set(placed))
    assert placed[-1] == pytest.approx(39 / 30 * VIDEO, abs=0.006 * VIDEO)


def test_distances_are_the_publishers() -> None:
    _, audio = _senders()
    placed = [audio.clock.place(audio.first + 960 * n, 10.0 + n * 0.021) for n in range(50)]
    assert {after - before for before, after in pairwise(placed)} == {960}


@pytest.mark.parametrize("ntp", [0, 1, _ntp(3600), _ntp(-3600), (1 << 64) - 1])
def test_reports_that_make_no_sense_are_not_followed(ntp: int) -> None:
    video, audio = _senders()
    audio.placed(0.0, 10.0)
    audio.report(0.0)
    audio.placed(0.02, 10.02)
    video.placed(0.0, 10.1)
    video.clock.sender_report(ntp, video.timestamp(0.0))
    assert video.placed(1.0, 11.1) == pytest.approx(1.1)


def test_timestamps_that_jump_place_all_streams_anew_and_in_step() -> None:
    publisher = PublisherClock()
    video = _Sender(publisher.track(VIDEO), VIDEO, 0)
    audio = _Sender(publisher.track(AUDIO), AUDIO, 0)
    for sender in (audio, video):
        sender.report(0.0)
        sender.placed(0.0, 10.0)
    gap = MAX_SKEW_SECONDS * 100
    for sender in (audio, video):
        sender.report(gap)
    placed = [sender.placed(gap + 0.1, 11.0 + late) for sender, late in ((audio, 0.0), (video, 0.3))]
    assert publisher.resets == 1
    assert placed == pytest.approx([1.0, 1.0], abs=0.006)


def test_streams_that_ended_are_forgotten() -> None:
    publisher = PublisherClock()
    audio = publisher.track(AUDIO)
    for _ in range(100):
        publisher.track(VIDEO).place(0, 10.0)
    assert publisher.track_count == 1
    audio.place(0, 10.0)


def test_a_liar_cannot_run_away_from_the_time_of_arrival() -> None:
    video, audio = _senders()
    audio.placed(0.0, 10.0)
    audio.report(0.0)
    audio.placed(0.01, 10.01)
    for step in range(1, 200):
        video.clock.sender_report(_ntp(step * 3), video.timestamp(0.0))
        assert video.placed(step / 100, 10.0 + step / 100) < MAX_SKEW_SECONDS + 3
