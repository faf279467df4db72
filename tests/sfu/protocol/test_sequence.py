"""Sequence numbers: unwrapping and contiguous rewriting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol.sequence import HISTORY, SequenceRewriter, unwrap16, unwrap32


@given(st.integers(0, 1 << 40), st.integers(-0x8000, 0x7FFF))
def test_unwrap16_finds_the_nearest(reference: int, distance: int) -> None:
    assert unwrap16((reference + distance) & 0xFFFF, reference) == reference + distance


@given(st.integers(0, 1 << 60), st.integers(-0x8000_0000, 0x7FFF_FFFF))
def test_unwrap32_finds_the_nearest(reference: int, distance: int) -> None:
    assert unwrap32((reference + distance) & 0xFFFF_FFFF, reference) == reference + distance


@given(st.integers(0, 0xFFFF), st.integers(0, 0x7FFF), st.lists(st.booleans(), max_size=200))
def test_what_is_forwarded_is_contiguous(start: int, first: int, kept: list[bool]) -> None:
    rewriter = SequenceRewriter(first)
    rewriter.sync(start)
    outputs = []
    for position, keep in enumerate(kept):
        number = (start + position) & 0xFFFF
        if keep:
            outputs.append(rewriter.rewrite(number))
        else:
            rewriter.drop(number)
    assert outputs == [(first + position) & 0xFFFF for position in range(sum(kept))]


def test_loss_stays_a_gap_and_late_packets_fill_it() -> None:
    rewriter = SequenceRewriter(100)
    assert [rewriter.rewrite(number) for number in (65534, 65535, 1, 0)] == [100, 101, 103, 102]


def test_a_dropped_packet_is_never_forwarded() -> None:
    rewriter = SequenceRewriter(0)
    rewriter.rewrite(10)
    rewriter.drop(11)
    assert rewriter.rewrite(12) == 1
    assert rewriter.rewrite(11) is None


def test_dropping_a_late_packet_renumbers_nothing() -> None:
    rewriter = SequenceRewriter(0)
    assert [rewriter.rewrite(number) for number in (10, 12)] == [0, 2]
    rewriter.drop(11)
    assert rewriter.rewrite(13) == 3


def test_another_layer_continues_the_numbers_and_ends_the_old_run() -> None:
    rewriter = SequenceRewriter(5)
    assert [rewriter.rewrite(number) for number in (10, 11)] == [5, 6]
    rewriter.sync(40_000)
    assert [rewriter.rewrite(number) for number in (40_000, 40_001)] == [7, 8]
    assert rewriter.rewrite(39_999) is None


def test_old_drops_are_forgotten() -> None:
    rewriter = SequenceRewriter(0)
    rewriter.rewrite(0)
    for number in range(1, 3 * HISTORY):
        rewriter.drop(number)
    assert rewriter.rewrite(3 * HISTORY) == 1
    assert rewriter.rewrite(1) is None


MOVES = st.lists(st.tuples(st.sampled_from((1, 1, 1, 1, 2, 3, -1, -3, 0, 900)), st.booleans()), max_size=300)


@given(st.integers(0, 0xFFFF), MOVES, st.sampled_from((16, 15)))
def test_distances_are_those_without_the_dropped(
    start: int, moves: list[tuple[int, bool]], bits: int
) -> None:
    mask = (1 << bits) - 1
    start &= mask
    rewriter = SequenceRewriter(7, bits)
    assert rewriter.rewrite(start) == 7
    newest = start
    dropped: set[int] = set()
    for step, keep in moves:
        number = newest + step
        if keep:
            between = number - start - sum(start < other <= number for other in dropped)
            usable = number not in dropped and 7 + between >= 7 and number >= newest - 4096
            assert rewriter.rewrite(number & mask) == ((7 + between) & mask if usable else None)
        else:
            rewriter.drop(number & mask)
            if step > 0:
                dropped.add(number)
        newest = max(newest, number)


def test_a_long_run_in_order_wraps_and_still_knows_late_packets() -> None:
    rewriter = SequenceRewriter(1)
    outputs = [rewriter.rewrite(number & 0xFFFF) for number in range(100, 200_000)]
    assert outputs == [number - 99 & 0xFFFF for number in range(100, 200_000)]
    assert rewriter.rewrite(199_990 & 0xFFFF) == 199_891 & 0xFFFF
    assert rewriter.rewrite(190_000 & 0xFFFF) is None


@pytest.mark.parametrize("first", [-1, 0x8000])
def test_the_first_output_is_in_the_lower_half(first: int) -> None:
    with pytest.raises(ValueError, match="below 32768"):
        SequenceRewriter(first)
