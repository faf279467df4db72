"""Reading many UDP sockets at little cost: one system call per socket and turn, with arrival times.

A turn comes every few milliseconds and takes what has gathered meanwhile. What is measured does not depend
on when that is: each datagram has the time at which the kernel put it into the socket's queue.
"""

import asyncio
import ctypes
import select
import socket
import sys
from collections.abc import Callable
from typing import Final

from bench.errors import BenchError

TURN_SECONDS: Final = 0.01
DATAGRAMS_PER_CALL: Final = 32
CALLS_PER_SOCKET: Final = 16
"""In one turn, so that nobody is kept waiting by one who is flooded."""
RECEIVE_BUFFER_BYTES: Final = 2 * 1024 * 1024
DATAGRAM_BYTES: Final = 2048

_SO_TIMESTAMPNS: Final = 35
_CONTROL_BYTES: Final = 32
_HEADER_BYTES: Final = 64
_LENGTH_INDEX: Final = 14
"""Of msg_len, in 32-bit words from the beginning of a mmsghdr."""
_CONTROL_LENGTH_INDEX: Final = 5
"""Of msg_controllen, in 64-bit words."""
_NANOSECONDS: Final = 1_000_000_000

Receive = Callable[[memoryview, int], None]
"""Takes a datagram, which is overwritten after the call, and when it came: nanoseconds of `time.time_ns`."""


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """Linux's mmsghdr on 64-bit machines."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("alignment", ctypes.c_uint32),
        ("length", ctypes.c_uint32),
    )


class DatagramReader:
    """Sockets and who takes what they get; `run` reads them until it is cancelled."""

    def __init__(self) -> None:
        if not sys.platform.startswith("linux") or ctypes.sizeof(_Header) != _HEADER_BYTES:
            raise BenchError("WebRTC can be loaded from 64-bit Linux only: it reads by recvmmsg")
        self._receivers: dict[int, Receive] = {}
        self._poll = select.epoll()
        self._call = ctypes.CDLL(None).recvmmsg
        self._call.argtypes = (
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_void_p,
        )
        self._data = bytearray(DATAGRAMS_PER_CALL * DATAGRAM_BYTES)
        self._control = bytearray(DATAGRAMS_PER_CALL * _CONTROL_BYTES)
        self._headers = bytearray(DATAGRAMS_PER_CALL * _HEADER_BYTES)
        self._prepare()
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._headers))
        view = memoryview(self._data)
        self._places = [view[at : at + DATAGRAM_BYTES] for at in range(0, len(self._data), DATAGRAM_BYTES)]
        self._lengths = memoryview(self._headers).cast("I")
        self._words = memoryview(self._headers).cast("Q")
        self._times = memoryview(self._control).cast("q")

    def _prepare(self) -> None:
        data = ctypes.addressof(ctypes.c_char.from_buffer(self._data))
        control = ctypes.addressof(ctypes.c_char.from_buffer(self._control))
        self._vectors = (_Vector * DATAGRAMS_PER_CALL)()
        headers = (_Header * DATAGRAMS_PER_CALL).from_buffer(self._headers)
        for index in range(DATAGRAMS_PER_CALL):
            self._vectors[index] = _Vector(data + index * DATAGRAM_BYTES, DATAGRAM_BYTES)
            vector = ctypes.addressof(self._vectors) + index * ctypes.sizeof(_Vector)
            header = headers[index]
            header.vectors, header.vector_count = vector, 1
            header.control, header.control_length = control + index * _CONTROL_BYTES, _CONTROL_BYTES

    def add(self, udp: socket.socket, receive: Receive) -> None:
        """Read ``udp``, which must not block, from now on."""
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        udp.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._receivers[udp.fileno()] = receive
        self._poll.register(udp.fileno(), select.EPOLLIN)

    def remove(self, udp: socket.socket) -> None:
        """Read ``udp`` no more; it must still be open."""
        if self._receivers.pop(udp.fileno(), None) is not None:
            self._poll.unregister(udp.fileno())

    def close(self) -> None:
        self._receivers.clear()
        self._poll.close()

    async def run(self) -> None:
        """Take turns for ever."""
        while True:
            self.turn()
            await asyncio.sleep(TURN_SECONDS)

    def turn(self) -> None:
        """Hand over all that has come."""
        for descriptor, _ in self._poll.poll(0, max(len(self._receivers), 1)):
            receive = self._receivers.get(descriptor)
            if receive is not None:
                self._drain(descriptor, receive)

    def _drain(self, descriptor: int, receive: Receive) -> None:
        for _ in range(CALLS_PER_SOCKET):
            count = self._read(descriptor)
            for index in range(count):
                size = self._lengths[index * 16 + _LENGTH_INDEX]
                at = self._times[index * 4 + 2] * _NANOSECONDS + self._times[index * 4 + 3]
                receive(self._places[index][:size], at)
            if count < DATAGRAMS_PER_CALL or descriptor not in self._receivers:
                return

    def _read(self, descriptor: int) -> int:
        """Return how many datagrams came; an error of an earlier send is none of reading."""
        count: int = self._call(descriptor, self._address, DATAGRAMS_PER_CALL, socket.MSG_DONTWAIT, None)
        for index in range(max(count, 0)):
            self._words[index * 8 + _CONTROL_LENGTH_INDEX] = _CONTROL_BYTES
        return max(count, 0)
