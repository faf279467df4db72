"""What the receiver of transport-wide numbers reports, and when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol.congestion.feedback import (
    FREE_SPAN,
    INTERVAL,
    MAX_BACK,
    MAX_DELTA,
    MAX_INTERVAL,
    MAX_JUMP,
    MAX_PACKETS,
    MIN_INTERVAL,
    SPAN_PER_PACKET,
    FeedbackGenerator,
)


def test_says_nothing_while_nothing_came() -> None:
    generator = FeedbackGenerator(0)
    assert not generator.due(10 * INTERVAL)
    assert generator.take(10 * INTERVAL) == []


def test_reports_arrivals_and_gaps_across_the_wrap() -> None:
    generator = FeedbackGenerator(0)
    for sequence, now in ((65534, 10), (65535, 20), (2, 50)):
        generator.received(sequence, now)
    assert not generator.due(INTERVAL - 1)
    assert generator.due(INTERVAL)
    (feedback,) = generator.take(INTERVAL)
    assert feedback.counter == 0
    assert feedback.packets == [(65534, 10), (65535, 20), (0, None), (1, None), (2, 50)]
    assert not generator.due(3 * INTERVAL)


def test_the_next_report_starts_with_what_is_missing() -> None:
    generator = FeedbackGenerator(0)
    generator.received(1, 10)
    generator.take(100)
    generator.received(4, 200)
    (feedback,) = generator.take(300)
    assert feedback.counter == 1
    assert feedback.packets == [(2, None), (3, None), (4, 200)]


def test_a_late_packet_is_reported_after_all() -> None:
    generator = FeedbackGenerator(0)
    generator.received(1, 10)
    generator.received(3, 30)
    generator.take(100)
    generator.received(2, 110)
    (feedback,) = generator.take(200)
    assert feedback.packets == [(2, 110), (3, 30)]


def test_a_repeated_packet_counts_once() -> None:
    generator = FeedbackGenerator(0)
    generator.received(1, 10)
    generator.received(1, 50)
    assert generator.take(100)[0].packets == [(1, 10)]
    generator.received(1, 150)
    assert generator.take(200) == []


def test_much_too_late_is_not_reported() -> None:
    generator = FeedbackGenerator(0)
    for sequence in range(MAX_BACK + 10):
        generator.received(sequence + 100, sequence)
    generator.take(INTERVAL)
    generator.received(100 + 8, INTERVAL)
    assert not generator.due(2 * INTERVAL)


def test_a_jump_is_a_new_start() -> None:
    generator = FeedbackGenerator(0)
    generator.received(1, 10)
    generator.received(1 + MAX_JUMP + 1, 20)
    assert generator.take(INTERVAL)[0].packets == [(MAX_JUMP + 2, 20)]


def test_a_sender_that_skips_numbers_gets_no_more_feedback_for_it() -> None:
    generator = FeedbackGenerator(0)
    feedbacks = 0
    statuses = 0
    packets = 1_000
    for place in range(packets):
        generator.received(place * MAX_JUMP & 0xFFFF, place * 1_000)
        if generator.due(place * 1_000):
            taken = generator.take(place * 1_000)
            feedbacks += len(taken)
            statuses += sum(len(feedback.packets) for feedback in taken)
    assert feedbacks <= packets * 1_000 / INTERVAL
    assert statuses <= feedbacks * FREE_SPAN + 2 * SPAN_PER_PACKET * packets


def test_losses_of_a_fast_sender_are_reported() -> None:
    generator = FeedbackGenerator(0)
    for sequence in range(200):
        generator.received(sequence, sequence)
    generator.take(200)
    lost = FREE_SPAN + SPAN_PER_PACKET * 200
    generator.received(200 + lost, INTERVAL)
    told = [pair for feedback in generator.take(INTERVAL) for pair in feedback.packets]
    assert told[-1] == (200 + lost, INTERVAL)
    assert all(arrival is None for _, arrival in told[:-1])


def test_a_feedback_ends_though_nothing_arrived() -> None:
    generator = FeedbackGenerator(0)
    for sequence in range(300):
        generator.received(sequence, sequence)
    generator.take(INTERVAL)
    generator.received(300 + 2 * MAX_PACKETS + 5, INTERVAL)
    (feedback,) = generator.take(INTERVAL)
    assert [arrival for _, arrival in feedback.packets] == [None] * 5 + [INTERVAL]


def test_many_packets_are_due_at_once_and_split() -> None:
    generator = FeedbackGenerator(0)
    for sequence in range(2 * MAX_PACKETS):
        generator.received(sequence, sequence)
    assert generator.due(2 * MAX_PACKETS)
    feedbacks = generator.take(2 * MAX_PACKETS)
    assert [len(feedback.packets) for feedback in feedbacks] == [MAX_PACKETS, MAX_PACKETS]
    assert [feedback.counter for feedback in feedbacks] == [0, 1]


def test_times_too_far_apart_for_the_format_are_split() -> None:
    generator = FeedbackGenerator(0)
    generator.received(1, 0)
    generator.received(2, MAX_DELTA + 1)
    assert [feedback.packets for feedback in generator.take(MAX_DELTA + 2)] == [
        [(1, 0)],
        [(2, MAX_DELTA + 1)],
    ]


def test_the_interval_follows_the_bitrate() -> None:
    def first_due(bitrate: int) -> int:
        generator = FeedbackGenerator(0)
        generator.set_rate(bitrate)
        generator.received(1, 0)
        return next(now for now in range(0, 1_000_000, 10_000) if generator.due(now))

    assert first_due(0) == MAX_INTERVAL
    assert first_due(50_000_000) == MIN_INTERVAL
    assert MIN_INTERVAL < first_due(100_000) < MAX_INTERVAL


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.booleans()), max_size=300))
def test_any_numbers_make_reports_within_the_bounds(arrivals: list[tuple[int, bool]]) -> None:
    generator = FeedbackGenerator(0)
    for now, (sequence, take) in enumerate(arrivals):
        generator.received(sequence, now * 50_000)
        if take:
            for feedback in generator.take(now * 50_000):
                assert len(feedback.packets) <= MAX_PACKETS
                sequences = [number for number, _ in feedback.packets]
                first = sequences[0]
                assert sequences == [(first + place) & 0xFFFF for place in range(len(sequences))]
                assert any(arrival is not None for _, arrival in feedback.packets)


@given(st.integers(0, 0xFFFF), st.lists(st.booleans(), min_size=1, max_size=400))
def test_every_packet_is_reported_once_and_in_order(first: int, kept: list[bool]) -> None:
    generator = FeedbackGenerator(0)
    told: list[tuple[int, int | None]] = []
    for place, keep in enumerate(kept):
        if keep:
            generator.received((first + place) & 0xFFFF, place)
        if place % 7 == 0:
            told.extend(pair for feedback in generator.take(place) for pair in feedback.packets)
    told.extend(pair for feedback in generator.take(1_000) for pair in feedback.packets)
    expected = [((first + place) & 0xFFFF, place if keep else None) for place, keep in enumerate(kept)]
    while expected and expected[0][1] is None:
        expected.pop(0)
    while expected and expected[-1][1] is None:
        expected.pop()
    assert told == expected
