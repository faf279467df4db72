"""WHIP (RFC 9725): `POST /whip/{room}` publishes a room's program, one audio and one video at most.

A room has one publisher over WHIP. Whoever holds the room's key takes over when its connection stands, and
the earlier session ends; who never gets through disturbs nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog
from aiohttp import web

from sfu import http_messages as messages
from sfu.errors import DuplicateStream, SfuError
from sfu.http_door import DoorOptions, HttpDoor, peer_of
from sfu.http_messages import Problem
from sfu.http_sessions import HttpSession
from sfu.ports import PublishAccess, PublishGrant, Refusal, Rooms
from sfu.protocol import ortc
from sfu.protocol.errors import ProtocolError
from sfu.protocol.parameters import Direction, Kind, RtpCapabilities, RtpParameters
from sfu.protocol.sdp import MediaSection, Offer, SectionAnswer, producer_parameters

if TYPE_CHECKING:
    from sfu.router import Router

logger = structlog.get_logger("mediaserver.sfu.whip")

PREFERRED_CODECS: Final = ("video/H264", "video/VP9", "video/AV1")
"""What the outputs of a program can carry comes before the offerer's own order, what most players know first.

The answer names one codec: VP8, which goes to WebRTC viewers alone, is sent where there is nothing else.
"""
DEFAULT_OPTIONS: Final = DoorOptions(posts_per_second=5.0, post_burst=20.0)


class _Sent(NamedTuple):
    kind: Kind
    parameters: RtpParameters


class Whip(HttpDoor):
    """The routes of publishers; `close_room` ends a room's publisher, such as when another one takes over."""

    def __init__(
        self,
        access: PublishAccess,
        rooms: Rooms,
        client_address: Callable[[web.Request], str],
        options: DoorOptions = DEFAULT_OPTIONS,
        on_goodbye: Callable[[str], None] | None = None,
    ) -> None:
        """`on_goodbye` is told the room of a publisher that deletes its session, just before it ends."""
        super().__init__("whip", options, client_address)
        self._access = access
        self._rooms = rooms
        self._on_goodbye = on_goodbye
        self._let_in: dict[HttpSession, PublishGrant] = {}
        """Those whose offer is still being read, too: what ends a publisher must not miss them."""

    def routes(self) -> list[web.RouteDef]:
        """Return what belongs into the application."""
        return [
            web.route("*", "/whip/{room}", self.endpoint),
            web.route("*", "/whip/{room}/session/{session}", self.session),
        ]

    def is_starting(self, room_id: str) -> bool:
        """Whether a publisher of the room has its answer and is not connected yet."""
        return any(not session.was_connected for session in self.sessions.of_room(room_id))

    def close_room(self, room_id: str) -> None:
        """End the publisher of a room, and those that are about to be."""
        for session, grant in tuple(self._let_in.items()):
            if grant.room_id == room_id:
                session.close()

    async def review(self, user_id: str | None = None) -> None:
        """End the publishers whose tokens count no more: those of a user, or of all."""
        for session, grant in tuple(self._let_in.items()):
            if grant.user_id is None or user_id not in (None, str(grant.user_id)):
                continue
            if not await self._access.may_still_publish(grant):
                logger.info("whip_publisher_may_no_more", room_id=grant.room_id)
                self._end(session)

    async def _authorize(self, room: str, token: str | None, address: str) -> str | Refusal:
        grant = await self._access.authorize_publish(room, token, address)
        return grant if isinstance(grant, Refusal) else grant.room_id

    async def _open(self, request: web.Request, address: str) -> tuple[HttpSession, str]:
        bearer = messages.bearer_of(request)
        grant = await self._access.authorize_publish(request.match_info["room"], bearer, address)
        if isinstance(grant, Refusal):
            raise messages.refused(grant)
        session = HttpSession(grant.room_id, bearer, self._options.connect_seconds)
        self._let_in[session] = grant
        session.on_end(lambda: self._forget(session))
        try:
            text, offer = await self._read_offer(request)
            router = await self._rooms.router(grant.room_id)
            session.on_end(lambda: self._rooms.release(grant.room_id))
            if session.is_closed:
                raise Problem(HTTPStatus.FORBIDDEN, "not_allowed", "you may not publish here any more")
            return session, self._publish(session, router, text, offer)
        except BaseException:
            session.close()
            raise

    def _forget(self, session: HttpSession) -> None:
        del self._let_in[session]

    def _publish(self, session: HttpSession, router: Router, text: str, offer: Offer) -> str:
        sent = _sent(text, offer, router.rtp_capabilities)
        _check(sent, router.rtp_capabilities)
        for other in self.sessions.of_room(session.room_id):
            if not other.was_connected:
                other.close()
        transport = router.create_transport(session)
        session.attach(transport, offer, lambda: self._take_over(session, sent))
        transport.connect(peer_of(offer))
        return session.answer([_answered(one.parameters) for one in sent])

    def _take_over(self, session: HttpSession, sent: list[_Sent]) -> None:
        for other in self.sessions.of_room(session.room_id):
            if other is not session:
                logger.info("whip_publisher_replaced", room_id=session.room_id)
                other.close()
        try:
            for kind, parameters in sent:
                session.transport.produce(kind, parameters, app_data={"source": "whip"}, is_program=True)
        except (SfuError, ProtocolError) as error:
            logger.warning("whip_not_published", room_id=session.room_id, error=str(error))
            session.close_soon()
            return
        logger.info("whip_published", room_id=session.room_id, kinds=[one.kind for one in sent])

    def _end(self, session: HttpSession) -> None:
        # One that is over already had its end, and the room may have another publisher since.
        if session.was_connected and not session.is_closed and self._on_goodbye is not None:
            self._on_goodbye(session.room_id)
        super()._end(session)


def _sent(text: str, offer: Offer, capabilities: RtpCapabilities) -> list[_Sent]:
    """Return what is taken of an offer: the first section of each kind. Raises Problem."""
    sent: dict[Kind, _Sent] = {}
    for index, section in enumerate(offer.sections):
        kind = _kind(section)
        if kind is None or kind in sent:
            continue
        parameters = producer_parameters(section, capabilities, PREFERRED_CODECS)
        if parameters is None:
            detail = f"no codec of {kind} in common; known are {_codec_names(capabilities, kind)}"
            line = messages.media_line(text, index)
            raise Problem(HTTPStatus.NOT_ACCEPTABLE, "unsupported_media", detail, line=line)
        sent[kind] = _Sent(kind, parameters)
    if not sent:
        raise Problem(
            HTTPStatus.NOT_ACCEPTABLE,
            "nothing_sent",
            "no section sends audio or video",
            line=messages.media_line(text, 0),
        )
    return list(sent.values())


def _check(sent: Sequence[_Sent], capabilities: RtpCapabilities) -> None:
    """Refuse now what could not be produced later. Raises DuplicateStream, and what ortc raises."""
    taken: set[int] = set()
    for one in sent:
        ortc.producer_mapping(one.parameters, capabilities, ssrc=1)
        for encoding in one.parameters.encodings:
            for ssrc in (encoding.ssrc, encoding.rtx and encoding.rtx.ssrc):
                if ssrc in taken:
                    raise DuplicateStream(f"SSRC {ssrc} stands in two sections of the offer")
                taken |= {ssrc} if ssrc else set()


def _kind(section: MediaSection) -> Kind | None:
    if not section.is_usable or not section.direction.sends:
        return None
    return section.kind if section.kind == "audio" or section.kind == "video" else None


def _codec_names(capabilities: RtpCapabilities, kind: Kind) -> str:
    names = [codec.mime_type.partition("/")[2] for codec in capabilities.codecs if codec.kind == kind]
    return ", ".join(name for name in dict.fromkeys(names) if name != "rtx")


def _answered(parameters: RtpParameters) -> SectionAnswer:
    return SectionAnswer(mid=parameters.mid or "", direction=Direction.RECVONLY, parameters=parameters)
