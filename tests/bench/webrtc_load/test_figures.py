"""What a stream's numbers tell."""

from __future__ import annotations

from collections.abc import Iterable

from bench.webrtc_load.figures import MAX_MISSING, StreamTally


def tally(numbers: Iterable[int]) -> StreamTally:
    counted = iter(numbers)
    first = next(counted)
    stream = StreamTally(first)
    for number in (first, *counted):
        stream.take(number & 0xFFFF)
    return stream


def told(stream: StreamTally) -> tuple[int, int, int, int]:
    return stream.received, stream.lost, stream.reordered, stream.duplicates


def test_all_in_order_is_all_there() -> None:
    assert told(tally(range(65_000, 66_000))) == (1000, 0, 0, 0)


def test_a_gap_is_a_loss_until_it_is_filled() -> None:
    assert told(tally([1, 2, 5])) == (3, 2, 0, 0)
    assert told(tally([1, 2, 5, 4])) == (4, 1, 1, 0)
    assert told(tally([65_534, 65_537, 65_536, 65_535])) == (4, 0, 2, 0)


def test_what_comes_twice_is_not_counted_as_received() -> None:
    assert told(tally([1, 2, 2, 1])) == (2, 0, 0, 2)


def test_what_was_missing_before_the_interval_is_not_lost_in_it() -> None:
    stream = tally([1, 5])
    stream.restart()
    stream.take(6)
    assert told(stream) == (1, 0, 0, 0)
    assert stream.highest == 6


def test_a_gap_that_is_too_wide_is_counted_and_not_remembered() -> None:
    stream = tally([1, MAX_MISSING + 10])
    assert stream.lost == MAX_MISSING + 8
    stream.take(5)
    assert stream.reordered == 0
