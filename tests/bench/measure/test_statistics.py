import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.statistics import distribution, percentile, quotient


def test_percentiles_are_interpolated():
    assert percentile([4, 1, 3, 2], 0.5) == 2.5
    assert percentile([1, 2, 3], 1.0) == 3
    assert percentile([7], 0.99) == 7


def test_nothing_has_no_percentiles():
    assert percentile([], 0.5) is None
    assert distribution([]).maximum is None


@given(st.lists(st.floats(-1e9, 1e9), min_size=1), st.floats(0, 1))
def test_a_percentile_lies_within_the_values_and_rises(values, fraction):
    value = percentile(values, fraction)
    assert min(values) <= value <= max(values) or value == pytest.approx(values[0])
    assert percentile(values, 0.0) <= value + 1e-6


@pytest.mark.parametrize(("pair", "expected"), [((1.0, 2.0), 0.5), ((None, 2.0), None), ((1.0, 0.0), None)])
def test_quotient(pair, expected):
    assert quotient(*pair) == expected
