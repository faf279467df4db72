"""What was sent and what feedback says of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol.congestion.ledger import MAX_IN_FLIGHT, MAX_LATE, SentPackets, sent_entries


def test_numbers_follow_each_other_across_the_wrap() -> None:
    ledger = SentPackets(0xFFFE)
    assert [ledger.record(100, 1), ledger.record(200, 2)] == [0xFFFE, 0xFFFF]
    assert ledger.record_batch(sent_entries([300, 400], 3)) == 0
    assert ledger.next_number == 0x10002
    assert ledger.bytes_in_flight() == 1000
    assert ledger.oldest_sent() == 1


def test_returns_size_and_times_of_what_arrived() -> None:
    ledger = SentPackets(0xFFFF)
    ledger.record(100, 1_000_000)
    ledger.record_batch(sent_entries([200, 300], 2_000_000))
    arrived, lost = ledger.acknowledge([(0xFFFF, 7), (0, None), (1, 9)])
    assert arrived == [(0xFFFF, 100, 1_000_000, 7), (0x10001, 300, 2_000_000, 9)]
    assert lost == 1
    assert len(ledger) == 0
    assert ledger.oldest_sent() is None


def test_a_late_arrival_takes_the_loss_back() -> None:
    ledger = SentPackets()
    ledger.record(100, 1)
    assert ledger.acknowledge([(1, None)]) == ([], 1)
    assert ledger.acknowledge([(1, 5)]) == ([(1, 100, 1, 5)], -1)
    assert ledger.acknowledge([(1, 5)]) == ([], 0)


def test_passes_over_what_was_never_sent() -> None:
    ledger = SentPackets()
    ledger.record(100, 1)
    assert ledger.acknowledge([(2, 5), (3, None), (40_000, 5), (0, 1)]) == ([], 0)
    assert len(ledger) == 1


def test_what_no_feedback_mentioned_is_neither_lost_nor_there() -> None:
    ledger = SentPackets()
    ledger.record_batch(sent_entries([100, 200, 300], 1))
    assert ledger.acknowledge([(3, 9)]) == ([(3, 300, 1, 9)], 0)


def test_memory_is_bounded_without_feedback() -> None:
    ledger = SentPackets()
    for now in range(MAX_IN_FLIGHT + 10):
        ledger.record(100, now)
    assert len(ledger) == MAX_IN_FLIGHT
    assert ledger.acknowledge([(10, 5)]) == ([], 0)
    assert ledger.acknowledge([(11, 5)]) == ([(11, 100, 10, 5)], 0)


def test_memory_of_losses_is_bounded() -> None:
    ledger = SentPackets()
    ledger.record_batch(sent_entries([100] * (MAX_LATE + 1), 1))
    _, lost = ledger.acknowledge([(number, None) for number in range(1, MAX_LATE + 2)])
    assert lost == MAX_LATE + 1
    assert ledger.acknowledge([(1, 5)]) == ([], 0)
    assert ledger.acknowledge([(2, 5)])[1] == -1


@given(
    st.integers(1, 200),
    st.lists(st.tuples(st.integers(0, 0xFFFF), st.none() | st.integers(-(1 << 40), 1 << 40)), max_size=200),
)
def test_any_feedback_is_taken(count: int, packets: list[tuple[int, int | None]]) -> None:
    ledger = SentPackets()
    ledger.record_batch(sent_entries([1200] * count, 5))
    arrived, lost = ledger.acknowledge(packets)
    assert len(arrived) + lost <= count
    assert len({report[0] for report in arrived}) == len(arrived)
