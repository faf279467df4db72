"""Reception statistics: loss, jitter, restarts, sender clocks, round trips."""

from __future__ import annotations

import pytest
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import RtpPacket
from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol import reception
from sfu.protocol.reception import DROPPED, RemoteReception, SenderClock, StreamReception, round_trip

NTP = 3_900_000_000 << 32


def _fed(numbers: list[int]) -> StreamReception:
    stream = StreamReception(42, 90_000)
    for position, number in enumerate(numbers):
        stream.receive(number & 0xFFFF, 3000 * position, 1000, position / 30)
    return stream


def test_without_packets_there_is_no_report() -> None:
    stream = StreamReception(1, 48_000)
    assert stream.report(0.0) is None
    assert (stream.lost, stream.jitter) == (0, 0.0)


def test_an_even_stream_has_neither_loss_nor_jitter() -> None:
    report = _fed(list(range(65_500, 65_600))).report(10.0)
    assert report is not None
    assert (report.ssrc, report.fraction_lost, report.total_lost, report.jitter) == (42, 0, 0, 0)
    assert report.highest & 0xFFFF == 63


def test_the_fraction_is_of_the_interval_and_the_total_of_all() -> None:
    stream = _fed([number for number in range(100) if number % 4])
    first = stream.report(10.0)
    assert first is not None
    # Number 0 was never expected: the stream began with 1.
    assert (first.total_lost, first.fraction_lost) == (24, (24 << 8) // 99)
    for number in range(100, 200):
        stream.receive(number, 0, 1000, 11.0)
    second = stream.report(12.0)
    assert second is not None
    assert (second.total_lost, second.fraction_lost) == (24, 0)
    assert stream.lost == 24


def test_duplicates_do_not_hide_losses() -> None:
    stream = _fed([0, 1, 3])
    stream.receive(3, 0, 1000, 1.0)
    stream.duplicate()
    report = stream.report(1.0)
    assert report is not None and report.total_lost == 1
    assert stream.duplicates == 1


def test_a_whole_interval_lost_fits_its_byte() -> None:
    stream = _fed([0])
    stream.report(1.0)
    stream.receive(10, 0, 1000, 2.0)
    stream.duplicate()
    report = stream.report(2.0)
    assert report is not None and report.fraction_lost == 255


def test_late_packets_count() -> None:
    stream = _fed([10, 12, 11, 9])
    report = stream.report(1.0)
    assert report is not None
    assert (report.total_lost, report.fraction_lost) == (-1, 0)


def test_a_packet_from_nowhere_is_dropped_and_two_are_a_restart() -> None:
    stream = _fed([100, 101])
    stream.sender_report(NTP, 0, 1.0)
    assert stream.receive(40_000, 0, 1000, 1.0) == DROPPED
    assert stream.receive(102, 0, 1000, 1.0) != DROPPED
    assert stream.receive(40_000, 0, 1000, 1.0) == DROPPED
    assert stream.restarts == 0
    assert stream.receive(40_001, 0, 1000, 1.0) & 0xFFFF == 40_001
    assert stream.restarts == 1
    assert not stream.clock.known
    report = stream.report(2.0)
    assert report is not None and report.total_lost == 0


@given(st.lists(st.tuples(st.integers(0, 3000), st.floats(0, 0.2)), min_size=1, max_size=100))
def test_jitter_is_the_mean_difference_of_spacings(steps: list[tuple[int, float]]) -> None:
    stream = StreamReception(1, 90_000)
    now, timestamp, expected = 1_000.0, 0xFFFF_0000, 0.0
    for number, (ticks, seconds) in enumerate(steps):
        now += seconds
        timestamp += ticks
        stream.receive(number, timestamp & 0xFFFF_FFFF, 100, now)
        if number:
            expected += (abs(seconds * 90_000 - ticks) - expected) / 16
    assert stream.jitter * 90_000 == pytest.approx(expected, abs=2)


def test_aiortc_sees_the_same_loss() -> None:
    theirs = StreamStatistics(90_000)
    numbers = [number for number in range(65_000, 66_000) if number % 7]
    for number in numbers:
        theirs.add(RtpPacket(sequence_number=number & 0xFFFF))
    report = _fed(numbers).report(1.0)
    assert report is not None
    assert (report.total_lost, report.fraction_lost) == (theirs.packets_lost, theirs.fraction_lost)


@given(
    st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF), st.floats(-1, 5)), max_size=200)
)
def test_any_packets_make_reports_that_fit(packets: list[tuple[int, int, float]]) -> None:
    stream = StreamReception(1, 90_000)
    now = 0.0
    for number, timestamp, step in packets:
        now += step
        stream.receive(number, timestamp, 100, now)
        report = stream.report(now)
        assert report is not None
        assert 0 <= report.fraction_lost <= 255
        assert -0x80_0000 <= report.total_lost <= 0x7F_FFFF
        assert 0 <= report.jitter <= 0xFFFF_FFFF
        assert 0 <= report.delay <= 0xFFFF_FFFF


def test_the_report_echoes_the_last_sender_report() -> None:
    stream = _fed([1])
    stream.sender_report(NTP | 0x1234_5678, 0, 5.0)
    report = stream.report(5.5)
    assert report is not None
    assert report.last_sender_report == (NTP >> 16 & 0xFFFF_0000) | 0x1234
    assert report.delay == 32768


def test_a_clock_maps_timestamps_over_the_wrap() -> None:
    clock = SenderClock(90_000)
    assert not clock.known
    clock.update(NTP, 0xFFFF_FF00)
    assert clock.known
    assert clock.time_of(0xFFFF_FF00 + 90_000 & 0xFFFF_FFFF) == pytest.approx((NTP >> 32) + 1)
    assert clock.timestamp_at((NTP >> 32) + 1) == 0xFFFF_FF00 + 90_000 & 0xFFFF_FFFF
    clock.update(0, 5)
    assert not clock.known
    with pytest.raises(ValueError):
        SenderClock(0)


@given(st.integers(0, 0xFFFF_FFFF), st.integers(0, 0xFFFF_FFFF))
def test_a_clock_goes_there_and_back(base: int, timestamp: int) -> None:
    clock = SenderClock(48_000)
    clock.update(NTP, base)
    assert clock.timestamp_at(clock.time_of(timestamp)) == timestamp


def test_the_round_trip_is_what_passed_less_the_delay() -> None:
    sent = NTP >> 16 & 0xFFFF_FFFF
    assert round_trip(NTP + (3 << 31), sent, 65536) == pytest.approx(0.5)
    assert round_trip(NTP, 0, 0) is None
    assert round_trip(NTP, sent, 1) == 0.0
    assert round_trip(NTP + (60 << 32), sent, 0) is None
    assert round_trip(NTP, sent, 0x7000_0000) is None


def test_what_a_receiver_reported_is_kept() -> None:
    remote = RemoteReception(90_000)
    block = reception.ReceptionReport(1, 64, 7, 100, 900, NTP >> 16 & 0xFFFF_FFFF, 0)
    remote.report(block, NTP + (1 << 30))
    assert (remote.fraction_lost, remote.total_lost, remote.jitter) == (0.25, 7, 0.01)
    assert remote.round_trip == pytest.approx(0.25)
    remote.report(block._replace(last_sender_report=0), NTP)
    assert remote.round_trip == pytest.approx(0.25)
