"""A network between one page and the server, as narrow as a test wants it."""

from __future__ import annotations

import asyncio
from typing import Self, cast

LONGEST_QUEUE_SECONDS = 0.25
Address = tuple[str, int]


class NarrowLink:
    """Relays datagrams between `port` and the server; `rate` in bytes per second limits what clients get."""

    def __init__(self, server: Address) -> None:
        self.port = 0
        self.rate: float | None = None
        self.dropped = 0
        self._server = server
        self._clients: dict[Address, asyncio.DatagramTransport | None] = {}
        self._near: asyncio.DatagramTransport | None = None
        self._free_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Side(self._from_client), local_addr=("127.0.0.1", 0)
        )
        self._near = transport
        self.port = transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for transport in (self._near, *self._clients.values()):
            if transport is not None:
                transport.close()

    def _from_client(self, data: bytes, client: Address) -> None:
        if client not in self._clients:
            self._clients[client] = None
            task = asyncio.get_running_loop().create_task(self._open(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        far = self._clients[client]
        if far is not None:
            far.sendto(data)

    async def _open(self, client: Address) -> None:
        loop = asyncio.get_running_loop()
        far, _ = await loop.create_datagram_endpoint(
            lambda: _Side(lambda data, _: self._from_server(data, client)), remote_addr=self._server
        )
        self._clients[client] = far

    def _from_server(self, data: bytes, client: Address) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self.rate is None:
            self._deliver(data, client)
        elif self._free_at - now > LONGEST_QUEUE_SECONDS:
            self.dropped += 1
        else:
            self._free_at = max(self._free_at, now) + len(data) / self.rate
            loop.call_at(self._free_at, self._deliver, data, client)

    def _deliver(self, data: bytes, client: Address) -> None:
        if self._near is not None and not self._near.is_closing():
            self._near.sendto(data, client)


class _Side(asyncio.DatagramProtocol):
    def __init__(self, take: object) -> None:
        self._take = take

    def datagram_received(self, data: bytes, address: tuple[str | int, ...]) -> None:
        self._take(data, cast(Address, address))  # type: ignore[operator]
