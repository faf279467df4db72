"""What the chat needs of the rest: who somebody is, whom a room admits, and who watches. See chat.ports."""

import re
from collections.abc import Callable
from typing import Final
from uuid import UUID

from aiohttp import hdrs, web
from aiohttp_session import STORAGE_KEY, AbstractStorage

from chat.errors import Refusal
from chat.ports import Entrance, Identity, Visit
from control_api.errors import ApiError
from control_api.identity.authenticator import Authenticator
from control_api.identity.session_states import SessionStates
from control_api.identity.web_session import COOKIE, ForgeryCheck
from control_api.services.chat_tickets import WRITE, ChatTickets, Ticket, ticket_of
from control_api.services.playback import Denial, PlaybackAccess
from mediaserver.delivery.client_address import ClientAddress
from mediaserver.playback_sessions import PlaybackSession, PlaybackSessions
from storage.database import Database
from storage.repositories import UserState
from storage.repositories.api_keys import ApiKeys
from storage.repositories.playback import Playback
from storage.repositories.users import Users

_SLUG: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class ChatSignIn:
    """Implements chat.ports.SignIn: by ticket, by bearer token or API key, by a page's cookie."""

    def __init__(
        self,
        database: Database,
        tickets: ChatTickets,
        authenticator: Authenticator,
        states: SessionStates,
        forgery_check: ForgeryCheck,
        pages: AbstractStorage,
        client_address: ClientAddress,
    ) -> None:
        self._users = Users(database)
        self._api_keys = ApiKeys(database)
        self._tickets = tickets
        self._authenticator = authenticator
        self._states = states
        self._forgery_check = forgery_check
        self._pages = pages
        self._client_address = client_address

    def address_of(self, request: web.Request) -> str:
        return self._client_address.of(request)

    async def identify(self, request: web.Request) -> Identity | None:
        if "ticket" in request.query:
            return await self._by_ticket(request.query["ticket"])
        if hdrs.AUTHORIZATION not in request.headers and COOKIE in request.cookies:
            self._check_origin(request)
            request[STORAGE_KEY] = self._pages
        try:
            principal = await self._authenticator.principal(request, self.address_of(request))
        except ApiError as error:
            raise Refusal("invalid_token", error.message) from error
        if principal.user_id is None:
            return None
        if not principal.has_scope(WRITE):
            raise Refusal("invalid_token", f"The API key does not have the scope {WRITE}.")
        return await self._identity(ticket_of(principal))

    async def is_valid(self, identity: Identity) -> bool:
        if identity.session_id is not None:
            return await self._states.role_of(identity.user_id, identity.session_id) is not None
        return identity.api_key_id is not None and await self._api_keys.is_good(identity.api_key_id)

    async def _by_ticket(self, text: str) -> Identity:
        ticket = await self._tickets.redeem(text)
        identity = await self._identity(ticket) if ticket is not None else None
        if identity is None or not await self.is_valid(identity):
            raise Refusal("invalid_ticket", "The ticket was used or is too old; ask for another one.")
        return identity

    async def _identity(self, ticket: Ticket) -> Identity | None:
        user = await self._users.find_by_id(ticket.user_id)
        if user is None or user.state is not UserState.ACTIVE:
            return None
        return Identity(
            user.id,
            user.username,
            user.display_name,
            ticket.session_id,
            ticket.may_moderate,
            ticket.api_key_id,
        )

    def _check_origin(self, request: web.Request) -> None:
        """A page of another site must not open the chat as whoever happens to be signed in here."""
        try:
            self._forgery_check.check_origin(request)
        except ApiError as error:
            raise Refusal("bad_origin", error.message) from error


class RoomAdmission:
    """Implements chat.ports.Admission: who may watch a room may enter its chat."""

    def __init__(self, database: Database, access: PlaybackAccess) -> None:
        self._rooms = Playback(database)
        self._access = access

    async def admit(self, room: str, user_id: UUID | None) -> Entrance:
        found = await self._rooms.find_room(_room_ref(room))
        verdict = await self._access.verdict(found.id, user_id) if found is not None else None
        if found is None or verdict is None or verdict.is_hidden:
            raise Refusal("room_not_found", "There is no such room.")
        # A slug can be guessed, and would tell that there is such a room.
        if verdict.denial is Denial.PRIVATE_ROOM and room.lower() != str(found.id):
            raise Refusal("room_not_found", "There is no such room.")
        if verdict.denial is not None:
            raise Refusal(verdict.denial.value, verdict.denial.message)
        return Entrance(found.id, found.owner_id, verdict.max_viewers)


class ChatVisits:
    """Implements chat.ports.Visits: what keeps an eye on viewers does so on those who chat."""

    def __init__(self) -> None:
        self.sessions: Final = PlaybackSessions()

    def enter(self, room_id: UUID, user_id: UUID | None, on_close: Callable[[], None]) -> Visit:
        session = self.sessions.open(str(room_id), user_id)
        session.on_close = on_close
        return _Visit(self.sessions, session)


class _Visit:
    __slots__ = ("_session", "_sessions")

    def __init__(self, sessions: PlaybackSessions, session: PlaybackSession) -> None:
        self._sessions = sessions
        self._session = session

    def leave(self) -> None:
        self._sessions.leave(self._session)


def _room_ref(text: str) -> UUID | str:
    """An id, or what may be a slug. Raises Refusal for what is neither: PostgreSQL takes not every text."""
    try:
        return UUID(text)
    except ValueError:
        if _SLUG.fullmatch(text) is None:
            raise Refusal("room_not_found", "There is no such room.") from None
        return text
