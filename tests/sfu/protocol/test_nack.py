"""NACK generation: what is asked for, when, how often, and what is let through once."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol import nack, rtcp
from sfu.protocol.nack import Arrival, NackGenerator

DELAY = nack.REORDERING_DELAY
LATER = 100.0


def _started(first: int = 100) -> NackGenerator:
    generator = NackGenerator()
    assert generator.receive(first, 0.0) is Arrival.NEXT
    return generator


def test_nothing_is_due_without_a_gap() -> None:
    generator = _started(65534)
    assert [generator.receive(number, 0.0) for number in (65535, 0, 1)] == [Arrival.NEXT] * 3
    assert generator.deadline == nack.NEVER
    assert generator.due(LATER) == []


def test_a_gap_is_asked_for_after_the_delay_over_the_wrap() -> None:
    generator = _started(65533)
    assert generator.receive(2, 1.0) is Arrival.NEXT
    assert generator.due(1.0) == []
    assert generator.deadline == 1.0 + DELAY
    assert generator.due(generator.deadline) == [65534, 65535, 0, 1]


def test_a_reordered_packet_is_not_asked_for() -> None:
    generator = _started()
    generator.receive(102, 0.0)
    assert generator.receive(101, 0.005) is Arrival.REORDERED
    assert generator.due(LATER) == []
    assert generator.deadline == nack.NEVER


def test_an_answer_is_told_from_a_duplicate() -> None:
    generator = _started()
    generator.receive(102, 0.0)
    assert generator.due(DELAY) == [101]
    assert generator.receive(101, 0.1) is Arrival.REPAIRED
    assert generator.receive(101, 0.1) is Arrival.DUPLICATE
    assert generator.receive(102, 0.1) is Arrival.DUPLICATE
    assert generator.receive(100, 0.1) is Arrival.DUPLICATE


def test_packets_overtaken_by_the_first_one_pass_once_and_are_not_asked_for() -> None:
    generator = _started(5)
    assert generator.due(LATER) == []
    assert generator.receive(65535, 0.0) is Arrival.REORDERED
    assert generator.receive(65535, 0.0) is Arrival.DUPLICATE
    assert generator.receive((5 - nack.EARLIER - 1) & 0xFFFF, 0.0) is Arrival.DUPLICATE


def test_retries_are_spaced_by_the_round_trip_and_end() -> None:
    generator = _started()
    generator.set_round_trip(0.2)
    generator.receive(102, 0.0)
    asked = []
    while generator.deadline != nack.NEVER:
        now = generator.deadline
        asked += [now] * len(generator.due(now))
    assert len(asked) == nack.MAX_RETRIES
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert gaps == pytest.approx([0.2 * nack.RETRY_FACTOR] * len(gaps))
    assert (generator.missing, generator.given_up) == (0, 1)
    assert generator.receive(101, LATER) is Arrival.DUPLICATE


def test_a_tiny_round_trip_does_not_make_a_flood() -> None:
    generator = _started()
    generator.set_round_trip(0.0)
    generator.receive(102, 0.0)
    generator.due(DELAY)
    assert generator.deadline == pytest.approx(DELAY + nack.MINIMUM_RETRY)


def test_one_batch_fits_a_packet_and_the_rest_follows() -> None:
    generator = _started(0)
    for number in range(20, 20 + 20 * 40, 20):
        generator.receive(number - 1, 0.0)
        generator.receive(number, 0.0)
    first = generator.due(DELAY)
    assert len(first) == nack.MAX_BATCH
    assert generator.deadline <= DELAY
    assert not set(first) & set(generator.due(DELAY))
    scattered = [17 * position for position in range(nack.MAX_BATCH)]
    assert len(rtcp.nack(1, 2, scattered)) <= 1200


def test_too_many_losses_ask_for_a_keyframe() -> None:
    generator = _started(0)
    generator.receive(nack.MAX_MISSING + 2, 0.0)
    assert generator.take_keyframe_needed()
    assert not generator.take_keyframe_needed()
    assert generator.missing == 0
    assert generator.due(LATER) == []


def test_gaps_cost_the_sender_packets() -> None:
    generator = _started(0)
    followed = 0
    for number in range(1, 301):
        missing = generator.missing
        generator.receive(499 * number & 0xFFFF, 0.0)
        followed += max(0, generator.missing - missing)
    assert followed <= nack.MAX_MISSING + 301 * nack.MISSING_PER_PACKET
    assert generator.take_keyframe_needed()


def test_a_new_start_gives_no_new_credit() -> None:
    generator = _started(0)
    generator.receive(nack.MAX_MISSING, 0.0)
    generator.reset()
    generator.receive(7, 0.0)
    generator.receive(7 + 100, 0.0)
    assert generator.missing == 0


def test_packets_in_order_earn_credit_again() -> None:
    generator = _started(0)
    generator.receive(nack.MAX_MISSING, 0.0)
    in_order = 200
    for number in range(in_order):
        generator.receive(nack.MAX_MISSING + 1 + number, 0.0)
    generator.due(DELAY)
    for number in range(1, nack.MAX_MISSING):
        generator.receive(number, DELAY)
    gap = in_order * nack.MISSING_PER_PACKET
    generator.receive(nack.MAX_MISSING + in_order + gap + 1, DELAY)
    assert not generator.take_keyframe_needed()
    assert generator.missing == gap


def test_a_keyframe_makes_what_precedes_it_needless() -> None:
    generator = _started(0)
    generator.receive(600, 0.0)
    generator.receive(601, 0.0, keyframe=True)
    for number in range(602, 702):
        generator.receive(number, 0.0)
    generator.receive(1200, 0.0)
    assert not generator.take_keyframe_needed()
    assert generator.missing == 498
    assert generator.receive(5, 0.0) is Arrival.DUPLICATE


def test_what_is_too_old_is_given_up() -> None:
    generator = _started(0)
    generator.receive(2, 0.0)
    for number in range(3, nack.MAX_AGE + 3):
        generator.receive(number, 0.0)
    assert generator.due(LATER) == []
    assert generator.given_up == 1


def test_reset_begins_anew() -> None:
    generator = _started(5)
    generator.receive(10, 0.0)
    generator.reset()
    assert generator.receive(30_000, 0.0) is Arrival.NEXT
    assert (generator.missing, generator.due(LATER)) == (0, [])


@given(st.integers(0, 0xFFFF), st.permutations(range(1, 40)), st.sets(st.integers(1, 39)))
def test_every_number_passes_once_and_the_lost_ones_are_asked_for(
    first: int, order: list[int], lost: set[int]
) -> None:
    generator = _started(first)
    passed = [0]
    for distance in order:
        if distance not in lost:
            assert generator.receive((first + distance) & 0xFFFF, 0.0) is not Arrival.DUPLICATE
            assert generator.receive((first + distance) & 0xFFFF, 0.0) is Arrival.DUPLICATE
            passed.append(distance)
    expected = [(first + number) & 0xFFFF for number in range(max(passed)) if number in lost]
    assert generator.due(DELAY) == expected


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.floats(0, 1), st.booleans()), max_size=200))
def test_any_numbers_keep_the_lists_short(packets: list[tuple[int, float, bool]]) -> None:
    generator = NackGenerator()
    now = 0.0
    for number, step, keyframe in packets:
        now += step
        generator.receive(number, now, keyframe)
        assert generator.missing <= nack.MAX_MISSING
        assert len(generator.due(now)) <= nack.MAX_BATCH
