"""What the control API needs of the chat: implements ChatModeration and ChatPresence of control_api.ports."""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final
from uuid import UUID

from chat.errors import Refusal
from chat.hub import Hub
from chat.moderation.authority import require_moderator
from chat.moderation.service import Moderation
from chat.presence import Person
from control_api.errors import ApiError, FieldError, not_found, version_mismatch
from control_api.ports import Chatter
from storage.database import Database
from storage.repositories.blocked_terms import BlockedTerm
from storage.repositories.chat_messages import StoredMessage
from storage.repositories.chat_people import Ban, ChatModerator, ChatPeople
from storage.repositories.chat_rooms import ChatSettings

_STATUSES: Final = {
    "bad_pattern": HTTPStatus.BAD_REQUEST,
    "bad_frame": HTTPStatus.BAD_REQUEST,
    "busy": HTTPStatus.SERVICE_UNAVAILABLE,
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "sign_in_required": HTTPStatus.UNAUTHORIZED,
}
_NOT_FOUND: Final = "_not_found"
_TERM: Final = re.compile(r"Term (\d+): (.+)", re.DOTALL)


class ApiModeration:
    """Implements control_api.ports.ChatModeration."""

    def __init__(self, moderation: Moderation, database: Database) -> None:
        self._moderation = moderation
        self._people = ChatPeople(database)

    async def require_moderator(self, actor: UUID, room_id: UUID) -> None:
        person = await self._people.person(room_id, actor)
        if person is None:
            raise not_found("room")
        with _explained():
            require_moderator(person, datetime.now(UTC))

    async def delete_message(self, actor: UUID, room_id: UUID, message_id: UUID, address: str) -> None:
        with _explained():
            await self._moderation.delete_message(actor, room_id, message_id, address)

    async def clear(self, actor: UUID, room_id: UUID, address: str) -> None:
        with _explained():
            await self._moderation.clear(actor, room_id, address)

    async def pin(self, actor: UUID, room_id: UUID, message_id: UUID | None, address: str) -> None:
        with _explained():
            await self._moderation.pin(actor, room_id, message_id, address)

    async def change_settings(
        self, actor: UUID, room_id: UUID, settings: ChatSettings, expected_version: int | None, address: str
    ) -> int:
        with _explained():
            return await self._moderation.change_settings(actor, room_id, settings, expected_version, address)

    async def ban(
        self,
        actor: UUID,
        room_id: UUID,
        user_id: UUID,
        seconds: int | None,
        reason: str,
        is_shadow: bool,
        address: str,
    ) -> Ban:
        with _explained():
            return await self._moderation.ban(actor, room_id, user_id, seconds, reason, is_shadow, address)

    async def unban(self, actor: UUID, room_id: UUID, user_id: UUID, address: str) -> None:
        with _explained():
            await self._moderation.unban(actor, room_id, user_id, address)

    async def bans(self, actor: UUID, room_id: UUID, limit: int, after: UUID | None) -> list[Ban]:
        with _explained():
            return await self._moderation.bans(actor, room_id, limit, after)

    async def add_moderator(self, actor: UUID, room_id: UUID, user_id: UUID, address: str) -> None:
        with _explained():
            await self._moderation.add_moderator(actor, room_id, user_id, address)

    async def remove_moderator(self, actor: UUID, room_id: UUID, user_id: UUID, address: str) -> None:
        with _explained():
            await self._moderation.remove_moderator(actor, room_id, user_id, address)

    async def moderators(self, actor: UUID, room_id: UUID) -> list[ChatModerator]:
        with _explained():
            return await self._moderation.moderators(actor, room_id)

    async def blocked_terms(self, actor: UUID, room_id: UUID) -> list[BlockedTerm]:
        with _explained():
            return await self._moderation.blocked_terms(actor, room_id)

    async def replace_blocked_terms(
        self, actor: UUID, room_id: UUID, terms: Sequence[BlockedTerm], address: str
    ) -> None:
        with _explained():
            await self._moderation.replace_blocked_terms(actor, room_id, terms, address)

    async def held(self, actor: UUID, room_id: UUID, limit: int, after: UUID | None) -> list[StoredMessage]:
        with _explained():
            return await self._moderation.held(actor, room_id, limit, after)

    async def allow(self, actor: UUID, room_id: UUID, message_id: UUID, address: str) -> None:
        with _explained():
            await self._moderation.allow(actor, room_id, message_id, address)

    async def deny(self, actor: UUID, room_id: UUID, message_id: UUID, address: str) -> None:
        with _explained():
            await self._moderation.deny(actor, room_id, message_id, address)


class HubPeople:
    """Implements control_api.ports.ChatPresence."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def people(self, room_id: UUID, after: Chatter | None, limit: int) -> list[Chatter]:
        presence = await self._hub.look_at_presence(room_id)
        last = Person(after.username, after.user_id) if after is not None else None
        return [Chatter(each.user_id, each.username) for each in presence.people(last, limit)]


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except Refusal as refusal:
        raise explained(refusal) from refusal


def explained(refusal: Refusal) -> ApiError:
    """What the API answers where the chat would send an error frame."""
    if refusal.code == "version_mismatch":
        return version_mismatch("settings")
    headers = {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(refusal.retry_after)))
    return ApiError(_status(refusal.code), refusal.code, refusal.message, _details(refusal), headers)


def _details(refusal: Refusal) -> tuple[FieldError, ...]:
    """The term that is no pattern, as it stands in the request."""
    term = _TERM.fullmatch(refusal.message) if refusal.code == "bad_pattern" else None
    return (FieldError(f"terms[{term[1]}].text", term[2]),) if term is not None else ()


def _status(code: str) -> HTTPStatus:
    if code.endswith(_NOT_FOUND):
        return HTTPStatus.NOT_FOUND
    return _STATUSES.get(code, HTTPStatus.FORBIDDEN)
