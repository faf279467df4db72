"""The pacer: nothing waits that need not, and nothing leaves out of turn."""

from __future__ import annotations

from sfu.protocol.congestion.pacer import FACTOR, MAX_DELAY, MAX_PACKETS, Pacer

NOW = 1_000_000


def drain(pacer: Pacer[int], now: int) -> list[tuple[int, int]]:
    """Release until nothing waits; return (time, item) in order."""
    left: list[tuple[int, int]] = []
    while (at := pacer.next_release(now)) is not None:
        now = max(at, now)
        left.extend((now, item) for item in pacer.release(now))
    return left


def test_even_frames_never_wait() -> None:
    pacer: Pacer[int] = Pacer(1_000_000)
    assert all(pacer.admit(1_000_000 // 30 // 8, NOW + frame * 33_000) for frame in range(100))


def test_a_burst_is_spread_over_time_in_order() -> None:
    pacer: Pacer[int] = Pacer(1_000_000)
    assert not pacer.admit(100 * 1200, NOW)
    for item in range(100):
        assert pacer.queue(item, 1200)
    left = drain(pacer, NOW)
    assert [item for _, item in left] == list(range(100))
    expected = 100 * 1200 * 8 / (1_000_000 * FACTOR) * 1_000_000
    assert 0.9 * expected < left[-1][0] - NOW < 1.1 * expected
    assert pacer.queued_bytes == len(pacer) == 0


def test_nothing_overtakes_what_waits() -> None:
    pacer: Pacer[int] = Pacer(1_000_000)
    pacer.queue(1, 1200)
    assert not pacer.admit(100, NOW)
    assert pacer.release(NOW) == [1]
    assert pacer.admit(100, NOW)


def test_retransmissions_leave_first() -> None:
    pacer: Pacer[int] = Pacer(100_000)
    pacer.queue(1, 1200)
    pacer.queue(2, 1200, urgent=True)
    assert [item for _, item in drain(pacer, NOW)] == [2, 1]


def test_a_long_queue_is_emptied_faster_than_the_pace() -> None:
    pacer: Pacer[int] = Pacer(30_000)
    for item in range(500):
        pacer.queue(item, 1200)
    left = drain(pacer, NOW)
    waited = sorted(at - NOW for at, _ in left)
    assert waited[len(waited) // 2] < MAX_DELAY
    assert len(left) == 500


def test_a_full_queue_is_given_up() -> None:
    pacer: Pacer[int] = Pacer(1_000_000)
    assert all(pacer.queue(item, 1200) for item in range(MAX_PACKETS))
    assert not pacer.queue(0, 1200)
    assert pacer.next_release(NOW) is None
    assert pacer.release(NOW) == []


def test_what_leaves_without_asking_counts() -> None:
    pacer: Pacer[int] = Pacer(1_000_000)
    pacer.spend(20_000, NOW)
    assert not pacer.admit(1200, NOW)
    assert pacer.admit(1200, NOW + 100_000)


def test_empty_packets_leave() -> None:
    pacer: Pacer[int] = Pacer(1_000_000)
    pacer.queue(1, 0)
    assert pacer.release(NOW) == [1]
