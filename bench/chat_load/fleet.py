"""All clients of a run: brought in at a bounded rate, made to write at a fixed one, and held to account."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from typing import Final
from uuid import UUID

from bench.chat_load.client import ChatClient, Tally
from bench.chat_load.frames import ChunkReader, message_frame, message_text, shown_frame
from bench.errors import BenchError
from bench.targets import Target

JOIN_SECONDS: Final = 30.0
CONNECTING: Final = 32
"""Clients that connect at once: the server's handshake is not what is measured."""
SEND_SECONDS: Final = 0.005
ADDRESSES: Final = int(IPv4Address("127.1.0.1"))
DRAIN_SECONDS: Final = 10.0
DRAIN_POLL_SECONDS: Final = 0.1
SHOW_EVERY: Final = 100


@dataclass(frozen=True, slots=True)
class ChatPlan:
    """The first ``writers`` of the clients write, each with a token of its own; the others only read.

    ``is_echo``: the server only repeats what it is sent, so it is sent what ours would show.
    """

    target: Target
    rooms: Sequence[UUID]
    clients: int
    writers: int
    tokens: Sequence[str]
    rate: float
    message_bytes: int
    sample_every: int
    slow: int = 0
    is_echo: bool = False
    first_address: int = 0
    """Clients before, which have addresses of their own."""


class ChatFleet:
    """``connect``, then ``begin`` and ``finish`` around the interval that is measured, and ``close``."""

    def __init__(self, plan: ChatPlan) -> None:
        self.tally: Final = Tally()
        self.sent = 0
        self.latest = 0.0
        """Seconds by which a message was sent too late, at most."""
        self.unseen = 0
        """Messages that a client had not got long after others had."""
        self._plan = plan
        self._reader = ChunkReader()
        self._clients: list[ChatClient] = []
        self._writers: list[ChatClient] = []
        self._sending: asyncio.Task[None] | None = None
        self._deliveries = 0

    @property
    def size(self) -> int:
        return len(self._clients)

    async def connect(self, show: Callable[[str], object]) -> None:
        """Bring all clients into their rooms. Raises BenchError when one is refused."""
        try:
            async with asyncio.TaskGroup() as group:
                await self._join_all(group, show)
        except BaseExceptionGroup as failures:
            refused = failures.subgroup(BenchError)
            if refused is None:
                raise
            raise refused.exceptions[0] from None

    async def _join_all(self, group: asyncio.TaskGroup, show: Callable[[str], object]) -> None:
        slots = asyncio.Semaphore(CONNECTING)
        for number in range(self._plan.clients):
            await slots.acquire()
            if number % SHOW_EVERY == 0:
                show(f"{number} of {self._plan.clients}")
            task = group.create_task(self._join(number))
            task.add_done_callback(lambda _: slots.release())

    async def _join(self, number: int) -> None:
        client = self._make(number)
        local = _source(self._plan.target, self._plan.first_address + number)
        try:
            async with asyncio.timeout(JOIN_SECONDS):
                await asyncio.get_running_loop().create_connection(
                    lambda: client, self._plan.target.address, self._plan.target.port, local_addr=local
                )
                if client.joined is not None:
                    await client.joined
        except (OSError, TimeoutError) as error:
            raise BenchError(f"client {number}: cannot connect: {error or type(error).__name__}") from None

    def _make(self, number: int) -> ChatClient:
        plan = self._plan
        token = plan.tokens[number] if number < len(plan.tokens) else None
        is_slow = number >= plan.clients - plan.slow
        room = plan.rooms[number % len(plan.rooms)]
        is_sampled = not is_slow and number % plan.sample_every == 0
        client = ChatClient(plan.target, room, number, token, self._reader, self.tally, is_sampled)
        client.is_slow = is_slow
        self._clients.append(client)
        if number < plan.writers:
            self._writers.append(client)
        return client

    # Writing

    def start_writing(self) -> None:
        if self._plan.rate and self._writers:
            self._sending = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """At a fixed rate, whatever the server does; the writers take turns."""
        started, number = time.monotonic(), 0
        while True:
            behind = time.monotonic() - started - number / self._plan.rate
            self.latest = max(self.latest, behind)
            while behind >= 0:
                self._say(self._writers[number % len(self._writers)], number)
                number += 1
                behind -= 1 / self._plan.rate
            await asyncio.sleep(SEND_SECONDS)

    def _say(self, client: ChatClient, number: int) -> None:
        text = message_text(time.monotonic_ns(), client.number, number, self._plan.message_bytes)
        if self._plan.is_echo:
            client.send(shown_frame(client.room, client.number, text))
        else:
            client.send(message_frame(client.room, text, number))
        self.sent += 1

    # Measuring

    def begin(self) -> None:
        """The interval begins; what is lost or out of order counts all the time."""
        self.tally.latencies.clear()
        self._deliveries = self.tally.deliveries
        self.latest = 0.0

    def end(self) -> int:
        """The interval is over: how many messages were delivered in it."""
        return self.tally.deliveries - self._deliveries

    async def finish(self) -> None:
        """Write no more, wait for what is on its way, and see who lacks what."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        await _until(lambda: not self._missing() and self.unanswered <= 0, DRAIN_SECONDS)
        self.unseen = self._missing()

    def _missing(self) -> int:
        """Messages that some have and others have not; of clients that are still there."""
        highest: dict[UUID, int] = {}
        there = [client for client in self._clients if not client.is_closed and not client.is_slow]
        for client in there:
            highest[client.room] = max(client.offset, highest.get(client.room, 0))
        return sum(highest[client.room] - client.offset for client in there)

    @property
    def unanswered(self) -> int:
        """Messages that were neither acknowledged nor refused."""
        if self._plan.is_echo:
            return 0
        return self.sent - self.tally.acknowledged - self.tally.refused.total()

    async def slow_closed(self, code: int, seconds: float) -> int:
        """How many of the slow ones find that they were closed with ``code``, or cut off."""
        slow = [client for client in self._clients if client.is_slow]
        for client in slow:
            client.resume()
        await _until(lambda: all(client.is_closed for client in slow), seconds)
        return sum(client.is_closed and client.close_code in (code, None) for client in slow)

    def close(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
        for client in self._clients:
            client.abort()


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for _ in range(int(seconds / DRAIN_POLL_SECONDS)):
        if condition() or time.monotonic() > deadline:
            return
        await asyncio.sleep(DRAIN_POLL_SECONDS)


def _source(target: Target, number: int) -> tuple[str, int] | None:
    """An address of its own for each client: ports are bounded by address, and so is what one may ask for."""
    address = ip_address(target.address)
    if address.version == 4 and address.is_loopback:
        return str(IPv4Address(ADDRESSES + number)), 0
    return None
