"""Overuse seen in the delay."""

from __future__ import annotations

import random

from sfu.protocol.congestion.delay import WINDOW, DelayDetector, Usage, _Line
from sfu.protocol.congestion.ledger import Report


def reports(count: int, delay_step: int, interval: int = 10_000, start: int = 0) -> list[Report]:
    """Packets sent every `interval` whose delay changes by `delay_step` each."""
    sent = [start + place * interval for place in range(count)]
    return [(place, 1200, at, at + 50_000 + place * delay_step) for place, at in enumerate(sent)]


def test_a_steady_path_is_normal() -> None:
    assert DelayDetector().update(reports(200, 0)) is Usage.NORMAL


def test_a_growing_queue_is_overuse_and_a_shrinking_one_underuse() -> None:
    detector = DelayDetector()
    assert detector.update(reports(100, 2_000)) is Usage.OVERUSE
    assert detector.usage is Usage.OVERUSE
    assert DelayDetector().update(reports(60, -3_000, start=0)) is Usage.UNDERUSE


def test_noise_is_normal() -> None:
    noise = random.Random(3)
    noisy = [(place, size, sent, at + noise.randrange(4_000)) for place, size, sent, at in reports(500, 0)]
    detector = DelayDetector()
    seen = {detector.update(noisy[place : place + 5]) for place in range(0, 500, 5)}
    assert Usage.OVERUSE not in seen


def test_packets_sent_together_are_one_group() -> None:
    burst = [(place, 1200, 1_000_000, 1_000_000 + place * 3_000) for place in range(100)]
    assert DelayDetector().update(burst) is Usage.NORMAL


def test_packets_let_go_together_are_one_group() -> None:
    held = [(place, 1200, place * 6_000, 700_000 + place * 100) for place in range(100)]
    assert DelayDetector().update(held) is Usage.NORMAL


def test_a_clock_that_jumps_is_no_queue() -> None:
    detector = DelayDetector()
    detector.update(reports(50, 0))
    later = [(place, size, sent, at + (1 << 40)) for place, size, sent, at in reports(50, 0, start=500_000)]
    assert detector.update(later) is Usage.NORMAL
    assert detector.update(reports(50, 0, start=1_000_000)) is Usage.NORMAL


def test_clocks_of_different_speed_are_no_queue() -> None:
    detector = DelayDetector()
    skewed = [(place, size, sent, at + at // 5_000) for place, size, sent, at in reports(5_000, 0)]
    seen = {detector.update(skewed[place : place + 10]) for place in range(0, 5_000, 10)}
    assert seen == {Usage.NORMAL}


def test_running_sums_stay_exact() -> None:
    noise = random.Random(5)
    line = _Line()
    points = [(place * 33.3 + noise.random(), place * 0.01 + noise.random()) for place in range(20_000)]
    for time, value in points:
        line.add(time, value)
    last = points[-WINDOW:]
    mean_time = sum(time for time, _ in last) / WINDOW
    mean_value = sum(value for _, value in last) / WINDOW
    slope = sum((time - mean_time) * (value - mean_value) for time, value in last) / sum(
        (time - mean_time) ** 2 for time, _ in last
    )
    assert abs(line.slope - slope) < 1e-9
