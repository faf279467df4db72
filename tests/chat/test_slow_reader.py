"""A client that takes nothing, on a real socket: what is kept of it is bounded, in the kernel too."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

import chat.connection
from chat.connection import BUDGET_BYTES, KERNEL_BYTES, Connection
from chat.protocol.frames import Encoding
from tests.chat.stand_ins import Handler
from tests.helpers.waiting import eventually

CLIENT_BYTES = 64 * 1024
PIECE = b"x" * 10_000


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Connection, socket.socket]]:
    """Of one connection: the server's, and a client that reads only when the test does."""
    loop = asyncio.get_running_loop()
    connections: list[Connection] = []

    def made() -> Connection:
        connections.append(Connection(Handler(), Encoding.MSGPACK, None, "127.0.0.1", loop.time))
        return connections[0]

    server = await loop.create_server(made, "127.0.0.1", 0)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CLIENT_BYTES)
    client.setblocking(False)
    await loop.sock_connect(client, server.sockets[0].getsockname())
    await eventually(lambda: connections)
    yield connections[0], client
    client.close()
    connections[0].abort()
    server.close()
    await server.wait_closed()


def fill(connection: Connection) -> int:
    """Write until the connection is cut, and say how much."""
    written = 0
    while not connection.is_closed:
        connection.write(PIECE)
        written += len(PIECE)
    return written


async def test_a_slow_reader_is_cut_little_above_the_budget(ends: tuple[Connection, socket.socket]):
    connection, _ = ends
    assert BUDGET_BYTES < fill(connection) < BUDGET_BYTES + 2 * KERNEL_BYTES + 4 * CLIENT_BYTES


async def test_what_a_slow_reader_leaves_is_dropped(ends: tuple[Connection, socket.socket], monkeypatch):
    monkeypatch.setattr(chat.connection, "GRACE_SECONDS", 0.01)
    connection, client = ends
    written = fill(connection)
    await eventually(lambda: connection.backlog == 0)
    got = 0
    with pytest.raises(ConnectionResetError):
        while data := await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1 << 20), 10):
            got += len(data)
    assert got < written


async def test_one_that_takes_the_rest_in_time_is_told_why(ends: tuple[Connection, socket.socket]):
    connection, client = ends
    fill(connection)
    got = b""
    while data := await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1 << 20), 10):
        got = (got + data)[-100:]
    assert got.endswith(b"too slow")
