"""A core, rooms and rules for the doors of WHIP and WHEP, and a server that has both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from sfu.errors import DuplicateStream, TooManyTransports
from sfu.http_door import DoorOptions
from sfu.ports import PublishGrant, Refusal, RefusalReason, ViewGrant
from sfu.protocol.parameters import DtlsParameters, IceParameters, Kind, RtpParameters
from sfu.protocol.sdp import Offer, parse_offer
from sfu.transport import TransportState
from sfu.whep import Whep
from sfu.whip import Whip
from tests.sfu.protocol.sdp_cases import ENDPOINT, ROUTER, sample

if TYPE_CHECKING:
    from sfu.router import Router

ROOM = "0192f0c1-0000-7000-8000-000000000001"
SLUG = "cats"
KEY = "sk_right"
OTHER_KEY = "sk_also_right"
TOKEN = "viewer-token"
SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
BEARER = {"Authorization": f"Bearer {KEY}"}
PUBLISHER = sample("obs_whip")
NEW_ICE = "a=ice-ufrag:newufrag\r\na=ice-pwd:newpassword0123456789abc\r\n"


@dataclass(eq=False)
class FakeProducer:
    id: str
    kind: Kind
    consumable_parameters: RtpParameters
    is_program: bool = True


@dataclass(eq=False)
class FakeTransport:
    """Notes what it is asked for."""

    router: FakeRouter
    listener: Any
    peer: DtlsParameters | None = None
    produced: list[tuple[Kind, RtpParameters, bool]] = field(default_factory=list)
    consumed: list[tuple[str, RtpParameters]] = field(default_factory=list)
    is_closed: bool = False
    restarts: int = 0
    ice_parameters: IceParameters = ENDPOINT.ice
    ice_candidates = ENDPOINT.candidates
    dtls_parameters = ENDPOINT.dtls

    def connect(self, dtls: DtlsParameters) -> None:
        self.peer = dtls

    def restart_ice(self) -> IceParameters:
        self.restarts += 1
        self.ice_parameters = IceParameters(
            username_fragment=f"restarted{self.restarts}", password="r" * 24, ice_lite=True
        )
        return self.ice_parameters

    def produce(
        self,
        kind: Kind,
        rtp_parameters: RtpParameters,
        *,
        paused: bool = False,
        app_data: Mapping[str, object] | None = None,
        is_program: bool = False,
    ) -> None:
        if self.router.refuses_streams:
            raise DuplicateStream("SSRC 1 is in use")
        self.produced.append((kind, rtp_parameters, is_program))

    def consume_negotiated(
        self, producer_id: str, parameters: RtpParameters, *, paused: bool = False
    ) -> None:
        self.consumed.append((producer_id, parameters))

    def become(self, state: TransportState) -> None:
        self.listener.on_transport_state(self, state)

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.listener.on_transport_closed(self)


@dataclass(eq=False)
class FakeRouter:
    room_id: str = ROOM
    rtp_capabilities = ROUTER
    producers: dict[str, FakeProducer] = field(default_factory=dict)
    transports: list[FakeTransport] = field(default_factory=list)
    listeners: list[Any] = field(default_factory=list)
    most_transports: int = 100
    refuses_streams: bool = False

    def create_transport(
        self, listener: Any, *, enable_sctp: bool = False, is_spectator: bool = False
    ) -> FakeTransport:
        if sum(not transport.is_closed for transport in self.transports) >= self.most_transports:
            raise TooManyTransports("the room is full")
        self.transports.append(FakeTransport(self, listener))
        return self.transports[-1]

    def add_listener(self, listener: Any) -> None:
        self.listeners.append(listener)

    def remove_listener(self, listener: Any) -> None:
        self.listeners.remove(listener)

    def offer(self, *producers: FakeProducer) -> None:
        for producer in producers:
            self.producers[producer.id] = producer
            for listener in list(self.listeners):
                listener.on_producer(producer)

    @property
    def last(self) -> FakeTransport:
        return self.transports[-1]


@dataclass
class World:
    """Implements PublishAccess, ViewAccess and Rooms of `sfu.ports`."""

    core: FakeRouter = field(default_factory=FakeRouter)
    kinds: Sequence[Kind] | None = None
    not_playable: str | None = None
    low_latency: bool = True
    watches_program: list[bool] = field(default_factory=list)
    participants: dict[str, list[str]] = field(default_factory=dict)
    refusal: Refusal | None = None
    publisher_id: UUID | None = None
    reviewed: list[PublishGrant] = field(default_factory=list)
    needs_token: bool = False
    max_viewers: int | None = None
    is_full: bool = False
    viewers: int = 0
    asked: list[tuple[str, str | None, str]] = field(default_factory=list)
    watching: list[Callable[[], None]] = field(default_factory=list)
    goodbyes: list[str] = field(default_factory=list)
    routers_held: int = 0
    address: str = "192.0.2.7"

    async def authorize_publish(self, room: str, bearer: str | None, address: str) -> PublishGrant | Refusal:
        self.asked.append((room, bearer, address))
        if bearer not in (KEY, OTHER_KEY):
            return Refusal(RefusalReason.NEEDS_TOKEN, "no_such_key", "no such stream key")
        return self._refused(room) or PublishGrant(ROOM, self.publisher_id)

    async def may_still_publish(self, grant: PublishGrant) -> bool:
        self.reviewed.append(grant)
        return self.refusal is None

    async def authorize_view(self, room: str, token: str | None, address: str) -> ViewGrant | Refusal:
        self.asked.append((room, token, address))
        if self.needs_token and token != TOKEN:
            return Refusal(RefusalReason.NEEDS_TOKEN, "token_required", "the room is not open to everyone")
        return self._refused(room) or ViewGrant(
            ROOM, max_viewers=self.max_viewers, low_latency=self.low_latency
        )

    def _refused(self, room: str) -> Refusal | None:
        if room not in (ROOM, SLUG):
            return Refusal(RefusalReason.NO_SUCH_ROOM, "no_such_room", "no such room")
        return self.refusal

    def joined(self, grant: ViewGrant, leave: Callable[[], None], *, is_program: bool) -> Callable[[], None]:
        self.watching.append(leave)
        self.watches_program.append(is_program)
        return lambda: self.watching.remove(leave)

    def connected(self, grant: ViewGrant) -> Callable[[], None] | None:
        if self.is_full:
            return None
        self.viewers += 1
        return self._left

    def _left(self) -> None:
        self.viewers -= 1

    async def router(self, room_id: str) -> Router:
        self.routers_held += 1
        return cast("Router", self.core)

    def release(self, room_id: str) -> None:
        self.routers_held -= 1

    def program_kinds(self, room_id: str) -> Sequence[Kind] | None:
        return self.kinds

    def program_refusal(self, room_id: str) -> str | None:
        return self.not_playable

    def participant_producers(self, room_id: str, participant_id: str) -> list[str] | None:
        return self.participants.get(participant_id)

    def client_address(self, request: web.Request) -> str:
        return self.address


@dataclass
class Doors:
    client: TestClient[web.Request, web.Application]
    whip: Whip
    whep: Whep

    async def publish(
        self, offer: str, room: str = ROOM, key: str | None = KEY, **headers: str
    ) -> ClientResponse:
        given = {**SDP, **headers}
        if key is not None:
            given["Authorization"] = f"Bearer {key}"
        return await self.client.post(f"/whip/{room}", data=offer, headers=given)

    async def watch(self, offer: str, path: str = ROOM, **headers: str) -> ClientResponse:
        return await self.client.post(f"/whep/{path}", data=offer, headers={**SDP, **headers})


def options(**changes: Any) -> DoorOptions:
    return DoorOptions(**{"posts_per_second": 1_000.0, "post_burst": 1_000.0, **changes})


@asynccontextmanager
async def doors(world: World, limits: DoorOptions | None = None) -> AsyncIterator[Doors]:
    """Serve both protocols; everything is given back at the end."""
    whip = Whip(world, world, world.client_address, limits or options(), world.goodbyes.append)
    whep = Whep(world, world, world.client_address, limits or options(), whip.is_starting)
    app = web.Application()
    app.add_routes([*whip.routes(), *whep.routes()])
    async with TestClient(TestServer(app, host="127.0.0.1")) as client:
        try:
            yield Doors(client, whip, whep)
        finally:
            whip.close()
            whep.close()
    assert (len(whip.sessions), len(whep.sessions), world.routers_held, world.watching) == (0, 0, 0, [])
    assert world.viewers == 0


async def problem(response: ClientResponse, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is a problem which any page can read, and return it."""
    assert response.status == status, await response.text()
    assert response.content_type == "application/problem+json"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    body: dict[str, Any] = await response.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["title"] and body["detail"]
    return body


def answered(text: str) -> Offer:
    """Read an answer as if it were an offer: the lines are the same."""
    return parse_offer(text)


async def opened(served: Doors, offer: str = PUBLISHER) -> tuple[str, str]:
    """Publish; return the address and the entity tag of the session."""
    response = await served.publish(offer)
    assert response.status == 201, await response.text()
    return response.headers["Location"], response.headers["ETag"]


async def connected(served: Doors, world: World) -> str:
    """Publish and let the peer come; return the address of the session."""
    location, _ = await opened(served)
    world.core.last.become(TransportState.CONNECTED)
    return location
