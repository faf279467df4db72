"""Batches over real sockets: what is sent past the transport arrives whole, once and in order."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from mediaserver.delivery import batch as batch_module
from mediaserver.delivery.batch import MINIMUM_BYTES, MINIMUM_RECEIVERS, Batch, batch_for
from mediaserver.delivery.broadcast import Viewer
from mediaserver.delivery.framing import Framing
from tests.helpers.waiting import eventually

LARGE = 3_000_000
"""More than a socket takes at once."""


class Accepted(asyncio.Protocol):
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport


class Peer:
    """A viewer on this side of a TCP connection and a reader on the other."""

    def __init__(self, transport: asyncio.Transport, reader: asyncio.StreamReader) -> None:
        self.viewer = Viewer(transport, Framing.BARE, lambda: None)
        self.transport = transport
        self.reader = reader


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    accepted = Accepted()
    server = await asyncio.get_running_loop().create_server(lambda: accepted, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    await eventually(lambda: hasattr(accepted, "transport"))
    yield Peer(accepted.transport, reader)
    writer.close()
    accepted.transport.abort()
    server.close()


def payloads() -> list[bytes]:
    return [os.urandom(size) for size in (100, MINIMUM_BYTES, LARGE, 50, MINIMUM_BYTES + 1, LARGE, 7)]


async def test_batches_and_other_writes_arrive_in_order(peer: Peer) -> None:
    sent = payloads()
    for data in sent:
        with batch_for(MINIMUM_RECEIVERS, data) as batch:
            peer.viewer.send(batch)
        peer.transport.write(b"pong")
    expected = b"".join(data + b"pong" for data in sent)
    assert await peer.reader.readexactly(len(expected)) == expected


async def test_a_large_batch_goes_past_the_transport(peer: Peer) -> None:
    with batch_for(MINIMUM_RECEIVERS, bytes(MINIMUM_BYTES)) as batch:
        assert batch.pages is not None
        assert peer.viewer.socket is not None
        assert batch.send_pages(peer.viewer.socket) == MINIMUM_BYTES
    assert await peer.reader.readexactly(MINIMUM_BYTES) == bytes(MINIMUM_BYTES)


async def test_what_the_socket_does_not_take_is_the_viewers_backlog(peer: Peer) -> None:
    with batch_for(MINIMUM_RECEIVERS, bytes(4 * LARGE)) as batch:
        peer.viewer.send(batch)
    assert 0 < peer.viewer.backlog() < 4 * LARGE


async def test_a_closed_socket_takes_nothing(peer: Peer) -> None:
    peer.transport.abort()
    await asyncio.sleep(0)
    await eventually(lambda: peer.viewer.socket is None or peer.viewer.socket.fileno() == -1)
    assert peer.viewer.socket is not None
    with batch_for(MINIMUM_RECEIVERS, bytes(MINIMUM_BYTES)) as batch:
        assert batch.send_pages(peer.viewer.socket) == 0


@pytest.mark.parametrize(("receivers", "size"), [(1, MINIMUM_BYTES), (MINIMUM_RECEIVERS, 100)])
def test_pages_are_only_made_where_they_pay(receivers: int, size: int) -> None:
    with batch_for(receivers, bytes(size)) as batch:
        assert batch.pages is None


async def test_without_memory_files_everything_goes_through_the_transport(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_name: str) -> int:
        raise OSError("no memory files here")

    monkeypatch.setattr(batch_module.os, "memfd_create", refuse)
    with batch_for(MINIMUM_RECEIVERS, bytes(MINIMUM_BYTES)) as batch:
        assert batch.pages is None
        peer.viewer.send(batch)
    assert await peer.reader.readexactly(MINIMUM_BYTES) == bytes(MINIMUM_BYTES)


def test_no_file_is_left_open() -> None:
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(10):
        with batch_for(MINIMUM_RECEIVERS, bytes(MINIMUM_BYTES)) as batch:
            assert isinstance(batch, Batch)
    assert set(os.listdir("/proc/self/fd")) == before
