from websockets.frames import Opcode

from chat.connection import Connection
from chat.keepalive import PING_SECONDS, PONG_SECONDS, Keepalive
from tests.chat.stand_ins import Handler, Transport, connected, sent

PING = b"\x89\x00"


def added(keepalive: Keepalive) -> tuple[Connection, Transport]:
    connection, transport = connected(Handler())
    keepalive.add(connection)
    return connection, transport


def ticks(keepalive: Keepalive, seconds: int) -> int:
    return sum(keepalive.tick() for _ in range(seconds))


def test_who_answers_is_pinged_again_and_again():
    keepalive = Keepalive()
    connection, transport = added(keepalive)
    for rounds in range(1, 4):
        assert ticks(keepalive, PING_SECONDS) == 0
        assert transport.written == PING * rounds
        connection.data_received(sent(Opcode.PONG))
    assert not connection.is_closed


def test_who_does_not_answer_is_closed():
    keepalive = Keepalive()
    connection, transport = added(keepalive)
    assert ticks(keepalive, PING_SECONDS + PONG_SECONDS) == 0
    assert keepalive.tick() == 1
    assert (connection.is_closed, transport.is_aborted) == (True, True)


def test_whatever_is_said_counts_as_an_answer():
    keepalive = Keepalive()
    connection, _ = added(keepalive)
    ticks(keepalive, PING_SECONDS)
    connection.data_received(sent(Opcode.TEXT, b"{}"))
    assert ticks(keepalive, PONG_SECONDS + 1) == 0


def test_who_has_left_is_not_closed_again():
    keepalive = Keepalive()
    connection, _ = added(keepalive)
    ticks(keepalive, PING_SECONDS)
    keepalive.remove(connection)
    assert ticks(keepalive, PONG_SECONDS + 1) == 0
    assert len(keepalive) == 0


def test_connections_are_spread_over_the_seconds_in_which_they_came():
    keepalive = Keepalive()
    first, second = added(keepalive), None
    ticks(keepalive, 5)
    second = added(keepalive)
    ticks(keepalive, PING_SECONDS - 5)
    assert (first[1].written, second[1].written) == (PING, b"")
