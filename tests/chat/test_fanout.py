import asyncio

import pytest

from chat.connection import BUDGET_BYTES, Connection
from chat.fanout import LOOK_BYTES, Fanout, Ticker
from chat.protocol.frames import Encoding, Outgoing
from tests.chat.stand_ins import Handler, Transport, connected
from tests.helpers.waiting import eventually


@pytest.fixture
async def fanout() -> Fanout:
    return Fanout(Ticker())


def joined(fanout: Fanout, encoding: Encoding = Encoding.JSON) -> tuple[Connection, Transport]:
    connection, transport = connected(Handler(), encoding)
    fanout.join(connection)
    return connection, transport


def said(text: str) -> Outgoing:
    return Outgoing("pong", {"text": text})


async def test_what_comes_within_a_tick_goes_out_in_one_write(fanout: Fanout):
    written: list[bytes] = []
    connection, transport = connected(Handler())
    transport.write = written.append  # type: ignore[method-assign]
    fanout.join(connection)
    frames = [said("1"), said("2")]
    for frame in frames:
        fanout.say(frame)
    assert written == []
    await eventually(lambda: bool(written))
    assert written == [b"".join(frame.wire(Encoding.JSON) for frame in frames)]


async def test_each_gets_its_encoding_and_all_of_one_the_same_object(fanout: Fanout):
    got: list[bytes] = []
    for encoding in (Encoding.JSON, Encoding.JSON, Encoding.MSGPACK):
        connection, transport = connected(Handler(), encoding)
        transport.write = got.append  # type: ignore[method-assign]
        fanout.join(connection)
    frame = said("x")
    fanout.say(frame)
    fanout.flush()
    assert got == [frame.wire(Encoding.JSON), frame.wire(Encoding.JSON), frame.wire(Encoding.MSGPACK)]
    assert got[0] is got[1]


async def test_a_newcomer_gets_nothing_of_before_and_who_left_nothing_of_after(fanout: Fanout):
    old, old_transport = joined(fanout)
    fanout.say(said("before"))
    _, new_transport = joined(fanout)
    assert b"before" in old_transport.written
    fanout.leave(old)
    fanout.say(said("after"))
    fanout.flush()
    assert b"after" not in old_transport.written
    assert b"before" not in new_transport.written
    assert b"after" in new_transport.written


async def test_nobody_waits_for_a_room_that_is_empty(fanout: Fanout):
    fanout.say(said("x"))
    _, transport = joined(fanout)
    fanout.flush()
    assert transport.written == b""


async def test_the_slow_are_cut_and_the_others_not(fanout: Fanout):
    slow, slow_transport = joined(fanout)
    quick, quick_transport = joined(fanout)
    slow_transport.backlog = BUDGET_BYTES + 1
    fanout.say(said("x" * LOOK_BYTES))
    fanout.flush()
    assert (slow.is_closed, quick.is_closed) == (True, False)
    before = len(slow_transport.written)
    fanout.say(said("more"))
    fanout.flush()
    assert b"more" in quick_transport.written
    assert len(slow_transport.written) == before


async def test_a_transport_that_died_unheard_disturbs_nobody(fanout: Fanout):
    dead, dead_transport = joined(fanout)
    _, transport = joined(fanout)
    dead_transport.is_broken = True
    fanout.say(said("x"))
    fanout.flush()
    assert dead.is_closed
    assert b"x" in transport.written


async def test_deliveries_are_counted():
    ticker = Ticker()
    fanout = Fanout(ticker)
    for _ in range(3):
        joined(fanout)
    frames = [said("1"), said("2")]
    for frame in frames:
        fanout.say(frame)
    fanout.flush()
    assert ticker.counters.deliveries == 6
    assert ticker.counters.bytes_sent == 3 * sum(len(frame.wire(Encoding.JSON)) for frame in frames)
    ticker.close()
    await asyncio.sleep(0)
