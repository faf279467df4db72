"""The chat as far as it is asked for over HTTP: its history and settings, and what moderators do.

Who may watch a room may read its chat. Who may moderate is decided behind the port.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta

from control_api.errors import invalid, not_found
from control_api.pagination import Page, decode_cursor, id_in, page_of
from control_api.ports import ChatModeration, ChatPresence, Chatter
from control_api.principal import Access, Principal
from control_api.services.playback import Denial, PlaybackAccess, Verdict, denied
from control_api.texts import clean_line
from storage.database import Executor
from storage.repositories.blocked_terms import BlockedTerm
from storage.repositories.chat_messages import ChatMessages, StoredMessage
from storage.repositories.chat_people import Ban
from storage.repositories.chat_rooms import ChatRooms, ChatSettings
from storage.repositories.playback import Playback
from storage.repositories.users import Users, UserState

MAX_REASON: Final = 500
MAX_TERM: Final = 200

Offset = Annotated[int, Meta(ge=1, le=2**63 - 1)]

_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_SHORTEST_SLOW_MODE: Final = 3


class ChatRoomDoor:
    """Finds rooms by id or slug, for those who may read or moderate in them."""

    def __init__(self, database: Executor, access: PlaybackAccess) -> None:
        self._rooms = Playback(database)
        self._access = access

    async def watched(self, principal: Principal, reference: str) -> UUID:
        """For who may watch the room: 404 or 403 with the code of a Denial otherwise.

        A full room is read, too: those who fill it do.
        """
        verdict = await self._verdict(principal, reference)
        # A slug can be guessed, and would tell that there is such a room.
        is_guessed = verdict.denial is Denial.PRIVATE_ROOM and reference.lower() != str(verdict.room_id)
        if verdict.is_hidden or is_guessed:
            raise not_found("room")
        if verdict.denial is not None:
            raise denied(verdict.denial)
        return verdict.room_id

    async def known(self, principal: Principal, reference: str) -> UUID:
        """For who may know of the room; the port says whether they may moderate in it."""
        verdict = await self._verdict(principal, reference)
        is_unknown = verdict.is_hidden or verdict.denial is Denial.PRIVATE_ROOM
        if is_unknown and not principal.has_role(Access.MODERATOR):
            raise not_found("room")
        return verdict.room_id

    async def _verdict(self, principal: Principal, reference: str) -> Verdict:
        room_ref = _room_ref(reference)
        room = await self._rooms.find_room(room_ref) if room_ref is not None else None
        verdict = await self._access.verdict(room.id, principal.user_id) if room is not None else None
        if verdict is None:
            raise not_found("room")
        return verdict


class ChatService:
    """``room`` is everywhere the id or slug in the address."""

    def __init__(
        self, database: Executor, access: PlaybackAccess, moderation: ChatModeration, presence: ChatPresence
    ) -> None:
        self._messages = ChatMessages(database)
        self._rooms = ChatRooms(database)
        self._door = ChatRoomDoor(database, access)
        self._moderation = moderation
        self._presence = presence

    async def messages(
        self, principal: Principal, room: str, cursor: str | None, limit: int
    ) -> Page[StoredMessage]:
        """What was said, the newest first."""
        before = decode_cursor(cursor, Offset)[0] if cursor is not None else None
        room_id = await self._door.watched(principal, room)
        found = await self._messages.page(room_id, limit + 1, before)
        return page_of(found, limit, lambda message: (message.offset,))

    async def delete(self, principal: Principal, room: str, message_id: UUID, address: str) -> None:
        room_id = await self._door.known(principal, room)
        await self._moderation.delete_message(_actor(principal), room_id, message_id, address)

    async def clear(self, principal: Principal, room: str, address: str) -> None:
        await self._moderation.clear(_actor(principal), await self._door.known(principal, room), address)

    async def pin(self, principal: Principal, room: str, message_id: UUID | None, address: str) -> None:
        room_id = await self._door.known(principal, room)
        await self._moderation.pin(_actor(principal), room_id, message_id, address)

    async def settings(self, principal: Principal, room: str) -> tuple[ChatSettings, int]:
        """With their version."""
        return await self._rooms.settings(await self._door.watched(principal, room))

    async def change_settings(
        self, principal: Principal, room: str, settings: ChatSettings, version: int | None, address: str
    ) -> int:
        """The new version; ``version`` is the one that the client has seen, None if it does not care."""
        if 0 < settings.slow_mode_seconds < _SHORTEST_SLOW_MODE:
            raise invalid("slowModeSec", f"must be 0 for none, or {_SHORTEST_SLOW_MODE} and more")
        room_id = await self._door.known(principal, room)
        return await self._moderation.change_settings(_actor(principal), room_id, settings, version, address)

    async def chatters(
        self, principal: Principal, room: str, cursor: str | None, limit: int
    ) -> Page[Chatter]:
        """Who is here and has signed in, for moderators."""
        after = decode_cursor(cursor, str, UUID) if cursor is not None else None
        room_id = await self._door.known(principal, room)
        await self._moderation.require_moderator(_actor(principal), room_id)
        last = Chatter(after[1], after[0]) if after is not None else None
        found = await self._presence.people(room_id, last, limit + 1)
        return page_of(found, limit, lambda chatter: (chatter.username, chatter.user_id))


@dataclass(frozen=True, slots=True)
class WantedBan:
    """``user`` is an id or a username. Without ``seconds`` it is for ever."""

    user: UUID | str
    seconds: int | None
    reason: str
    is_shadow: bool


class ChatModerationService:
    """Bans, blocked terms and what waits for a decision."""

    def __init__(self, database: Executor, access: PlaybackAccess, moderation: ChatModeration) -> None:
        self._users = Users(database)
        self._door = ChatRoomDoor(database, access)
        self._moderation = moderation

    async def room(self, principal: Principal, room: str) -> tuple[UUID, UUID]:
        """Who asks, and the room."""
        return _actor(principal), await self._door.known(principal, room)

    async def bans(self, principal: Principal, room: str, cursor: str | None, limit: int) -> Page[Ban]:
        after = id_in(cursor)
        found = await self._moderation.bans(*await self.room(principal, room), limit + 1, after)
        return page_of(found, limit, lambda ban: (ban.user_id,))

    async def ban(self, principal: Principal, room: str, wanted: WantedBan, address: str) -> Ban:
        reason = clean_line("reason", wanted.reason, MAX_REASON, 0)
        actor, room_id = await self.room(principal, room)
        # First, or who may ban nobody here could ask for names.
        await self._moderation.require_moderator(actor, room_id)
        user = wanted.user
        user_id = user if isinstance(user, UUID) else await self._user_named(user)
        return await self._moderation.ban(
            actor, room_id, user_id, wanted.seconds, reason, wanted.is_shadow, address
        )

    async def replace_terms(
        self, principal: Principal, room: str, terms: Sequence[BlockedTerm], address: str
    ) -> list[BlockedTerm]:
        """The whole list in its order, as it is kept."""
        cleaned = _clean_terms(terms)
        await self._moderation.replace_blocked_terms(*await self.room(principal, room), cleaned, address)
        return cleaned

    async def held(
        self, principal: Principal, room: str, cursor: str | None, limit: int
    ) -> Page[StoredMessage]:
        """What waits, the oldest first."""
        after = id_in(cursor)
        found = await self._moderation.held(*await self.room(principal, room), limit + 1, after)
        return page_of(found, limit, lambda message: (message.id,))

    async def _user_named(self, username: str) -> UUID:
        user = await self._users.find_by_name(username)
        if user is None or user.state is UserState.DELETED:
            raise not_found("user")
        return user.id


def _clean_terms(terms: Sequence[BlockedTerm]) -> list[BlockedTerm]:
    """A pattern stays as it is, blanks and all. Raises ApiError 400 for one that is there twice."""
    cleaned: dict[tuple[str, bool], BlockedTerm] = {}
    for index, term in enumerate(terms):
        field = f"terms[{index}].text"
        text = clean_line(field, term.text, MAX_TERM)
        if term.is_regex:
            text = term.text
        if (text, term.is_regex) in cleaned:
            raise invalid(field, "is there twice")
        cleaned[text, term.is_regex] = BlockedTerm(text, term.is_regex, term.action)
    return list(cleaned.values())


def _actor(principal: Principal) -> UUID:
    """Routes of moderators are for those who have signed in."""
    assert principal.user_id is not None
    return principal.user_id


def _room_ref(reference: str) -> UUID | str | None:
    """The id or slug that ``reference`` is; None for what can be neither."""
    try:
        parsed = UUID(reference)
    except ValueError:
        slug = reference.lower()
        return slug if _SLUG.fullmatch(slug) else None
    return parsed if str(parsed) == reference.lower() else None
