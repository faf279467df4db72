"""The whole congestion control against a path with a bottleneck, on a fake clock."""

from __future__ import annotations

import pytest

from tests.sfu.protocol.congestion.network import Call, Link

MUCH = 50_000_000


@pytest.mark.parametrize("bitrate", [300_000, 1_000_000, 3_000_000, 10_000_000])
def test_comes_within_fifteen_percent_of_the_link(bitrate: int) -> None:
    call = Call(Link(bitrate), wanted=MUCH)
    call.run(30)
    assert 0.85 * bitrate < call.mean(15) < 1.15 * bitrate


@pytest.mark.parametrize(
    "link",
    [
        Link(2_000_000, loss=0.01),
        Link(2_000_000, jitter=10_000),
        Link(2_000_000, delay=150_000),
        Link(2_000_000, queue=60_000),
        Link(2_000_000, queue=2_000_000),
    ],
    ids=["loss", "jitter", "long way", "short queue", "long queue"],
)
def test_copes_with_an_imperfect_link(link: Link) -> None:
    call = Call(link, wanted=MUCH)
    call.run(40)
    assert 0.85 * link.bitrate < call.mean(20) < 1.15 * link.bitrate


def test_keeps_the_queue_short() -> None:
    call = Call(Link(2_000_000, queue=2_000_000), wanted=MUCH)
    call.run(30)
    settled = sorted(call.delays[len(call.delays) // 2 :])
    assert settled[len(settled) * 95 // 100] < call.link.delay + 100_000


def test_backs_off_within_three_seconds_and_recovers() -> None:
    call = Call(Link(3_000_000), wanted=MUCH)
    call.run(15)
    call.link.bitrate = 800_000
    call.run(3)
    assert call.controller.estimate < 900_000
    call.run(12)
    assert 0.85 * 800_000 < call.mean(6) < 1.15 * 800_000
    call.link.bitrate = 3_000_000
    call.run(20)
    assert call.mean(5) > 0.85 * 3_000_000


def test_probing_is_faster_than_feeling_the_way_up() -> None:
    slow, fast = Call(Link(5_000_000)), Call(Link(5_000_000), wanted=MUCH)
    slow.run(4)
    fast.run(4)
    assert fast.controller.estimate > 3_500_000 > 1_500_000 > slow.controller.estimate


def test_sees_more_than_the_source_sends_if_that_is_wanted() -> None:
    call = Call(Link(10_000_000), source=600_000, wanted=2_000_000)
    call.run(10)
    assert call.controller.estimate >= 2_000_000
    assert call.padding_bytes < 50_000


def test_sends_no_padding_for_what_nobody_wants() -> None:
    call = Call(Link(10_000_000), source=600_000, wanted=500_000)
    call.run(10)
    assert call.padding_bytes == 0


def test_heavy_losses_lower_the_estimate_at_first() -> None:
    call = Call(Link(5_000_000), start=2_000_000)
    call.run(3)
    before = call.controller.estimate
    call.link.loss = 0.3
    call.run(3)
    assert call.controller.estimate < 0.8 * before


def test_losses_that_do_not_depend_on_the_rate_do_not_starve_it() -> None:
    call = Call(Link(5_000_000, loss=0.3), start=2_000_000)
    call.run(40)
    assert call.mean(20) > 500_000


def test_losses_of_a_shallow_queue_are_the_rate_s_fault() -> None:
    # No delay to see: what does not fit is dropped at once.
    call = Call(Link(1_000_000, queue=5_000), start=4_000_000)
    call.run(20)
    assert call.mean(10) < 1_300_000


def test_a_peer_that_falls_silent_gets_less_and_less() -> None:
    call = Call(Link(3_000_000), wanted=MUCH)
    call.run(10)
    call.feedback_works = False
    call.run(10)
    assert call.controller.estimate < 500_000
    call.feedback_works = True
    call.run(20)
    assert call.mean(5) > 0.85 * 3_000_000


def test_an_idle_transport_keeps_its_estimate() -> None:
    call = Call(Link(3_000_000), wanted=MUCH)
    call.run(10)
    controller = call.controller
    call.run(1, lambda: None)
    before = controller.estimate
    controller.ledger.acknowledge([(controller.ledger.next_number - 1, None)])
    controller.wanted = 0
    for second in range(30):
        controller.tick(call.now + second * 1_000_000)
    assert controller.estimate == before


def test_two_calls_share_a_link() -> None:
    link = Link(2_000_000)
    first, second = Call(link, wanted=MUCH), Call(link, wanted=MUCH)
    first.run(30, lambda: second.run(0.001))
    shares = first.mean(20), second.mean(20)
    assert min(shares) > 0.25 * link.bitrate
    assert 0.8 * link.bitrate < sum(shares) < 1.15 * link.bitrate
