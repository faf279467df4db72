"""Any order, any repetition, any loss: each entry comes out once and in order, or a gap is told."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.ordering import Arrivals, Gap
from storage.repositories.chat_log import LoggedEntry, NewEvent

ROOM = UUID(int=1)
WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def entry(offset: int) -> LoggedEntry:
    return LoggedEntry(offset, NewEvent(ROOM, "follow", {"number": offset}, WHEN))


def entries(*offsets: int) -> list[LoggedEntry]:
    return [entry(offset) for offset in offsets]


def offsets(logged: list[LoggedEntry]) -> list[int]:
    return [each.offset for each in logged]


def test_gives_what_is_due_at_once() -> None:
    arrivals = Arrivals(7)
    assert offsets(arrivals.add(entries(8, 9), 0)) == [8, 9]
    assert arrivals.offset == 9
    assert arrivals.gap is None


def test_drops_what_came_before() -> None:
    arrivals = Arrivals(7)
    arrivals.add(entries(8), 0)
    assert arrivals.add(entries(1, 7, 8, 8), 0) == []
    assert arrivals.gap is None


def test_tells_of_a_gap_and_since_when() -> None:
    arrivals = Arrivals(0)
    assert arrivals.add(entries(3), 5.0) == []
    arrivals.add(entries(4), 6.0)
    assert arrivals.gap == Gap(after=0, until=4, since=5.0, is_overflown=False)
    assert offsets(arrivals.add(entries(1), 7.0)) == [1]
    assert arrivals.gap == Gap(after=1, until=4, since=7.0, is_overflown=False)
    assert offsets(arrivals.add(entries(2), 8.0)) == [2, 3, 4]
    assert arrivals.gap is None


def test_a_new_gap_has_a_time_of_its_own() -> None:
    arrivals = Arrivals(0)
    arrivals.add(entries(2), 1.0)
    arrivals.add(entries(1), 2.0)
    arrivals.add(entries(5), 9.0)
    assert arrivals.gap == Gap(after=2, until=5, since=9.0, is_overflown=False)


def test_what_the_log_is_known_to_hold_is_missed() -> None:
    arrivals = Arrivals(3)
    arrivals.expect(3, 1.0)
    assert arrivals.gap is None
    arrivals.expect(5, 2.0)
    assert arrivals.gap == Gap(after=3, until=5, since=2.0, is_overflown=False)


def test_database_fills_a_gap_though_entries_exist_no_more() -> None:
    arrivals = Arrivals(0)
    arrivals.add(entries(4, 7), 0)
    assert offsets(arrivals.fill(entries(2, 3), 6, 1)) == [2, 3, 7]
    assert (arrivals.offset, arrivals.gap) == (7, None)


def test_what_the_database_forgot_is_not_given_though_it_waited() -> None:
    arrivals = Arrivals(0)
    arrivals.add(entries(3), 0)
    assert offsets(arrivals.fill(entries(1, 4), 4, 1)) == [1, 4]


def test_fill_with_nothing_left_moves_on() -> None:
    arrivals = Arrivals(0)
    arrivals.add(entries(3), 0)
    assert offsets(arrivals.fill([], 2, 1)) == [3]
    assert arrivals.fill([], 2, 1) == []
    assert (arrivals.offset, arrivals.gap) == (3, None)


def test_part_of_the_log_leaves_the_rest_of_the_gap() -> None:
    arrivals = Arrivals(0)
    arrivals.add(entries(9), 0)
    assert offsets(arrivals.fill(entries(1, 2), 2, 1.0)) == [1, 2]
    assert arrivals.gap == Gap(after=2, until=9, since=1.0, is_overflown=False)


def test_entries_of_the_log_beyond_what_is_complete_wait() -> None:
    arrivals = Arrivals(0)
    assert offsets(arrivals.fill(entries(1, 5), 2, 0)) == [1]
    assert offsets(arrivals.add(entries(3, 4), 0)) == [3, 4, 5]


def test_keeps_the_soonest_and_says_that_it_overflowed() -> None:
    arrivals = Arrivals(0, max_waiting=2)
    arrivals.add(entries(9, 4, 3), 1.0)
    assert arrivals.gap == Gap(after=0, until=9, since=1.0, is_overflown=True)
    assert offsets(arrivals.add(entries(1, 2), 2.0)) == [1, 2, 3, 4]
    assert arrivals.gap == Gap(after=4, until=9, since=2.0, is_overflown=True)
    assert offsets(arrivals.fill(entries(5, 6, 7, 8, 9), 9, 3.0)) == [5, 6, 7, 8, 9]
    assert arrivals.gap is None
    arrivals.add(entries(11), 4.0)
    assert arrivals.gap == Gap(after=9, until=11, since=4.0, is_overflown=False)


def test_an_overflow_is_over_when_the_database_has_filled_the_gap() -> None:
    arrivals = Arrivals(0, max_waiting=1)
    arrivals.add(entries(2, 3), 1.0)
    arrivals.fill([], 3, 2.0)
    arrivals.add(entries(5), 3.0)
    assert arrivals.gap == Gap(after=3, until=5, since=3.0, is_overflown=False)


def test_needs_room_for_something() -> None:
    with pytest.raises(ValueError, match="no room"):
        Arrivals(0, max_waiting=0)


@given(st.data())
def test_any_order_with_repetitions_gives_all_once_and_in_order(data: st.DataObject) -> None:
    start, count = data.draw(st.integers(0, 10**12)), data.draw(st.integers(0, 40))
    all_offsets = range(start + 1, start + count + 1)
    repeated = data.draw(st.lists(st.sampled_from(all_offsets), max_size=40)) if count else []
    arrivals = Arrivals(start, max_waiting=50)
    given_out: list[int] = []
    rest = data.draw(st.permutations([*all_offsets, *repeated]))
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        given_out += offsets(arrivals.add(entries(*rest[:size]), 0))
        rest = rest[size:]
        assert (arrivals.gap is None) == (given_out == list(range(start + 1, max(seen(arrivals), start) + 1)))
    assert given_out == list(all_offsets)
    assert (arrivals.offset, arrivals.gap) == (start + count, None)


def seen(arrivals: Arrivals) -> int:
    return arrivals.gap.until if arrivals.gap is not None else arrivals.offset


@given(
    alive=st.lists(st.booleans(), min_size=1, max_size=40),
    heard=st.lists(st.integers(1, 40), max_size=60),
    max_waiting=st.integers(1, 5),
    data=st.data(),
)
def test_whatever_is_lost_the_database_makes_whole(
    alive: list[bool], heard: list[int], max_waiting: int, data: st.DataObject
) -> None:
    """The log has holes where entries were deleted, some entries are never heard of, and little is kept."""
    log = [offset for offset, is_alive in enumerate(alive, 1) if is_alive]
    arrivals = Arrivals(0, max_waiting)
    given_out: list[int] = []
    for offset in heard:
        if offset in log:
            given_out += offsets(arrivals.add([entry(offset)], 0))
        if arrivals.gap is not None and data.draw(st.booleans()):
            given_out += page(arrivals, log, len(alive), data.draw(st.integers(1, 10)))
    while arrivals.offset < len(alive):
        given_out += page(arrivals, log, len(alive), 7)
    assert given_out == log
    assert arrivals.gap is None


def page(arrivals: Arrivals, log: list[int], end: int, limit: int) -> list[int]:
    """Catch up as the hub does."""
    found = [offset for offset in log if offset > arrivals.offset][:limit]
    up_to = found[-1] if len(found) == limit else end
    return offsets(arrivals.fill(entries(*found), up_to, 0))
