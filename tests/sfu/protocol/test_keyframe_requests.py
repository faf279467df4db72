"""Keyframe requests: merged, spaced, retried, and not for ever."""

from __future__ import annotations

import pytest

from sfu.protocol import keyframe_requests
from sfu.protocol.keyframe_requests import INTERVAL, NEVER, KeyframeRequests


def test_the_first_wish_is_sent_and_those_on_its_way_are_served_by_its_answer() -> None:
    requests = KeyframeRequests()
    assert requests.request(1, 5.0)
    assert not any(requests.request(1, 5.0 + step / 100) for step in range(50))
    requests.received(1)
    assert requests.deadline == NEVER
    assert requests.due(100.0) == []


def test_a_wish_after_the_answer_waits_for_its_turn() -> None:
    requests = KeyframeRequests()
    requests.request(1, 0.0)
    requests.received(1)
    assert not requests.request(1, 0.5)
    assert requests.due(0.9) == []
    assert requests.deadline == INTERVAL
    assert requests.due(INTERVAL) == [1]


def test_after_the_interval_a_wish_is_sent_at_once() -> None:
    requests = KeyframeRequests()
    requests.request(1, 0.0)
    requests.received(1)
    assert requests.request(1, INTERVAL)


def test_a_silent_producer_is_asked_again_then_left_alone() -> None:
    requests = KeyframeRequests()
    requests.request(1, 0.0)
    sent = [0.0]
    while requests.deadline != NEVER:
        now = requests.deadline
        sent += [now] * len(requests.due(now))
    assert sent == pytest.approx([INTERVAL * step for step in range(keyframe_requests.MAX_ATTEMPTS)])
    assert requests.request(1, sent[-1] + 2 * INTERVAL)


def test_a_flood_of_wishes_costs_one_request_a_second() -> None:
    requests = KeyframeRequests()
    sent = 0
    for step in range(10_000):
        now = step / 1000
        sent += requests.request(1, now)
        sent += len(requests.due(now))
    assert sent == 10


def test_streams_are_apart() -> None:
    requests = KeyframeRequests()
    assert requests.request(1, 0.0)
    assert requests.request(2, 0.2)
    assert requests.due(INTERVAL) == [1]
    requests.remove(1)
    requests.received(1)
    assert requests.due(10.0) == [2]
