"""The routers of rooms: made for whoever needs one first, ended when nobody does."""

import asyncio
from collections.abc import Collection
from typing import Final

from mediaserver.gateways.webrtc_ingest import WebRtcIngest
from mediaserver.gateways.webrtc_play import WebRtcPlay
from sfu.errors import TooManyTransports
from sfu.protocol.parameters import Kind
from sfu.room import RoomOptions
from sfu.room_directory import RoomDirectory
from sfu.room_ports import Audience
from sfu.router import Router
from sfu.webrtc_server import WebRtcServer

SWEEP_SECONDS: Final = 5.0
MAX_ROUTERS: Final = 2_000
"""Rooms with WebRTC at once; one without sessions goes within seconds."""


class WebRtcRooms:
    """Implements sfu.ports.Rooms and sfu.room_ports.RouterSource. ``run`` is its task."""

    def __init__(
        self,
        server: WebRtcServer,
        ingest: WebRtcIngest,
        play: WebRtcPlay,
        options: RoomOptions | None = None,
        audience: Audience | None = None,
    ) -> None:
        self.directory = RoomDirectory(self, options, audience=audience)
        """The rooms of ``/rtc``."""
        self._server = server
        self._ingest = ingest
        self._play = play
        self._routers: dict[str, Router] = {}
        self._users: dict[str, int] = {}
        self._was_unused: set[str] = set()

    # Ports

    async def router(self, room_id: str) -> Router:
        router = self._routers.get(room_id) or self._make(room_id)
        self._users[room_id] = self._users.get(room_id, 0) + 1
        self._was_unused.discard(room_id)
        return router

    def release(self, room_id: str) -> None:
        self._users[room_id] -= 1
        if not self._users[room_id]:
            del self._users[room_id]

    def program_kinds(self, room_id: str) -> Collection[Kind] | None:
        return self._play.program_kinds(room_id)

    def program_refusal(self, room_id: str) -> str | None:
        return self._play.refusal(room_id)

    def participant_producers(self, room_id: str, participant_id: str) -> Collection[str] | None:
        room = self.directory.rooms.get(room_id)
        participant = room.participants.get(participant_id) if room is not None else None
        return [each.id for each in participant.media.producers] if participant is not None else None

    # Tasks

    async def run(self) -> None:
        """End the routers that nobody needs, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep()

    def sweep(self) -> None:
        """End those that were unused the last time and are still."""
        unused = self._routers.keys() - self._users.keys()
        for room_id in unused & self._was_unused:
            self.end(room_id)
        self._was_unused = unused & self._routers.keys()

    def end(self, room_id: str) -> None:
        """Close a room's router and everything in it."""
        router = self._routers.pop(room_id, None)
        if router is not None:
            self._play.forget(room_id)
            self._ingest.forget(room_id)
            router.close()

    def _make(self, room_id: str) -> Router:
        if len(self._routers) >= MAX_ROUTERS:
            raise TooManyTransports("the server has no place for another room")
        router = self._routers[room_id] = self._server.create_router(room_id)
        self._ingest.watch(router)
        self._play.watch(router)
        return router
