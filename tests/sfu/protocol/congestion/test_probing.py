"""Probes: what they send, what they conclude, and when they are sent."""

from __future__ import annotations

import pytest

from sfu.protocol.congestion.probing import MAX_INTERVAL, MAX_PADDING, MIN_PACKETS, PATIENCE, Probe, ProbePlan

NOW = 1_000_000
SECOND = 1_000_000


def sent(probe: Probe, first: int) -> list[tuple[int, int, int]]:
    """Send what the probe asks for, by the millisecond; return number, size and time."""
    packets: list[tuple[int, int, int]] = []
    for now in range(NOW, NOW + 300_000, 1_000):
        while probe.due(now) > 0:
            probe.padded(1200, first + len(packets))
            packets.append((first + len(packets), 1200, now))
    return packets


def through(packets: list[tuple[int, int, int]], bitrate: int) -> list[tuple[int, int, int, int]]:
    """Let a link of `bitrate` carry them."""
    free = 0
    arrived = []
    for number, size, at in packets:
        free = max(free, at + 20_000) + size * 8_000_000 // bitrate
        arrived.append((number, size, at, free))
    return arrived


@pytest.mark.parametrize("bitrate", [300_000, 2_000_000, 20_000_000])
def test_measures_a_path_that_carries_it(bitrate: int) -> None:
    probe = Probe(bitrate, 10, NOW)
    packets = sent(probe, 10)
    assert len(packets) >= MIN_PACKETS
    assert not probe.due(NOW + SECOND)
    assert probe.observe(through(packets, 100_000_000))
    result = probe.result()
    assert result is not None
    assert 0.7 * bitrate < result < 1.3 * bitrate


def test_measures_a_path_that_does_not_carry_it() -> None:
    probe = Probe(8_000_000, 1, NOW)
    assert probe.observe(through(sent(probe, 1), 2_000_000))
    result = probe.result()
    assert result is not None
    assert 1_700_000 < result <= 2_000_000


def test_padding_is_bounded() -> None:
    probe = Probe(1 << 40, 1, NOW)
    assert len(sent(probe, 1)) * 1200 <= MAX_PADDING + 1200


def test_tells_nothing_if_too_little_arrives() -> None:
    probe = Probe(5_000_000, 1, NOW)
    packets = sent(probe, 1)
    assert probe.observe(through(packets, 100_000_000)[-2:])
    assert probe.result() is None
    assert Probe(5_000_000, 1, NOW).result() is None


def test_tells_nothing_if_arrivals_make_no_sense() -> None:
    probe = Probe(5_000_000, 1, NOW)
    assert probe.observe([(number, size, at, NOW) for number, size, at in sent(probe, 1)])
    assert probe.result() is None
    probe = Probe(5_000_000, 1, NOW)
    packets = sent(probe, 1)
    probe.observe([(number, size, at, NOW + place) for place, (number, size, at) in enumerate(packets)])
    assert probe.result() is None


def test_packets_before_and_after_do_not_count() -> None:
    probe = Probe(2_000_000, 10, NOW)
    packets = sent(probe, 10)
    last = packets[-1][0]
    assert not probe.observe([(9, 1200, 0, 0)])
    assert probe.observe([*through(packets, 50_000_000), (last + 1, 50_000, NOW, NOW)])
    result = probe.result()
    assert result is not None
    assert result < 3_000_000


def test_expires() -> None:
    probe = Probe(2_000_000, 10, NOW)
    assert not probe.expired(NOW + PATIENCE - 1)
    assert probe.expired(NOW + PATIENCE)


def test_plans_only_for_what_is_wanted() -> None:
    plan = ProbePlan()
    assert plan.next_rate(1_000_000, 900_000, 0) is None
    assert plan.next_rate(1_000_000, 1_200_000, 0) == 1_500_000
    assert ProbePlan().next_rate(1_000_000, 90_000_000, 0) == 3_000_000


def test_goes_on_after_a_success_and_waits_longer_after_each_failure() -> None:
    plan = ProbePlan()
    assert plan.next_rate(1_000_000, 90_000_000, 0) == 3_000_000
    assert plan.next_rate(1_000_000, 90_000_000, 1) is None
    plan.finished(3_000_000, 2_900_000, 2)
    assert plan.next_rate(2_900_000, 90_000_000, 2) == 5_800_000
    waits = []
    now = 3
    for _ in range(6):
        plan.finished(5_800_000, None, now)
        failed = now
        while plan.next_rate(2_900_000, 90_000_000, now) is None:
            now += 100_000
        waits.append(now - failed)
    assert waits == sorted(waits)
    assert waits[-1] > 3 * waits[0]
    assert waits[-1] < MAX_INTERVAL + SECOND


def test_holds_while_the_path_is_full() -> None:
    plan = ProbePlan()
    plan.hold(0)
    assert plan.next_rate(1_000_000, 2_000_000, SECOND) is None
    assert plan.next_rate(1_000_000, 2_000_000, 6 * SECOND) is not None
