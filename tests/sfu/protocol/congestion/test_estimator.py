"""Estimates without transport-wide feedback, and its limits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol.congestion.controller import CongestionController
from sfu.protocol.congestion.estimator import (
    MAX_BITRATE,
    MIN_BITRATE,
    REMB_LIFETIME,
    START_BITRATE,
    BandwidthEstimator,
)
from sfu.protocol.congestion.ledger import sent_entries

SECOND = 1_000_000


def test_remb_is_the_estimate_where_nothing_else_is_known() -> None:
    estimator = BandwidthEstimator(0)
    assert estimator.bitrate == START_BITRATE
    assert estimator.remb(2_000_000, SECOND) == 2_000_000
    assert estimator.remb(400_000, 2 * SECOND) == 400_000


def test_remb_is_bounded_and_forgotten() -> None:
    estimator = BandwidthEstimator(0)
    assert estimator.remb(0, SECOND) == MIN_BITRATE
    assert estimator.remb(1 << 80, SECOND) == MAX_BITRATE
    estimator.remb(100_000, SECOND)
    assert estimator.tick(None, SECOND + REMB_LIFETIME) == START_BITRATE


def test_remb_limits_the_transport_wide_estimate() -> None:
    controller: CongestionController[int] = CongestionController(0, 1_000_000)
    controller.ledger.record(1200, SECOND)
    controller.feedback([(1, SECOND)], SECOND + 50_000)
    before = controller.estimate
    assert controller.remb(5_000_000, SECOND + 60_000) == before
    assert controller.remb(300_000, SECOND + 70_000) == 300_000


def test_receiver_reports_lower_the_estimate_and_let_it_grow() -> None:
    estimator = BandwidthEstimator(0)
    assert estimator.receiver_report(0.3, SECOND) < START_BITRATE
    low = estimator.bitrate
    for second in range(2, 40):
        estimator.receiver_report(0.0, second * SECOND)
    assert estimator.bitrate > 2 * low


def test_receiver_reports_with_few_losses_change_nothing() -> None:
    estimator = BandwidthEstimator(0)
    assert estimator.receiver_report(0.05, SECOND) == START_BITRATE


def test_receiver_reports_do_not_count_beside_transport_wide_feedback() -> None:
    controller: CongestionController[int] = CongestionController(0)
    controller.ledger.record(1200, SECOND)
    before = controller.feedback([(1, SECOND)], SECOND + 50_000)
    # They mix losses of the publisher's way to the server with those of this one.
    assert controller.receiver_report(0.9, 2 * SECOND) == before


def test_a_probe_never_lowers_the_estimate() -> None:
    estimator = BandwidthEstimator(0)
    assert estimator.probed(100_000, SECOND) == START_BITRATE
    assert estimator.probed(2_000_000, SECOND) == 2_000_000


def test_feedback_on_nothing_changes_nothing() -> None:
    controller: CongestionController[int] = CongestionController(0)
    assert controller.feedback([(9, 5), (10, None)], SECOND) == START_BITRATE


def test_essential_streams_are_not_paced_below_their_rate() -> None:
    controller: CongestionController[int] = CongestionController(0, 100_000)
    assert not controller.pacer.admit(20_000, SECOND)
    controller.set_demand(allocated=5_000_000, wanted=5_000_000)
    assert controller.pacer.admit(20_000, SECOND)
    controller.remb(50_000, SECOND)
    assert controller.pacer.admit(20_000, 2 * SECOND)


def test_without_a_choice_the_estimate_stays_and_losses_are_still_counted() -> None:
    controller: CongestionController[int] = CongestionController(0)
    controller.set_demand(allocated=600_000, wanted=600_000, adaptive=False)
    for place in range(100):
        now = SECOND + place * 20_000
        sequence = controller.ledger.record(1200, now)
        controller.feedback([(sequence, None if place % 3 == 0 else now * 2)], now + 10_000)
        controller.tick(now)
    assert controller.estimate == START_BITRATE
    assert controller.estimator.loss > 0.3
    assert controller.estimator.acknowledged.bitrate


packets = st.lists(
    st.tuples(st.integers(0, 0xFFFF) | st.integers(0, 40), st.none() | st.integers(-(1 << 44), 1 << 44)),
    max_size=40,
)


@given(st.lists(st.tuples(st.integers(0, 10), packets, st.integers(0, 2 * SECOND)), max_size=40))
def test_no_feedback_leads_out_of_bounds(steps: list[tuple[int, list[tuple[int, int | None]], int]]) -> None:
    now = SECOND
    controller: CongestionController[int] = CongestionController(now)
    controller.wanted = 5_000_000
    for count, packets, elapsed in steps:
        now += elapsed
        controller.ledger.record_batch(sent_entries([1200] * count, now))
        controller.feedback(packets, now)
        assert controller.tick(now) > now
        if controller.padding_due(now):
            controller.record_padding(1200, now)
        assert MIN_BITRATE <= controller.estimate <= MAX_BITRATE
