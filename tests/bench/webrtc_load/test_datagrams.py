"""Sockets that are read in turns."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from bench.webrtc_load.datagrams import DATAGRAMS_PER_CALL, DatagramReader

Taken = list[tuple[bytes, int]]


@pytest.fixture
def reader() -> Iterator[DatagramReader]:
    made = DatagramReader()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there,
    ):
        for end in (here, there):
            end.bind(("127.0.0.1", 0))
            end.setblocking(False)
        here.connect(there.getsockname())
        there.connect(here.getsockname())
        yield here, there


def listen(reader: DatagramReader, udp: socket.socket) -> Taken:
    taken: Taken = []
    reader.add(udp, lambda datagram, at: taken.append((bytes(datagram), at)))
    return taken


def take(reader: DatagramReader, taken: Taken, count: int) -> None:
    """Read until so many have come; the kernel may deliver what was sent a little later."""
    for _ in range(1000):
        reader.turn()
        if len(taken) >= count:
            return
        time.sleep(0.001)


def test_every_datagram_comes_once_in_order_with_its_time(
    reader: DatagramReader, pair: tuple[socket.socket, socket.socket]
) -> None:
    here, there = pair
    taken = listen(reader, there)
    before = time.time_ns()
    sent = [bytes([number]) * (number + 1) for number in range(DATAGRAMS_PER_CALL * 2 + 3)]
    for datagram in sent:
        here.send(datagram)
    take(reader, taken, len(sent))
    after = time.time_ns()
    assert [datagram for datagram, _ in taken] == sent
    times = [at for _, at in taken]
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= after


def test_an_empty_datagram_is_one(reader: DatagramReader, pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    taken = listen(reader, there)
    here.send(b"")
    reader.turn()
    assert [datagram for datagram, _ in taken] == [b""]


def test_a_peer_that_is_gone_is_no_reason_to_stop(
    reader: DatagramReader, pair: tuple[socket.socket, socket.socket]
) -> None:
    here, there = pair
    taken = listen(reader, here)
    there.close()
    here.send(b"to nobody")
    reader.turn()
    assert taken == []


def test_a_socket_that_was_removed_is_read_no_more(
    reader: DatagramReader, pair: tuple[socket.socket, socket.socket]
) -> None:
    here, there = pair
    taken = listen(reader, there)
    here.send(b"one")
    reader.remove(there)
    reader.remove(there)
    reader.turn()
    assert taken == []
