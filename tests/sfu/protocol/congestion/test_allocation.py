"""Who gets which layer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol.congestion.allocation import (
    NOTHING,
    UP_DELAY,
    Allocator,
    Demand,
    allocate,
    wanted_bitrate,
)

LAYERS = (150_000, 500_000, 1_500_000)


def test_one_consumer_gets_the_highest_layer_that_fits() -> None:
    for estimate, layer in ((100_000, NOTHING), (200_000, 0), (600_000, 1), (2_000_000, 2)):
        assert allocate(estimate, [Demand("a", LAYERS)]) == {"a": layer}


def test_a_layer_up_needs_a_margin_and_the_present_one_less_than_it_takes() -> None:
    assert allocate(1_600_000, [Demand("a", LAYERS, current=1)]) == {"a": 1}
    assert allocate(1_600_000, [Demand("a", LAYERS, current=2)]) == {"a": 2}
    assert allocate(1_450_000, [Demand("a", LAYERS, current=2)]) == {"a": 2}
    assert allocate(1_300_000, [Demand("a", LAYERS, current=2)]) == {"a": 1}


def test_everyone_gets_something_before_anyone_gets_more() -> None:
    demands = [Demand(name, LAYERS, priority=priority) for name, priority in (("a", 200), ("b", 1), ("c", 1))]
    assert allocate(520_000, demands) == {"a": 0, "b": 0, "c": 0}
    assert allocate(1_000_000, demands) == {"a": 1, "b": 0, "c": 0}


def test_priority_decides_who_goes_without() -> None:
    demands = [Demand("a", LAYERS), Demand("b", LAYERS, priority=2)]
    assert allocate(200_000, demands) == {"a": NOTHING, "b": 0}


def test_equals_get_equal_shares() -> None:
    demands = [Demand(name, LAYERS) for name in "abc"]
    assert set(allocate(2_000_000, demands).values()) == {1}


def test_what_one_does_not_want_the_other_gets() -> None:
    demands = [Demand("a", LAYERS, highest=0), Demand("b", LAYERS)]
    assert allocate(2_000_000, demands) == {"a": 0, "b": 2}


def test_essential_streams_are_sent_whatever_the_estimate() -> None:
    demands = [Demand("video", LAYERS), Demand("audio", (40_000,), essential=True)]
    assert allocate(0, demands) == {"video": NOTHING, "audio": 0}
    assert allocate(200_000, demands) == {"video": NOTHING, "audio": 0}


def test_layers_that_are_not_sent_are_passed_over() -> None:
    assert allocate(5_000_000, [Demand("a", (150_000, 0, 0))]) == {"a": 0}
    assert allocate(5_000_000, [Demand("a", (0, 0, 1_000_000))]) == {"a": 2}
    assert allocate(5_000_000, [Demand("a", (0, 0, 0))]) == {"a": NOTHING}
    assert allocate(5_000_000, [Demand("a", ())]) == {"a": NOTHING}


def test_wanted_is_what_all_highest_layers_take() -> None:
    demands = [Demand("a", LAYERS, current=2), Demand("b", LAYERS, highest=1)]
    assert wanted_bitrate(demands) == 1_500_000 + int(500_000 * 1.15)
    chosen = allocate(wanted_bitrate(demands) + 1, demands)
    assert chosen == {"a": 2, "b": 1}


def test_after_a_step_down_the_next_step_up_waits_longer_each_time() -> None:
    allocator = Allocator()
    now = 0

    def choose(estimate: int, current: int) -> int:
        return allocator.allocate(estimate, [Demand("a", LAYERS, current)], now)["a"]

    waits = []
    layer = choose(2_000_000, NOTHING)
    for _ in range(3):
        layer = choose(700_000, layer)
        assert layer == 1
        fell = now
        while layer == 1:
            now += 100_000
            layer = choose(2_000_000, layer)
        waits.append(now - fell)
    assert waits[0] >= UP_DELAY
    assert waits == sorted(waits)
    assert waits[-1] > 2 * UP_DELAY


def test_going_down_never_waits() -> None:
    allocator = Allocator()
    layer = NOTHING
    for now, estimate, expected in (
        (0, 2_000_000, 2),
        (1, 600_000, 1),
        (2, 200_000, 0),
        (3, 50_000, NOTHING),
    ):
        layer = allocator.allocate(estimate, [Demand("a", LAYERS, layer)], now)["a"]
        assert layer == expected


def test_a_consumer_that_has_nothing_gets_the_lowest_layer_at_once() -> None:
    allocator = Allocator()
    layer = NOTHING
    for now, estimate, expected in ((0, 2_000_000, 2), (1, 10_000, NOTHING), (2, 2_000_000, 0)):
        layer = allocator.allocate(estimate, [Demand("a", LAYERS, layer)], now)["a"]
        assert layer == expected


def test_a_layer_that_stopped_is_taken_up_as_soon_as_it_is_back() -> None:
    allocator = Allocator()
    assert allocator.allocate(3_000_000, [Demand("a", LAYERS)], 0) == {"a": 2}
    assert allocator.allocate(3_000_000, [Demand("a", (150_000, 0, 0), 2)], 1) == {"a": 0}
    assert allocator.allocate(3_000_000, [Demand("a", LAYERS, 0)], 2) == {"a": 2}


def test_forgets_consumers_that_left() -> None:
    allocator = Allocator()
    allocator.allocate(2_000_000, [Demand("a", LAYERS)], 0)
    allocator.allocate(600_000, [Demand("a", LAYERS, 2)], 1)
    allocator.allocate(600_000, [], 2)
    assert allocator.allocate(2_000_000, [Demand("a", LAYERS, 1)], 3) == {"a": 2}


def test_a_swinging_estimate_does_not_make_layers_swing() -> None:
    allocator = Allocator()
    layer, changes = NOTHING, 0
    for place in range(120):
        estimate = 1_700_000 if place % 4 < 2 else 1_450_000
        chosen = allocator.allocate(estimate, [Demand("a", LAYERS, layer)], place * 500_000)["a"]
        changes += chosen != layer
        layer = chosen
    assert changes <= 2


demands = st.builds(
    Demand,
    identifier=st.integers(),
    layers=st.lists(st.integers(0, 5_000_000), max_size=9).map(lambda rates: tuple(sorted(rates))),
    current=st.integers(-1, 8),
    priority=st.integers(1, 255),
    highest=st.none() | st.integers(0, 8),
)


@given(st.integers(0, 20_000_000), st.lists(demands, max_size=20, unique_by=lambda demand: demand.identifier))
def test_never_gives_more_than_there_is(estimate: int, wishes: list[Demand]) -> None:
    chosen = allocate(estimate, wishes)
    assert set(chosen) == {demand.identifier for demand in wishes}
    given_out = 0
    for demand in wishes:
        layer = chosen[demand.identifier]
        if layer != NOTHING:
            assert demand.layers[layer] > 0
            assert demand.highest is None or layer <= demand.highest
            given_out += demand.layers[layer]
    assert given_out * 0.95 <= estimate + 1


@given(st.lists(demands, max_size=20, unique_by=lambda demand: demand.identifier))
def test_what_is_wanted_is_enough_for_all(wishes: list[Demand]) -> None:
    chosen = allocate(wanted_bitrate(wishes) + len(wishes), wishes)
    for demand in wishes:
        end = len(demand.layers) if demand.highest is None else demand.highest + 1
        best = max((rate for rate in demand.layers[:end]), default=0)
        assert (demand.layers[chosen[demand.identifier]] if chosen[demand.identifier] >= 0 else 0) == best
