"""`GET /rtc` on a real port, with clients of aiohttp's."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import msgpack
import msgspec
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web
from aiohttp.test_utils import TestServer

from sfu.protocol.parameters import IceCandidate, RtpParameters
from sfu.room import RoomOptions
from sfu.room_directory import RoomDirectory
from sfu.room_ports import RoomAccess, RouterSource
from sfu.router import Router
from sfu.signalling import RtcSignalling, SignallingOptions
from sfu.signalling_protocol import Encoding
from sfu.webrtc_server import WebRtcServer
from tests.sfu.rooms_world import (
    CAPABILITIES,
    ROOM,
    FakeAccess,
    FakeRouters,
    audio_parameters,
    everybody,
)

PATIENCE_SECONDS = 10.0


class RtcClient:
    """Requests are numbered; notifications that come between are kept in `told`."""

    def __init__(self, socket: ClientWebSocketResponse, encoding: Encoding) -> None:
        self.socket = socket
        self.encoding = encoding
        self.told: list[dict[str, Any]] = []
        self.info: dict[str, Any] = {}
        """What `joined` was answered."""
        self._ids = itertools.count(1)

    async def send(self, frame: Any) -> None:
        if self.encoding.is_text:
            await self.socket.send_str(json.dumps(frame))
        else:
            await self.socket.send_bytes(msgpack.packb(frame))

    async def receive(self) -> dict[str, Any]:
        message = await self.socket.receive(PATIENCE_SECONDS)
        assert message.type in (WSMsgType.TEXT, WSMsgType.BINARY), (message, self.socket.close_code)
        if self.encoding.is_text:
            return json.loads(message.data)  # type: ignore[no-any-return]
        return msgpack.unpackb(message.data)  # type: ignore[no-any-return]

    async def response(self, frame: Any) -> dict[str, Any]:
        """What `frame` is answered."""
        await self.send(frame)
        while True:
            answer = await self.receive()
            if "response" in answer:
                return answer
            self.told.append(answer)

    async def request(self, method: str, **data: Any) -> dict[str, Any]:
        """The data of the response; the request must be fulfilled."""
        answer = await self.response(self.frame(method, data))
        assert answer["ok"], answer
        return answer["data"]  # type: ignore[no-any-return]

    async def refused(self, method: str, **data: Any) -> str:
        """The code that a request is refused with."""
        answer = await self.response(self.frame(method, data))
        assert not answer["ok"], answer
        return answer["errorCode"]  # type: ignore[no-any-return]

    def frame(self, method: str, data: dict[str, Any]) -> dict[str, Any]:
        return {"request": True, "id": next(self._ids), "method": method, "data": data}

    async def notification(self, method: str) -> dict[str, Any]:
        """The data of the next notification of `method`; others are dropped."""
        while True:
            frame = self.told.pop(0) if self.told else await self.receive()
            if frame.get("method") == method:
                return frame["data"]  # type: ignore[no-any-return]

    async def join(self, token: str | None = None, **data: Any) -> dict[str, Any]:
        return await self.request("join", room=ROOM, **({"token": token} if token else {}), **data)

    async def closed(self) -> int | None:
        """Read to the end; the code it was closed with."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                message = await self.socket.receive()
                if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                    return self.socket.close_code


class RtcWorld:
    def __init__(
        self,
        options: SignallingOptions | None = None,
        room_options: RoomOptions | None = None,
        routers: RouterSource | None = None,
        access: RoomAccess | None = None,
    ) -> None:
        self.access = access or everybody()
        self.routers = routers or FakeRouters()
        self.directory = RoomDirectory(self.routers, room_options)
        self.signalling = RtcSignalling(self.directory, self.access, options)
        self._stack = contextlib.AsyncExitStack()

    @property
    def fake_access(self) -> FakeAccess:
        assert isinstance(self.access, FakeAccess)
        return self.access

    @property
    def fake_routers(self) -> FakeRouters:
        assert isinstance(self.routers, FakeRouters)
        return self.routers

    async def start(self, application: web.Application | None = None) -> None:
        application = application or web.Application()
        application.router.add_get("/rtc", self.signalling.handle)
        self.server = TestServer(application)
        await self.server.start_server()
        self._stack.push_async_callback(self.server.close)
        self.http = await self._stack.enter_async_context(ClientSession())

    async def connect(self, encoding: Encoding = Encoding.JSON) -> RtcClient:
        socket = await self.http.ws_connect(
            self.server.make_url("/rtc"), protocols=(encoding.value,), max_msg_size=2**20
        )
        return RtcClient(socket, encoding)

    async def close(self) -> None:
        self.signalling.close()
        await self._stack.aclose()


class RealRouters:
    """Implements RouterSource with the real core."""

    def __init__(self, server: WebRtcServer) -> None:
        self._server = server
        self._routers: dict[str, Router] = {}

    @property
    def candidates(self) -> tuple[IceCandidate, ...]:
        """Where the core listens."""
        return self._server.candidates

    async def router(self, room_id: str) -> Router:
        if room_id not in self._routers:
            self._routers[room_id] = self._server.create_router(room_id)
        return self._routers[room_id]

    def release(self, room_id: str) -> None:
        self._routers.pop(room_id).close()


@contextlib.asynccontextmanager
async def real_routers() -> AsyncIterator[RealRouters]:
    """The real core on a port of its own."""
    server = WebRtcServer()
    await server.start(["127.0.0.1"], 0)
    try:
        yield RealRouters(server)
    finally:
        await server.close()


@contextlib.asynccontextmanager
async def rtc_world(application: web.Application | None = None, **parts: Any) -> AsyncIterator[RtcWorld]:
    world = RtcWorld(**parts)
    await world.start(application)
    try:
        yield world
    finally:
        await world.close()


def plain(shape: Any) -> Any:
    """A Struct as JSON has it."""
    return msgspec.json.decode(msgspec.json.encode(shape))


async def joined(world: RtcWorld, token: str | None, encoding: Encoding = Encoding.JSON) -> RtcClient:
    client = await world.connect(encoding)
    client.info = await client.join(token, rtpCapabilities=plain(CAPABILITIES))
    return client


async def produce(client: RtcClient, parameters: RtpParameters | None = None, **data: Any) -> str:
    transport = await client.request("createWebRtcTransport")
    parameters = parameters or audio_parameters()
    created = await client.request(
        "produce",
        transportId=transport["id"],
        kind=parameters.codecs[0].kind,
        rtpParameters=plain(parameters),
        **data,
    )
    return created["id"]  # type: ignore[no-any-return]
