"""A WHEP viewer that asks for what it misses, as browsers do, over a path of the test's choice."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from functools import partial
from typing import Final

from bench.webrtc_load.connection import Media, PeerConnection
from bench.webrtc_load.datagrams import DatagramReader
from bench.webrtc_load.descriptions import H264, Answer
from bench.webrtc_load.endpoints import Endpoints
from bench.webrtc_load.subscriber import Subscriber
from sfu.dtls import DtlsCertificate
from sfu.protocol import rtcp, rtp
from sfu.protocol.nack import Arrival, NackGenerator
from sfu.srtp import SrtpError

TURN_SECONDS: Final = 0.01
TURNS_PER_REPORT: Final = 50
TURNS_PER_CONSENT: Final = 300
_NUMBER = struct.Struct("!H")

Route = Callable[[Answer], Awaitable[Answer]]
Inside = Callable[[], AbstractContextManager[None]]


async def straight(answer: Answer) -> Answer:
    """Go where the server says."""
    return answer


class RepairingViewer(Subscriber):
    """``video`` counts what was asked for, came after all, or was given up."""

    def __init__(self, *, is_silent: bool = False) -> None:
        """``is_silent``: it asks for nothing, reports nothing, and only says that it is still there."""
        super().__init__(has_clock=False)
        self.is_silent = is_silent
        self.video = NackGenerator()
        self.originals = 0
        self.repaired = 0
        self._ssrc_of_video = 0

    def on_rtp(self, packet: memoryview, at: int) -> None:
        super().on_rtp(packet, at)
        if self.connection is None or self.connection.srtp is None:
            return
        with suppress(SrtpError):
            self._take(self.connection.srtp.unprotect(bytes(packet)))

    def _take(self, plain: bytes) -> None:
        header = rtp.parse(plain)
        now = time.monotonic()
        if header.payload_type == H264:
            self._ssrc_of_video = header.ssrc
            self.originals += 1
            self.video.receive(header.sequence_number, now)
        elif header.payload_type in self.repairing and len(plain) - header.padding > header.payload_offset:
            number = _NUMBER.unpack_from(plain, header.payload_offset)[0]
            self.repaired += self.video.receive(number, now) is Arrival.REPAIRED

    def ask(self) -> None:
        """Ask for what is missing."""
        lost = self.video.due(time.monotonic())
        if lost and self.connection is not None:
            self.connection.send_rtcp(rtcp.Nack(self._ssrc, self._ssrc_of_video, tuple(lost)).serialize())

    def _report(self, turn: int) -> None:
        self.ask()
        self.send_feedback()
        if turn % TURNS_PER_REPORT == 0:
            self.send_report()

    @classmethod
    @asynccontextmanager
    async def watching(
        cls, url: str, route: Route = straight, inside: Inside = nullcontext, *, is_silent: bool = False
    ) -> AsyncIterator[RepairingViewer]:
        """Watch ``url`` while the block runs; datagrams go by ``route``, from a socket made ``inside``."""
        endpoints = Endpoints(has_feedback=True, make=partial(_Connection, route, inside))
        viewer = cls(is_silent=is_silent)
        try:
            connection, answer = await endpoints.open(url, None, viewer)
            viewer.transport_id, viewer.repairing = answer.transport_id, answer.repairing
            viewer.connection = connection
            turning = asyncio.create_task(viewer._turn(connection))
            try:
                yield viewer
            finally:
                turning.cancel()
                await asyncio.gather(turning, return_exceptions=True)
        finally:
            await endpoints.close()

    async def _turn(self, connection: PeerConnection) -> None:
        turn = 0
        while True:
            await asyncio.sleep(TURN_SECONDS)
            turn += 1
            if not self.is_silent:
                self._report(turn)
            if turn % TURNS_PER_CONSENT == 0:
                connection.consent()


class _Connection(PeerConnection):
    """Goes by a route, from a socket that is made inside of something."""

    def __init__(
        self, route: Route, inside: Inside, certificate: DtlsCertificate, reader: DatagramReader, media: Media
    ) -> None:
        super().__init__(certificate, reader, media)
        self._route = route
        self._inside = inside

    async def connect(self, answer: Answer) -> None:
        await super().connect(await self._route(answer))

    def _open(self, answer: Answer) -> None:
        with self._inside():
            super()._open(answer)
