"""WHEP (draft-ietf-wish-whep): `POST /whep/{room}` plays a room's program, one audio and one video at most.

`POST /whep/{room}/{participant}` plays what one participant sends. A stream that is just starting is waited
for; where nobody publishes 409 is answered at once, and the player is to come again. A session ends with
what it plays: there is no way to negotiate anew.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog
from aiohttp import web

from sfu import http_messages as messages
from sfu.errors import TooManyTransports
from sfu.http_door import DoorOptions, HttpDoor, peer_of
from sfu.http_messages import Problem
from sfu.http_sessions import HttpSession
from sfu.ports import Refusal, Rooms, ViewAccess, ViewGrant
from sfu.program import Program
from sfu.protocol.codec_matching import is_rtx
from sfu.protocol.parameters import Direction, Kind, RtpParameters
from sfu.protocol.sdp import MediaSection, Offer, SectionAnswer, consumer_parameters

if TYPE_CHECKING:
    from sfu.producer import Producer
    from sfu.router import Router
    from sfu.transport import WebRtcTransport

logger = structlog.get_logger("mediaserver.sfu.whep")

MAX_WAITING: Final = 1_000
"""Viewers that wait for a stream to start, in all rooms."""
DEFAULT_OPTIONS: Final = DoorOptions(posts_per_second=50.0, post_burst=500.0)
"""An audience may sit behind one address."""

_MAX_SSRC: Final = 0xFFFF_FFF0


class _Played(NamedTuple):
    producer: Producer
    parameters: RtpParameters


class Whep(HttpDoor):
    """The routes of viewers."""

    def __init__(
        self,
        access: ViewAccess,
        rooms: Rooms,
        client_address: Callable[[web.Request], str],
        options: DoorOptions = DEFAULT_OPTIONS,
        is_starting: Callable[[str], bool] = lambda room_id: False,
    ) -> None:
        """`is_starting` tells of rooms whose publisher comes right now: `Whip.is_starting`."""
        super().__init__("whep", options, client_address)
        self._access = access
        self._rooms = rooms
        self._is_starting = is_starting
        self._waiting = 0

    def routes(self) -> list[web.RouteDef]:
        """Return what belongs into the application."""
        return [
            web.route("*", "/whep/{room}", self.endpoint),
            web.route("*", "/whep/{room}/{participant}", self.endpoint),
            web.route("*", "/whep/{room}/session/{session}", self.session),
        ]

    async def _authorize(self, room: str, token: str | None, address: str) -> str | Refusal:
        grant = await self._access.authorize_view(room, token, address)
        return grant if isinstance(grant, Refusal) else grant.room_id

    async def _open(self, request: web.Request, address: str) -> tuple[HttpSession, str]:
        token = messages.token_of(request)
        grant = await self._access.authorize_view(request.match_info["room"], token, address)
        if isinstance(grant, Refusal):
            raise messages.refused(grant)
        is_program = "participant" not in request.match_info
        if is_program and not grant.low_latency:
            raise Problem(HTTPStatus.FORBIDDEN, "low_latency_off", "the room is not watched by WebRTC")
        session = HttpSession(grant.room_id, messages.bearer_of(request), self._options.connect_seconds)
        session.on_end(self._access.joined(grant, session.close, is_program=is_program))
        try:
            self._check_place(grant)
            return session, await self._play(request, session, grant)
        except BaseException:
            session.close()
            raise

    def _check_place(self, grant: ViewGrant) -> None:
        """Only who is connected takes a place: asking costs nothing, so anybody could take all."""
        if grant.max_viewers is not None and self.sessions.connected(grant.room_id) >= grant.max_viewers:
            raise messages.retry_later(
                HTTPStatus.SERVICE_UNAVAILABLE, "room_full", "the room has as many viewers as it may"
            )

    def _came(self, session: HttpSession, grant: ViewGrant) -> None:
        """Count the viewer, or send it away if others were faster."""
        most = grant.max_viewers
        is_late = most is not None and self.sessions.connected(grant.room_id) > most
        leave = None if is_late else self._access.connected(grant)
        if leave is None:
            session.close_soon()
        else:
            session.on_end(leave)

    async def _play(self, request: web.Request, session: HttpSession, grant: ViewGrant) -> str:
        text, offer = await self._read_offer(request)
        sections = _receiving(text, offer)
        router = await self._rooms.router(session.room_id)
        session.on_end(lambda: self._rooms.release(session.room_id))
        producers = await self._producers(request, router, frozenset(sections))
        if session.is_closed:
            raise Problem(HTTPStatus.FORBIDDEN, "not_allowed", "you may not watch this way any more")
        played = list(_played(sections, producers))
        if not played:
            raise _nothing_understood(text, producers)
        self._check_place(grant)
        transport = self._transport(router, session)
        session.attach(transport, offer, lambda: self._came(session, grant))
        transport.connect(peer_of(offer))
        for one in played:
            transport.consume_negotiated(one.producer.id, one.parameters)
        return session.answer([_answered(session.room_id, one) for one in played])

    def _transport(self, router: Router, session: HttpSession) -> WebRtcTransport:
        """Return a place in the room, if need be that of who does not come."""
        try:
            return router.create_transport(session, is_spectator=True)
        except TooManyTransports:
            if not self.sessions.make_room(self._options.hurried_seconds, session.room_id):
                raise
            return router.create_transport(session, is_spectator=True)

    async def _producers(
        self, request: web.Request, router: Router, kinds: Collection[Kind]
    ) -> Sequence[Producer]:
        participant_id = request.match_info.get("participant")
        if participant_id is not None:
            return self._participants_producers(router, participant_id)
        if self._waiting >= MAX_WAITING:
            raise messages.retry_later(
                HTTPStatus.SERVICE_UNAVAILABLE, "server_full", "too many viewers wait for streams to start"
            )
        program = Program(router, lambda: self._program_kinds(router.room_id))
        self._waiting += 1
        try:
            producers = await program.wait(kinds)
        finally:
            self._waiting -= 1
        if not producers:
            refusal = self._rooms.program_refusal(router.room_id)
            if refusal is not None:
                raise Problem(HTTPStatus.CONFLICT, "not_playable", refusal)
            raise messages.retry_later(HTTPStatus.CONFLICT, "not_live", "the room is not live")
        return producers

    def _program_kinds(self, room_id: str) -> Collection[Kind] | None:
        kinds = self._rooms.program_kinds(room_id)
        return () if kinds is None and self._is_starting(room_id) else kinds

    def _participants_producers(self, router: Router, participant_id: str) -> Sequence[Producer]:
        ids = self._rooms.participant_producers(router.room_id, participant_id)
        if ids is None:
            raise Problem(HTTPStatus.NOT_FOUND, "no_such_participant", "there is no such participant")
        producers = [router.producers[producer_id] for producer_id in ids if producer_id in router.producers]
        if not producers:
            raise messages.retry_later(HTTPStatus.CONFLICT, "not_live", "the participant sends nothing")
        return producers


def _receiving(text: str, offer: Offer) -> dict[Kind, MediaSection]:
    """Return the first section of each kind that is for us to send into. Raises Problem."""
    sections: dict[Kind, MediaSection] = {}
    for section in offer.sections:
        if section.is_usable and section.direction.receives and section.kind in ("audio", "video"):
            kind: Kind = "audio" if section.kind == "audio" else "video"
            sections.setdefault(kind, section)
    if not sections:
        line = messages.media_line(text, 0)
        raise Problem(
            HTTPStatus.NOT_ACCEPTABLE, "nothing_received", "no section receives audio or video", line=line
        )
    return sections


def _played(sections: dict[Kind, MediaSection], producers: Sequence[Producer]) -> Iterator[_Played]:
    """Choose a producer for each section, the newest that the viewer says it can decode."""
    # RTX has the number after the stream's.
    first_ssrc = secrets.randbelow(_MAX_SSRC) + 1
    for index, (kind, section) in enumerate(sections.items()):
        played = _choose(section, [one for one in producers if one.kind == kind], first_ssrc + 2 * index)
        if played is not None:
            yield played


def _choose(section: MediaSection, producers: Sequence[Producer], ssrc: int) -> _Played | None:
    for any_profile in (False, True):
        for producer in producers:
            consumable = producer.consumable_parameters
            consumption = consumer_parameters(section, consumable, ssrc, any_profile=any_profile)
            if consumption is not None:
                return _Played(producer, consumption.parameters)
    return None


def _nothing_understood(text: str, producers: Sequence[Producer]) -> Problem:
    sent = [codec for producer in producers for codec in producer.consumable_parameters.codecs]
    names = {codec.mime_type for codec in sent if not is_rtx(codec)}
    return Problem(
        HTTPStatus.NOT_ACCEPTABLE,
        "unsupported_media",
        f"the offer has no codec of what is sent: {', '.join(sorted(names))}",
        line=messages.media_line(text, 0),
    )


def _answered(room_id: str, played: _Played) -> SectionAnswer:
    """One stream name for both, so that the player keeps sound and picture together."""
    return SectionAnswer(
        mid=played.parameters.mid or "",
        direction=Direction.SENDONLY,
        parameters=played.parameters,
        stream_id=room_id,
        track_id=played.producer.id,
    )
