"""Publishers and players of WHIP and WHEP made of aiortc, over loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from aiohttp import ClientResponse
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import AudioStreamTrack
from av import VideoFrame

from sfu.http_door import DoorOptions
from sfu.protocol.parameters import Kind
from sfu.router import Router
from sfu.webrtc_server import WebRtcServer
from tests.helpers.waiting import eventually
from tests.sfu.http_world import Doors, World, doors

FRAMES_PER_SECOND = 30
WIDTH, HEIGHT = 160, 120


class Picture(MediaStreamTrack):
    """A grey that changes with every frame."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._start = asyncio.get_running_loop().time()

    async def recv(self) -> VideoFrame:
        """Return the next frame when it is due."""
        self._count += 1
        due = self._start + self._count / FRAMES_PER_SECOND
        await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
        frame = VideoFrame(WIDTH, HEIGHT, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([self._count % 256]) * plane.buffer_size)
        frame.pts, frame.time_base = self._count * 90_000 // FRAMES_PER_SECOND, Fraction(1, 90_000)
        return frame


@dataclass
class LiveWorld(World):
    """A world whose one room has a router of the real core."""

    server: WebRtcServer = field(default_factory=WebRtcServer)
    room: Router | None = None

    async def router(self, room_id: str) -> Router:
        self.routers_held += 1
        if self.room is None:
            self.room = self.server.create_router(room_id)
        return self.room


@asynccontextmanager
async def live_doors(
    limits: DoorOptions | None = None, hosts: Sequence[str] = ("127.0.0.1",)
) -> AsyncIterator[tuple[LiveWorld, Doors]]:
    """Serve both protocols in front of the real core, which listens on `hosts`."""
    world = LiveWorld()
    await world.server.start(hosts, 0)
    try:
        async with doors(world, limits) as served:
            yield world, served
        totals = world.server.statistics()
        assert (totals.transports, totals.producers, totals.consumers) == (0, 0, 0)
    finally:
        await world.server.close()


def connection() -> RTCPeerConnection:
    """Return a peer that needs no STUN server."""
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


@asynccontextmanager
async def publisher(served: Doors, *codecs: str) -> AsyncIterator[tuple[RTCPeerConnection, ClientResponse]]:
    """Publish sound and picture until the end of the context; `codecs` are all that is offered of video."""
    peer = connection()
    peer.addTrack(AudioStreamTrack())
    peer.addTrack(Picture())
    _offer_only(peer, codecs)
    try:
        response = await _exchange(peer, served, "whip")
        await eventually(lambda: peer.connectionState == "connected")
        yield peer, response
    finally:
        await peer.close()


@dataclass
class Player:
    """What a player got, by kind."""

    peer: RTCPeerConnection
    frames: dict[str, list[Any]] = field(default_factory=lambda: {"audio": [], "video": []})
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def plays(self, kind: str, frames: int = 1) -> bool:
        """Return whether so many frames were decoded."""
        return len(self.frames[kind]) >= frames

    async def read(self, track: MediaStreamTrack) -> None:
        """Decode until the end."""
        while True:
            self.frames[track.kind].append(await track.recv())


@asynccontextmanager
async def player(
    served: Doors, kinds: tuple[Kind, ...] = ("audio", "video"), codecs: tuple[str, ...] = ()
) -> AsyncIterator[tuple[Player, ClientResponse]]:
    """Watch until the end of the context; `codecs` are all that is offered of video."""
    peer = connection()
    for kind in kinds:
        peer.addTransceiver(kind, direction="recvonly")
    _offer_only(peer, codecs)
    playing = Player(peer)

    @peer.on("track")
    def start(track: MediaStreamTrack) -> None:
        playing.tasks.append(asyncio.create_task(playing.read(track)))

    try:
        yield playing, await _exchange(peer, served, "whep")
    finally:
        for task in playing.tasks:
            task.cancel()
        await asyncio.gather(*playing.tasks, return_exceptions=True)
        await peer.close()


def _offer_only(peer: RTCPeerConnection, names: tuple[str, ...]) -> None:
    known = RTCRtpSender.getCapabilities("video").codecs
    for transceiver in peer.getTransceivers():
        if transceiver.kind == "video" and names:
            transceiver.setCodecPreferences([codec for codec in known if codec.name in names])


async def _exchange(peer: RTCPeerConnection, served: Doors, protocol: str) -> ClientResponse:
    await peer.setLocalDescription(await peer.createOffer())
    text = peer.localDescription.sdp
    response = await (served.publish(text) if protocol == "whip" else served.watch(text))
    if response.status == 201:
        await peer.setRemoteDescription(RTCSessionDescription(await response.text(), "answer"))
    return response
