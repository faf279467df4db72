import asyncio

import pytest
from websockets.frames import Close, Frame, Opcode

from chat.connection import (
    BUDGET_BYTES,
    CLOSE_TOO_MANY_FRAMES,
    CLOSE_TOO_SLOW,
    CLOSE_WRONG_KIND,
    FRAMES_PER_SECOND,
    MAX_WAITING,
    Connection,
)
from chat.protocol.frames import Encoding
from tests.chat.stand_ins import Clock, Handler, Transport, connected, sent, text


def close_code(transport: Transport) -> int:
    """Of the close frame that was written last."""
    at = transport.written.rindex(b"\x88")
    length = transport.written[at + 1]
    return Close.parse(transport.written[at + 2 : at + 2 + length]).code


async def worked(connection: Connection) -> list[bytes | str]:
    seen: list[bytes | str] = []

    async def handle(_: Connection, data: bytes | str) -> None:
        seen.append(data)
        await asyncio.sleep(0)

    await connection.work(handle)
    return seen


async def test_frames_are_handled_in_order_by_one_task():
    handler = Handler()
    connection, _ = connected(handler)
    connection.data_received(text("1") + text("2"))
    connection.data_received(text("3"))
    assert handler.started == [connection]
    assert await worked(connection) == ["1", "2", "3"]
    connection.data_received(text("4"))
    assert handler.started == [connection, connection]


async def test_no_more_is_read_while_much_waits():
    handler = Handler()
    connection, transport = connected(handler)
    connection.data_received(b"".join(text(str(n)) for n in range(MAX_WAITING)))
    assert not transport.is_reading
    assert len(await worked(connection)) == MAX_WAITING
    assert transport.is_reading


async def test_frames_after_the_end_are_not_handled():
    handler = Handler()
    connection, _ = connected(handler)
    connection.data_received(text("1"))
    connection.connection_lost(None)
    assert await worked(connection) == []
    assert handler.lost_ones == [connection]


def test_pings_are_answered():
    connection, transport = connected(Handler())
    connection.data_received(sent(Opcode.PING, b"here?"))
    assert transport.written == Frame(Opcode.PONG, b"here?").serialize(mask=False)


def test_a_flood_of_pings_ends_the_connection_and_a_second_of_rest_does_not():
    clock = Clock()
    connection, transport = connected(Handler(), clock=clock)
    for _ in range(3):
        connection.data_received(sent(Opcode.PING) * FRAMES_PER_SECOND)
        clock.now += 1
    assert not connection.is_closed
    connection.data_received(sent(Opcode.PING) * (FRAMES_PER_SECOND + 1))
    assert (connection.is_closed, close_code(transport)) == (True, CLOSE_TOO_MANY_FRAMES)


@pytest.mark.parametrize(
    ("encoding", "opcode"), [(Encoding.JSON, Opcode.BINARY), (Encoding.MSGPACK, Opcode.TEXT)]
)
def test_the_other_encoding_is_refused(encoding: Encoding, opcode: Opcode):
    handler = Handler()
    connection, transport = connected(handler, encoding)
    connection.data_received(sent(opcode, b"{}"))
    assert close_code(transport) == CLOSE_WRONG_KIND
    assert transport.is_closed
    assert not handler.started


def test_a_protocol_error_closes_with_its_code():
    connection, transport = connected(Handler())
    connection.data_received(Frame(Opcode.TEXT, b"unmasked").serialize(mask=False))
    assert (connection.is_closed, close_code(transport)) == (True, 1002)


def test_a_close_is_answered_with_its_code():
    connection, transport = connected(Handler())
    connection.data_received(sent(Opcode.CLOSE, Close(4000, "bye").serialize()))
    assert (transport.is_closed, close_code(transport)) == (True, 4000)
    connection.data_received(text("late"))
    connection.write(b"late")
    assert not transport.written.endswith(b"late")


async def test_who_takes_nothing_is_cut():
    connection, transport = connected(Handler())
    transport.backlog = BUDGET_BYTES + 1
    connection.write(b"more")
    assert (connection.is_closed, transport.is_closed) == (True, True)
    assert close_code(transport) == CLOSE_TOO_SLOW


def test_a_transport_that_died_unheard_ends_the_connection():
    connection, transport = connected(Handler())
    transport.is_broken = True
    connection.write(b"x")
    assert (connection.is_closed, transport.is_aborted) == (True, True)
