"""Waiting without a timer or a task of one's own."""

import asyncio

from mediaserver.delivery.hls.waiting import Waiters
from tests.helpers.waiting import eventually


async def test_all_are_woken_at_once():
    waiters = Waiters()
    waiting = [asyncio.ensure_future(waiters.wait(10.0)) for _ in range(5)]
    await eventually(lambda: len(waiters) == 5)
    waiters.wake()
    assert await asyncio.gather(*waiting) == [True] * 5


async def test_only_those_past_their_deadline_are_turned_away():
    waiters = Waiters()
    early, late = (asyncio.ensure_future(waiters.wait(at)) for at in (1.0, 2.0))
    await eventually(lambda: len(waiters) == 2)
    waiters.sweep(1.5)
    assert await early is False
    assert len(waiters) == 1
    waiters.wake()
    assert await late is True


async def test_one_that_leaves_disturbs_nobody():
    waiters = Waiters()
    gone, there = (asyncio.ensure_future(waiters.wait(1.0)) for _ in range(2))
    await eventually(lambda: len(waiters) == 2)
    gone.cancel()
    await eventually(lambda: len(waiters) == 1)
    waiters.wake()
    assert await there is True
