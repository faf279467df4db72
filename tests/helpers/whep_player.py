"""A WHEP player made of aiortc, for any server: decodes what it gets and counts it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urljoin

import aiohttp
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from tests.helpers.waiting import eventually


class WhepPlayer:
    """Get it from ``playing``; ``frames`` are PyAV's, by kind."""

    def __init__(self) -> None:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.frames: dict[str, list[Any]] = {"audio": [], "video": []}
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    @asynccontextmanager
    async def playing(cls, url: str) -> AsyncIterator["WhepPlayer"]:
        """Play ``url`` until the end of the block; says goodbye."""
        player = cls()
        async with aiohttp.ClientSession() as http:
            session = await player._open(http, url)
            try:
                yield player
            finally:
                await player._close()
                with suppress(aiohttp.ClientConnectionError):  # where the server has stopped
                    async with http.delete(session) as response:
                        assert response.status in (200, 404)

    async def more(self, frames: int, seconds: float = 20.0) -> None:
        """Until so many more of both kinds were decoded."""
        wanted = {kind: len(got) + frames for kind, got in self.frames.items()}
        await eventually(lambda: all(len(self.frames[kind]) >= wanted[kind] for kind in wanted), seconds)

    async def packets_lost(self) -> int:
        """Of all streams."""
        figures = (await self.peer.getStats()).values()
        return sum(entry.packetsLost for entry in figures if entry.type == "inbound-rtp")

    async def _open(self, http: aiohttp.ClientSession, url: str) -> str:
        self.peer.on("track", self._start)
        for kind in self.frames:
            self.peer.addTransceiver(kind, direction="recvonly")
        await self.peer.setLocalDescription(await self.peer.createOffer())
        headers = {"Content-Type": "application/sdp"}
        async with http.post(url, data=self.peer.localDescription.sdp, headers=headers) as response:
            text = await response.text()
            assert response.status == 201, text
            await self.peer.setRemoteDescription(RTCSessionDescription(text, "answer"))
            return urljoin(url, response.headers["Location"])

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.peer.close()

    def _start(self, track: MediaStreamTrack) -> None:
        self._tasks.append(asyncio.create_task(self._read(track)))

    async def _read(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                self.frames[track.kind].append(await track.recv())
        except MediaStreamError:
            return
