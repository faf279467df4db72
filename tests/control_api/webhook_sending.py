"""A receiver of webhooks that may fail, hang or redirect, and a sender whose clock stands still."""

import asyncio
import hashlib
import hmac
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from control_api.outbound import Outbound, OutboundOptions
from control_api.principal import Principal
from control_api.services.webhook_sender import (
    LEASE,
    SenderOptions,
    WebhookSender,
)
from control_api.services.webhooks import IssuedEndpoint, Webhooks
from storage.database import Database
from storage.repositories import Role, User, Users
from storage.repositories.webhook_deliveries import WebhookDeliveries, WebhookDelivery
from storage.repositories.webhooks import (
    EndpointSettings,
    WebhookEndpoint,
)


@dataclass
class Received:
    body: bytes
    headers: dict[str, str]

    @property
    def event(self) -> Any:
        return json.loads(self.body)

    def is_signed_with(self, secret: str) -> bool:
        """As a receiver verifies it: standardwebhooks.com, "Verifying webhook authenticity"."""
        key = b64decode(secret.removeprefix("whsec_"))
        message = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        expected = hmac.new(key, message, hashlib.sha256).digest()
        given = [b64decode(part.removeprefix("v1,")) for part in self.headers["webhook-signature"].split(" ")]
        return any(hmac.compare_digest(expected, signature) for signature in given)


@dataclass
class Receiver:
    """Answers as ``answer`` does; remembers all that came, and how many were in work at a time."""

    url: str = ""
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    received: list[Received] = field(default_factory=list)
    in_work: int = 0
    most_in_work: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(await request.read(), headers))
        self.in_work += 1
        self.most_in_work = max(self.most_in_work, self.in_work)
        try:
            return await self.answer(request) if self.answer is not None else web.Response(status=204)
        finally:
            self.in_work -= 1

    def answers(self, status: int, **options: Any) -> None:
        async def answer(_request: web.Request) -> web.Response:
            return web.Response(status=status, **options)

        self.answer = answer


@dataclass
class Clock:
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now


@dataclass
class World:
    database: Database
    outbound: Outbound
    webhooks: Webhooks
    receiver: Receiver
    clock: Clock
    alice: User
    bob: User
    root: User
    told: list[WebhookEndpoint] = field(default_factory=list)
    jitter: float = 0.0

    def sender(self) -> WebhookSender:
        async def on_disabled(endpoint: WebhookEndpoint) -> None:
            self.told.append(endpoint)

        options = SenderOptions(
            poll_seconds=0.01,
            now=self.clock,
            uniform=lambda _low, _high: self.jitter,
            on_disabled=on_disabled,
        )
        return WebhookSender(self.database, self.outbound, options)

    async def endpoint(self, owner: User | None = None, **fields: Any) -> IssuedEndpoint:
        owner = owner or self.alice
        settings = EndpointSettings(
            fields.get("url", self.receiver.url),
            fields.get("events", ["follow", "room.ended", "room.started"]),
            "",
            True,
        )
        principal = Principal(owner.id, owner.role)
        return await self.webhooks.create(
            principal, owner.id, fields.get("is_server_wide", False), settings, "192.0.2.1"
        )

    async def happen(self, owner: User | None = None) -> None:
        await self.webhooks.enqueue("room.started", (owner or self.alice).id, {"n": 1})

    async def deliveries(self, issued: IssuedEndpoint) -> list[WebhookDelivery]:
        return await WebhookDeliveries(self.database).list_of(issued.endpoint.id, None, 1000)

    async def settled(self, issued: IssuedEndpoint, attempts: int = 1) -> WebhookDelivery:
        """The newest delivery, when so many attempts of it were noted."""
        found: list[WebhookDelivery] = []

        async def look() -> None:
            while not found or found[0].attempts < attempts or found[0].next_attempt_at == self.lease_end():
                found[:] = await self.deliveries(issued)
                await asyncio.sleep(0.005)

        async with asyncio.timeout(10):
            await look()
        return found[0]

    def lease_end(self) -> datetime:
        return self.clock.now + LEASE


@asynccontextmanager
async def make_world(database: Database) -> AsyncIterator[World]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver.handle)
    users = Users(database)
    async with (
        TestServer(app, host="127.0.0.1") as server,
        Outbound(OutboundOptions(is_private_allowed=True, total_seconds=2)) as outbound,
    ):
        receiver.url = str(server.make_url("/hook"))
        yield World(
            database,
            outbound,
            Webhooks(database, outbound),
            receiver,
            Clock(),
            await users.add("alice", "alice@example.com", "hash"),
            await users.add("bob", "bob@example.com", "hash"),
            await users.add("root", "root@example.com", "hash", Role.ADMIN),
        )


@asynccontextmanager
async def at_work(world: World) -> AsyncIterator[World]:
    """The world with its sender running."""
    task = asyncio.create_task(world.sender().run())
    try:
        yield world
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
