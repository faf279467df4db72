"""A transport, a handler and frames as a client sends them."""

import asyncio
from typing import Any

from websockets.frames import Frame, Opcode

from chat.connection import Connection
from chat.ports import Identity
from chat.protocol.frames import Encoding


class Transport(asyncio.Transport):
    """Keeps what is written; ``backlog`` is what it claims not to have sent yet."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.backlog = 0
        self.is_reading = True
        self.is_closed = False
        self.is_aborted = False
        self.is_broken = False

    def write(self, data: Any) -> None:
        if self.is_broken:
            raise RuntimeError("the handle is closed")
        self.written += bytes(data)

    def get_write_buffer_size(self) -> int:
        return self.backlog

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_aborted = True


class Handler:
    """Implements chat.connection.ConnectionHandler; ``started`` wait for somebody to work."""

    def __init__(self) -> None:
        self.started: list[Connection] = []
        self.lost_ones: list[Connection] = []

    def start(self, connection: Connection) -> None:
        self.started.append(connection)

    def lost(self, connection: Connection) -> None:
        self.lost_ones.append(connection)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def connected(
    handler: Handler,
    encoding: Encoding = Encoding.JSON,
    identity: Identity | None = None,
    clock: Clock | None = None,
) -> tuple[Connection, Transport]:
    connection = Connection(handler, encoding, identity, "192.0.2.1", clock or Clock())
    transport = Transport()
    connection.connection_made(transport)
    return connection, transport


def sent(opcode: Opcode, data: bytes = b"") -> bytes:
    """A frame as a client sends it: masked."""
    return Frame(opcode, data).serialize(mask=True)


def text(data: str) -> bytes:
    return sent(Opcode.TEXT, data.encode())
