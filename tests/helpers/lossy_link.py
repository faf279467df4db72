"""A network between one WebRTC client and the server that loses, delays, swaps and doubles datagrams."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Self

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens to a datagram, each way."""

    loss: float = 0.0
    doubled: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    """Seconds more or less than the delay; datagrams overtake each other where it is not 0."""


class LossyLink:
    """Relays between one client and ``server``; ``weather`` may change at any time."""

    def __init__(self, server: Address, seed: int) -> None:
        self.weather = Weather()
        self.lost = self.passed = self.doubled = 0
        self._server = server
        self._chance = random.Random(seed)
        self._client: Address | None = None
        self._near: asyncio.DatagramTransport | None = None
        self._far: asyncio.DatagramTransport | None = None

    @property
    def address(self) -> Address:
        """Where the client finds the server."""
        assert self._near is not None
        host, port = self._near.get_extra_info("sockname")[:2]
        return host, port

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._near, _ = await loop.create_datagram_endpoint(
            lambda: _Side(self._from_client), local_addr=("127.0.0.1", 0)
        )
        self._far, _ = await loop.create_datagram_endpoint(
            lambda: _Side(self._from_server), remote_addr=self._server
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        for transport in (self._near, self._far):
            if transport is not None:
                transport.close()

    def _from_client(self, data: bytes, client: Address) -> None:
        self._client = client
        self._pass(data, self._far, None)

    def _from_server(self, data: bytes, _: Address) -> None:
        if self._client is not None:
            self._pass(data, self._near, self._client)

    def _pass(self, data: bytes, side: asyncio.DatagramTransport | None, to: Address | None) -> None:
        weather, chance = self.weather, self._chance
        if chance.random() < weather.loss:
            self.lost += 1
            return
        self.passed += 1
        is_doubled = chance.random() < weather.doubled
        self.doubled += is_doubled
        for _ in range(1 + is_doubled):
            delay = weather.delay + chance.uniform(-weather.jitter, weather.jitter)
            asyncio.get_running_loop().call_later(max(0.0, delay), self._deliver, data, side, to)

    @staticmethod
    def _deliver(data: bytes, side: asyncio.DatagramTransport | None, to: Address | None) -> None:
        if side is not None and not side.is_closing():
            side.sendto(data, to)


class _Side(asyncio.DatagramProtocol):
    def __init__(self, take: object) -> None:
        self._take = take

    def datagram_received(self, data: bytes, address: tuple[str | int, ...]) -> None:
        self._take(data, address)  # type: ignore[operator]

    def error_received(self, error: Exception) -> None:
        """A refused datagram is a lost one."""
