"""One connection's requests, from a frame to its response. No sockets: `Session.answer` is bytes to bytes."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from sfu import signalling_bodies as bodies
from sfu.errors import SfuError
from sfu.participant import Link, Participant
from sfu.protocol.errors import ProtocolError
from sfu.protocol.ortc import UnsupportedParameters
from sfu.room import Room
from sfu.room_directory import RoomDirectory
from sfu.room_errors import Refusal
from sfu.room_messages import Fault
from sfu.room_ports import Grants, RoomAccess
from sfu.signalling_protocol import BadFrame, Encoding, Request, done, read_request, refused
from sfu.signalling_visit import METHODS, Visit

log = structlog.get_logger("mediaserver.sfu")

AUTHORIZE_SECONDS: Final = 10.0
COSTLY_PER_SECOND: Final = 5.0
COSTLY_BURST: Final = 100.0
MAX_DOUBTS: Final = 100
"""Of changes while somebody is being let in; more are taken for one that concerns everybody."""


class Session:
    """Who is connected, and as which participant of which room."""

    def __init__(
        self, directory: RoomDirectory, access: RoomAccess, principal: object, encoding: Encoding
    ) -> None:
        self._directory = directory
        self._access = access
        self._principal = principal
        self._encoding = encoding
        self._joined: tuple[Room, Participant] | None = None
        self._doubts: set[tuple[str | None, str | None]] | None = None
        """Rooms and identities that changed while it is asked what this one may do; else None."""
        self._allowance = COSTLY_BURST
        self._allowance_at = directory.now()

    def visit(self, link: Link) -> Visit | None:
        """Return where the connection is; None before it joined and after it was taken out or replaced."""
        if self._joined is None:
            return None
        room, participant = self._joined
        if participant.link is not link or participant.id not in room.participants:
            self._joined = None
            return None
        return Visit(room, participant, self._directory.now())

    async def answer(self, frame: bytes, link: Link) -> bytes | None:
        """Do what a frame asks for and return its response; None if the frame cannot be answered."""
        try:
            request = read_request(frame, self._encoding)
        except BadFrame as bad:
            if bad.id is not None:
                return refused(bad.id, bad.code, bad.message, self._encoding)
            link.notify(Fault(error_code=bad.code, error_reason=bad.message))
            return None
        try:
            data = await self._perform(request, link)
        except Refusal as refusal:
            return refused(request.id, refusal.code, refusal.message, self._encoding)
        except SfuError as error:
            return refused(request.id, error.code, str(error) or type(error).__name__, self._encoding)
        except UnsupportedParameters as error:
            return refused(request.id, "unsupported_parameters", str(error), self._encoding)
        except ProtocolError as error:
            return refused(request.id, "invalid_parameters", str(error), self._encoding)
        except Exception:
            log.exception("rtc_request_failed", method=request.method)
            return refused(request.id, "internal_error", "The server failed.", self._encoding)
        return done(request.id, data, self._encoding)

    async def _perform(self, request: Request, link: Link) -> bodies.ResponseBody | None:
        if request.method == "join":
            return await self._join(request.body(bodies.Join), link)
        visit = self.visit(link)
        if request.method == "leave":
            request.body(bodies.Nothing)
            self._leave(visit)
            return None
        method = METHODS.get(request.method)
        if method is None:
            raise Refusal("unknown_method", "There is no such method.")
        body = request.body(method.body)
        if visit is None:
            raise Refusal("not_joined", "Join a room first.")
        if method.is_costly:
            self._spend(visit.now)
        return method.call(visit, body)

    def _spend(self, now: float) -> None:
        """Take one from the allowance of requests that others hear of, or that cost much."""
        refill = (now - self._allowance_at) * COSTLY_PER_SECOND
        self._allowance = min(self._allowance + refill, COSTLY_BURST)
        self._allowance_at = now
        if self._allowance < 1:
            raise Refusal("rate_limited", "Too many such requests; wait a little.", 1)
        self._allowance -= 1

    # Coming and going

    async def _join(self, body: bodies.Join, link: Link) -> bodies.Joined:
        if self.visit(link) is not None:
            raise Refusal("already_joined", "This connection is in a room; open another one.")
        self._spend(self._directory.now())
        grants = await self._authorize(body)
        room, participant, resumed = await self._directory.enter(grants, link, body.resume_token)
        if body.rtp_capabilities is not None:
            participant.media.capabilities = body.rtp_capabilities
        self._joined = (room, participant)
        return _joined(room, participant, resumed)

    async def _authorize(self, body: bodies.Join) -> Grants:
        """Ask until nothing changed meanwhile: who is not in the room yet is no one to be reviewed."""
        try:
            async with asyncio.timeout(AUTHORIZE_SECONDS):
                while True:
                    doubts: set[tuple[str | None, str | None]] = set()
                    self._doubts = doubts
                    grants = await self._access.authorize(body.room, body.token, self._principal)
                    if not any(concerns(grants, *doubt) for doubt in doubts):
                        return grants
        except TimeoutError:
            raise Refusal("unavailable", "Nobody can tell what you may do; try again.", 2) from None
        finally:
            self._doubts = None

    def doubt(self, room_id: str | None, identity: str | None) -> None:
        """Note that what this room's, or identity's, may do is another; of all where it is None."""
        if self._doubts is not None:
            self._doubts.add((room_id, identity) if len(self._doubts) < MAX_DOUBTS else (None, None))

    def _leave(self, visit: Visit | None) -> None:
        if visit is None:
            raise Refusal("not_joined", "Join a room first.")
        self._joined = None
        visit.participant.link = None
        self._directory.leave(visit.room, visit.participant)

    async def review(self, link: Link) -> None:
        """Ask again what the participant may do; take it out if that is nothing any more."""
        visit = self.visit(link)
        if visit is None:
            return
        try:
            async with asyncio.timeout(AUTHORIZE_SECONDS):
                grants = await self._access.review(visit.participant.grants, self._principal)
        except TimeoutError:
            return
        except Refusal as refusal:
            if refusal.code != "unavailable":
                self._expel(link)
            return
        if grants.room_id != visit.room.id or not grants.may_be_same(visit.participant.grants):
            self._expel(link)
        elif self.visit(link) is not None:
            visit.room.update(visit.participant, grants)

    def _expel(self, link: Link) -> None:
        visit = self.visit(link)
        if visit is not None:
            visit.room.expel(visit.participant, "revoked")
            self._directory.drop_if_empty(visit.room)

    def lost(self, link: Link) -> None:
        """The connection is over; the participant may come back."""
        visit = self.visit(link)
        if visit is not None:
            visit.room.detach(visit.participant, link, visit.now)


def concerns(grants: Grants, room_id: str | None, identity: str | None) -> bool:
    """Whether a change of this room and identity, each of which may be left out, is one of these grants."""
    return room_id in (None, grants.room_id) and identity in (None, grants.identity)


def _joined(room: Room, participant: Participant, resumed: bool) -> bodies.Joined:
    return bodies.Joined(
        room_id=room.id,
        participant_id=participant.id,
        resume_token=participant.resume_token,
        resume_seconds=room.options.away_seconds,
        resumed=resumed,
        router_rtp_capabilities=room.router.rtp_capabilities,
        participants=tuple(one.info for one in room),
        producers=tuple(room.producer_infos()),
        data_producers=tuple(room.data_producer_infos()),
        active_speaker=room.active_speaker,
        own=_own(participant),
    )


def _own(participant: Participant) -> bodies.OwnMedia:
    media, choice = participant.media, participant.video_choice
    return bodies.OwnMedia(
        transports=tuple(one.id for one in media.transports),
        producers=tuple(one.id for one in media.producers),
        consumers=tuple(
            bodies.OwnConsumer(
                id=one.id,
                producer_id=one.producer_id,
                kind=one.kind,
                paused=one.paused,
                producer_paused=one.producer_paused,
                suspended=one.suspended,
            )
            for one in media.consumers
        ),
        data_producers=tuple(one.id for one in media.data_producers),
        data_consumers=tuple(one.id for one in media.data_consumers),
        last_n=None if choice is None else choice.count,
        pinned=() if choice is None else tuple(sorted(choice.pinned)),
    )
