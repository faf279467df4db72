"""A small noun behind the real dispatcher, for what every route has in common."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID

import msgspec
from aiohttp import hdrs, web
from msgspec import Meta

from control_api.app import ControlApi
from control_api.dispatch import Dispatcher, DispatchOptions
from control_api.errors import conflict, too_many, unauthorized
from control_api.idempotency import Idempotency
from control_api.images import read_picture
from control_api.pagination import Page, decode_cursor, encode_cursor
from control_api.principal import ANONYMOUS, Access, Principal
from control_api.routing import BodyLimits, Call, Cookie, Limit, Reply, Route
from control_api.schemas import Body, Data, PageQuery
from storage.database import Database
from storage.errors import DatabaseUnavailable


class MakeThing(Body):
    title: Annotated[str, Meta(min_length=1, max_length=10)]
    tag_names: list[Annotated[str, Meta(max_length=5)]] = msgspec.field(default_factory=list)


class Thing(Data):
    title: str
    tag_names: list[str]


class ThingRoutes:
    """``failure`` is raised by the next handler."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.made = 0

    def routes(self) -> Sequence[Route]:
        make = {"body": MakeThing, "response": Thing, "status": 201}
        return [
            Route("GET", "/things", self.list_all, "List things", query=PageQuery, response=list[Thing]),
            Route("POST", "/things", self.make, "Make one", Access.USER, scope="things:write", **make),
            Route(
                "POST", "/paid-things", self.pay, "Buy one", Access.USER, **make, needs_idempotency_key=True
            ),
            Route("GET", "/things/first", self.first, "The first", response=Thing),
            Route("GET", "/things/{id}", self.one, "One", response=Thing, errors=[(404, "thing_not_found")]),
            Route(
                "PUT",
                "/things/{id}",
                self.replace,
                "Replace",
                Access.ADMIN,
                body=MakeThing,
                response=Thing,
                takes_if_match=True,
                gives_etag=True,
            ),
            Route("DELETE", "/things/{id}", self.remove, "Remove", Access.ADMIN, response=Thing),
            Route("PUT", "/picture", self.picture, "Picture", upload_types=("image/png",)),
            Route(
                "PUT",
                "/small-picture",
                self.measured,
                "Small picture",
                scope="things:write",
                response=Thing,
                upload_types=("image/png",),
                max_upload_bytes=100,
            ),
        ]

    async def list_all(self, call: Call[None, PageQuery]) -> Page[Thing]:
        first = decode_cursor(call.query.cursor, int)[0] if call.query.cursor else 0
        things = [Thing(title=str(n), tag_names=[]) for n in range(first, first + call.query.limit)]
        return Page(things, encode_cursor(first + call.query.limit))

    async def make(self, call: Call[MakeThing, None]) -> Reply:
        if self.failure is not None:
            raise self.failure
        self.made += 1
        thing = Thing(title=call.body.title, tag_names=call.body.tag_names)
        return Reply(thing, version=7, cookies=[Cookie("crumb", "x", 60)])

    async def pay(self, call: Call[MakeThing, None]) -> Thing:
        if self.failure is not None:
            raise self.failure
        self.made += 1
        return Thing(title=f"{call.body.title} {self.made}", tag_names=[])

    async def first(self, _call: Call[None, None]) -> Thing:
        return Thing(title="first", tag_names=[])

    async def one(self, call: Call[None, None]) -> Thing:
        return Thing(title=str(call.path_id("id", "thing")), tag_names=[])

    async def replace(self, call: Call[MakeThing, None]) -> Reply:
        return Reply(Thing(title=str(call.if_match), tag_names=[]), version=8)

    async def remove(self, call: Call[None, None]) -> Thing:
        return Thing(title=str(call.if_match), tag_names=[])

    async def measured(self, call: Call[None, None]) -> Thing:
        picture = await read_picture(call.request, call.max_bytes)
        return Thing(title=f"{len(picture)} of {call.max_bytes}", tag_names=[])

    async def picture(self, call: Call[None, None]) -> Reply:
        return Reply(raw=await call.request.read(), content_type="image/png")


@dataclass
class Doorman:
    """Authenticator and rate limiter in one: bearer tokens are names of principals."""

    principals: dict[str, Principal] = field(default_factory=dict)
    left: int = 1000
    counted: list[tuple[Limit, Principal, str]] = field(default_factory=list)

    async def principal(self, request: web.Request, address: str) -> Principal:
        token = request.headers.get(hdrs.AUTHORIZATION, "").removeprefix("Bearer ")
        if not token:
            return ANONYMOUS
        if token not in self.principals:
            raise unauthorized("invalid_token", "This token is not valid.")
        return self.principals[token]

    async def check(self, limit: Limit, principal: Principal, address: str) -> dict[str, str]:
        self.counted.append((limit, principal, address))
        self.left -= 1
        if self.left < 0:
            raise too_many(3)
        return {"RateLimit-Remaining": str(self.left)}


@dataclass
class Sample:
    client: Any
    things: ThingRoutes
    doorman: Doorman

    async def call(
        self, method: str, path: str, user: str | None = None, **options: Any
    ) -> tuple[int, Any, Any]:
        """(status, decoded body, headers)."""
        headers = dict(options.pop("headers", {}))
        if user:
            headers[hdrs.AUTHORIZATION] = f"Bearer {user}"
        response = await self.client.request(method, f"/api/v1{path}", headers=headers, **options)
        body = await response.json(content_type=None) if response.content_length else None
        return response.status, body, response.headers


def sample_app(
    database: Database, things: ThingRoutes, doorman: Doorman, limits: BodyLimits | None = None
) -> web.Application:
    limits = limits or BodyLimits(1000)
    options = DispatchOptions(
        lambda request: request.remote or "", lambda _: "the-request-id", body_limits=limits
    )
    dispatcher = Dispatcher(doorman, doorman, Idempotency(database), options)
    app = web.Application(client_max_size=limits.body_bytes)
    api = ControlApi([things], dispatcher, "1.2.3", "http://localhost", ["https://friend.example"])
    api.add_to(app)
    return app


def failures() -> list[tuple[Exception, int, str]]:
    return [
        (conflict("thing_taken", "Taken.", "title"), 409, "thing_taken"),
        (DatabaseUnavailable("gone"), 503, "unavailable"),
        (TimeoutError(), 503, "unavailable"),
        (RuntimeError("secret"), 500, "internal_error"),
    ]


def person(user_id: UUID, role: Any) -> Principal:
    return Principal(user_id, role)
