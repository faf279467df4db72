"""Bitrates: right from the start, over the window, by layer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol.rates import MAX_LAYERS, WINDOW, LayerRates, RateMeter


def _feed(meter: RateMeter, start: float, seconds: float) -> float:
    """One megabit per second."""
    count = round(seconds * 100)
    for step in range(count):
        meter.add(1250, start + step / 100)
    return start + (count - 1) / 100


@pytest.mark.parametrize("seconds", [0.1, 0.3, 1.0, 30.0])
def test_an_even_stream_has_its_rate(seconds: float) -> None:
    meter = RateMeter()
    assert meter.bitrate(5.0) == 0
    end = _feed(meter, 7.0, seconds)
    assert meter.bitrate(end) == pytest.approx(1_000_000, rel=0.11)
    assert meter.packets == round(seconds * 100)
    assert meter.total == 1250 * meter.packets


def test_silence_ends_the_rate() -> None:
    meter = RateMeter()
    end = _feed(meter, 7.0, 2.0)
    assert 0 < meter.bitrate(end + WINDOW / 2) < 600_000
    assert meter.bitrate(end + 2 * WINDOW) == 0
    assert meter.bitrate(_feed(meter, 100.0, 1.0)) == pytest.approx(1_000_000, rel=0.11)


@given(st.lists(st.tuples(st.integers(0, 1500), st.floats(-2, 5)), max_size=100))
def test_no_clock_makes_a_rate_negative(packets: list[tuple[int, float]]) -> None:
    meter = RateMeter()
    now = 0.0
    for size, step in packets:
        now += step
        meter.add(size, now)
        assert meter.bitrate(now) >= 0
    assert meter.bitrate(now + 100) == 0


def test_a_layer_includes_those_below() -> None:
    rates = LayerRates()
    for step in range(100):
        rates.add(0, step % 2, 1250, step / 100)
        rates.add(1, 0, 2500, step / 100)
    assert rates.bitrate(0, 0, 0.99) == pytest.approx(500_000, rel=0.11)
    assert rates.bitrate(0, 1, 0.99) == pytest.approx(1_000_000, rel=0.11)
    assert rates.bitrate(1, 1, 0.99) == pytest.approx(3_000_000, rel=0.11)
    assert rates.layers() == [(0, 0), (0, 1), (1, 0)]


def test_layers_are_bounded() -> None:
    rates = LayerRates()
    for layer in range(1000):
        rates.add(layer, layer, 1, 0.0)
    assert len(rates.layers()) == MAX_LAYERS
