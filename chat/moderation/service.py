"""What moderators do, for the chat's frames and the API alike.

Every deed is one transaction: the change, the entry of the room's log by which all nodes learn of it, and the
audit. When it is committed the entries go to the sink. Everything raises Refusal.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from chat.bodies import settings_data
from chat.errors import Refusal
from chat.moderation.authority import may_moderate, require_moderator, require_owner, require_power_over
from chat.moderation.deeds import Deed, ModerationSink, deed, room_not_found, whole
from chat.moderation.terms import CompiledTerms
from chat.protocol.frames import DENIED, SHADOW_DELETED, rfc3339
from storage.database import Database
from storage.repositories.blocked_terms import BlockedTerm, BlockedTerms
from storage.repositories.chat_log import ChatLog, LoggedEntry
from storage.repositories.chat_messages import ChatMessages, MessageState, StoredMessage
from storage.repositories.chat_people import Ban, ChatModerator, ChatPeople, RoomPerson
from storage.repositories.chat_rooms import ChatRooms, ChatSettings
from storage.repositories.users import UserState

MIN_TIMEOUT_SECONDS: Final = 1
MAX_TIMEOUT_SECONDS: Final = 14 * 24 * 3600


def _now() -> datetime:
    return datetime.now(UTC)


class Moderation:
    """``address`` is where the actor's request came from, for the audit."""

    def __init__(self, database: Database, sink: ModerationSink, now: Callable[[], datetime] = _now) -> None:
        self._database = database
        self._sink = sink
        self._now = now

    async def require_moderator(self, actor: UUID, room_id: UUID) -> None:
        """Raises ``not_a_moderator`` or ``room_not_found``, as every method does."""
        person = await ChatPeople(self._database).person(room_id, actor)
        if person is None:
            raise room_not_found()
        require_moderator(person, self._now())

    # Messages

    @whole
    async def delete_message(
        self, actor: UUID, room_id: UUID, message_id: UUID, address: str = "", only_own: bool = False
    ) -> None:
        """Of one's own, or, unless ``only_own``, as a moderator.

        Raises ``message_not_found``, also for one that is deleted already.
        """
        async with self._deed(actor, room_id, address) as doing:
            messages = ChatMessages(doing.transaction)
            message = await messages.find(room_id, message_id)
            is_own = message is not None and message.user_id == actor
            if not is_own or doing.actor.state is not UserState.ACTIVE:
                require_moderator(doing.actor, doing.now)
                if only_own:
                    raise Refusal("not_a_moderator", "The API key is not for moderating.")
            if message is None or not await self._delete(doing, messages, message):
                raise _message_not_found()
        self._sink.logged(doing.logged)

    async def _delete(self, doing: Deed, messages: ChatMessages, message: StoredMessage) -> bool:
        """Whether it was there. Authors who moderate nothing are not audited."""
        about = {"messageId": str(message.id)}
        actor = doing.actor.user_id
        if message.state is MessageState.SHADOWED and message.user_id == actor:
            # Who was told that it is not there would know of the ban.
            doing.say(SHADOW_DELETED, about | {"userId": str(actor)})
            return await messages.delete_shadowed(message.room_id, message.id, actor)
        if message.state is not MessageState.VISIBLE:
            return False
        await self._require_power_over_author(doing, message)
        doing.say("message-deleted", about | {"deletedBy": str(actor)})
        if may_moderate(doing.actor, doing.now):
            await doing.audit("chat.delete", "message", message.id, {"userId": str(message.user_id)})
        return await messages.delete(message.room_id, message.id, actor)

    @whole
    async def clear(self, actor: UUID, room_id: UUID, address: str = "") -> None:
        """Nothing that was written until now is shown any more."""
        async with self._deed(actor, room_id, address) as doing:
            require_moderator(doing.actor, doing.now)
            count = await ChatMessages(doing.transaction).clear(room_id, actor)
            doing.say("chat-cleared", {"clearedBy": str(actor)})
            await doing.audit("chat.clear", "room", room_id, {"messages": count})
        self._sink.logged(doing.logged)

    @whole
    async def pin(self, actor: UUID, room_id: UUID, message_id: UUID | None, address: str = "") -> None:
        """None unpins. Raises ``message_not_found``."""
        async with self._deed(actor, room_id, address) as doing:
            require_moderator(doing.actor, doing.now)
            rooms = ChatRooms(doing.transaction)
            if message_id == await rooms.pinned(room_id):
                return
            await rooms.pin(room_id, message_id)
            if message_id is None:
                doing.say("message-unpinned", {})
                await doing.audit("chat.unpin", "room", room_id)
            else:
                doing.say("message-pinned", {"messageId": str(message_id), "pinnedBy": str(actor)})
                await doing.audit("chat.pin", "message", message_id)
        self._sink.logged(doing.logged)

    # Settings

    @whole
    async def change_settings(
        self,
        actor: UUID,
        room_id: UUID,
        settings: ChatSettings,
        expected_version: int | None = None,
        address: str = "",
    ) -> int:
        """The new version. Raises ``version_mismatch`` if it was not ``expected_version`` before."""
        async with self._deed(actor, room_id, address) as doing:
            require_moderator(doing.actor, doing.now)
            version = await ChatRooms(doing.transaction).save_settings(room_id, settings, expected_version)
            data = settings_data(settings)
            doing.say("settings-changed", {"settings": data, "changedBy": str(actor)})
            await doing.audit("chat.settings", "room", room_id, {"settings": data})
        self._sink.logged(doing.logged)
        return version

    async def blocked_terms(self, actor: UUID, room_id: UUID) -> list[BlockedTerm]:
        await self.require_moderator(actor, room_id)
        return await BlockedTerms(self._database).list(room_id)

    @whole
    async def replace_blocked_terms(
        self, actor: UUID, room_id: UUID, terms: Sequence[BlockedTerm], address: str = ""
    ) -> None:
        """Raises ``bad_pattern``, which names the term by its index, or ``busy``."""
        # First, so that only moderators can make the server compile patterns, and outside the transaction.
        await self.require_moderator(actor, room_id)
        await CompiledTerms.compile(terms)
        async with self._deed(actor, room_id, address) as doing:
            require_moderator(doing.actor, doing.now)
            await BlockedTerms(doing.transaction).replace(room_id, terms)
            doing.say("blocked-terms-changed", {"changedBy": str(actor)})
            await doing.audit("chat.blocked_terms", "room", room_id, {"terms": len(terms)})
        self._sink.logged(doing.logged)

    # People

    @whole
    async def ban(
        self,
        actor: UUID,
        room_id: UUID,
        user_id: UUID,
        seconds: int | None,
        reason: str = "",
        is_shadow: bool = False,
        address: str = "",
    ) -> Ban:
        """For ever without ``seconds``. Takes the place of a ban before, unless that one is stronger.

        What holds now is returned: a timeout changes nothing for somebody under a ban or a shadow ban, who
        would otherwise be free when it is over. Raises ``user_not_found``.
        """
        if seconds is not None and not MIN_TIMEOUT_SECONDS <= seconds <= MAX_TIMEOUT_SECONDS:
            raise Refusal("bad_frame", f"seconds: {MIN_TIMEOUT_SECONDS} to {MAX_TIMEOUT_SECONDS}.")
        async with self._deed(actor, room_id, address) as doing:
            target = await self._target(doing, user_id)
            until = doing.now + timedelta(seconds=seconds) if seconds is not None else None
            people = ChatPeople(doing.transaction)
            ban = await people.ban(room_id, user_id, actor, until, is_shadow, reason)
            if ban is None:
                return await self._standing_ban(doing, target)
            self._say_ban(doing, target, ban, seconds)
            details = {"seconds": seconds, "isShadow": is_shadow, "reason": reason}
            await doing.audit("chat.ban", "user", user_id, details)
        self._sink.logged(doing.logged)
        return ban

    @whole
    async def unban(self, actor: UUID, room_id: UUID, user_id: UUID, address: str = "") -> None:
        """Raises ``ban_not_found``."""
        async with self._deed(actor, room_id, address) as doing:
            target = await self._target(doing, user_id)
            ban = await ChatPeople(doing.transaction).unban(room_id, user_id)
            if ban is None:
                raise Refusal("ban_not_found", f"{target.username} is not banned.")
            kind = "shadow-unbanned" if ban.is_shadow else "user-unbanned"
            doing.say(kind, _about(target) | {"bannedBy": str(actor)})
            await doing.audit("chat.unban", "user", user_id, {"isShadow": ban.is_shadow})
        self._sink.logged(doing.logged)

    async def bans(self, actor: UUID, room_id: UUID, limit: int, after: UUID | None = None) -> list[Ban]:
        """Those that run, by the ids of the users, after the user ``after``."""
        await self.require_moderator(actor, room_id)
        return await ChatPeople(self._database).bans(room_id, limit, after)

    @whole
    async def add_moderator(self, actor: UUID, room_id: UUID, user_id: UUID, address: str = "") -> None:
        """Raises ``user_not_found``; ``cannot_moderate`` for the owner and who is banned."""
        async with self._deed(actor, room_id, address) as doing:
            require_owner(doing.actor)
            target = await doing.person(user_id)
            if target.is_owner or target.ban is not None:
                raise Refusal("cannot_moderate", f"{target.username} cannot be a moderator here.")
            if not await ChatPeople(doing.transaction).add_moderator(room_id, user_id, actor):
                return
            doing.say("moderator-added", _about(target))
            await doing.audit("chat.add_moderator", "user", user_id)
        self._sink.logged(doing.logged)

    @whole
    async def remove_moderator(self, actor: UUID, room_id: UUID, user_id: UUID, address: str = "") -> None:
        """Raises ``user_not_found``, also for somebody who is no moderator."""
        async with self._deed(actor, room_id, address) as doing:
            require_owner(doing.actor)
            target = await doing.person(user_id)
            if not await ChatPeople(doing.transaction).remove_moderator(room_id, user_id):
                raise Refusal("user_not_found", f"{target.username} is not a moderator here.")
            doing.say("moderator-removed", _about(target))
            await doing.audit("chat.remove_moderator", "user", user_id)
        self._sink.logged(doing.logged)

    async def moderators(self, actor: UUID, room_id: UUID) -> list[ChatModerator]:
        await self.require_moderator(actor, room_id)
        return await ChatPeople(self._database).moderators(room_id)

    # Messages that wait

    async def held(
        self, actor: UUID, room_id: UUID, limit: int, after: UUID | None = None
    ) -> list[StoredMessage]:
        """The oldest first, after the message ``after``."""
        await self.require_moderator(actor, room_id)
        return await ChatMessages(self._database).held(room_id, limit, after)

    @whole
    async def allow(self, actor: UUID, room_id: UUID, message_id: UUID, address: str = "") -> None:
        """Show a held message, after all that was written meanwhile. Raises ``message_not_found``."""
        async with self._deed(actor, room_id, address) as doing:
            message = await self._take_held(doing, message_id)
            await doing.audit("chat.allow", "message", message_id, {"userId": str(message.user_id)})
            offset = await ChatLog(doing.transaction).reserve(room_id)
            if offset is None:
                raise room_not_found()
            if not await ChatMessages(doing.transaction).allow(message_id, offset):
                raise _message_not_found()
        self._sink.logged([LoggedEntry(offset, message.as_new())])

    @whole
    async def deny(self, actor: UUID, room_id: UUID, message_id: UUID, address: str = "") -> None:
        """Never show a held message. Raises ``message_not_found``."""
        async with self._deed(actor, room_id, address) as doing:
            message = await self._take_held(doing, message_id)
            await doing.audit("chat.deny", "message", message_id, {"userId": str(message.user_id)})
            if not await ChatMessages(doing.transaction).deny(message_id, actor):
                raise _message_not_found()
            doing.say(DENIED, {"messageId": str(message_id), "userId": str(message.user_id)})
        self._sink.logged(doing.logged)

    # What several need

    def _deed(self, actor: UUID, room_id: UUID, address: str) -> AbstractAsyncContextManager[Deed]:
        return deed(self._database, actor, room_id, self._now(), address)

    async def _target(self, doing: Deed, user_id: UUID) -> RoomPerson:
        """Whom the actor may moderate."""
        require_moderator(doing.actor, doing.now)
        target = await doing.person(user_id)
        require_power_over(doing.actor, target)
        return target

    async def _standing_ban(self, doing: Deed, target: RoomPerson) -> Ban:
        ban = await ChatPeople(doing.transaction).find_ban(doing.room_id, target.user_id)
        if ban is None:
            raise Refusal("unavailable", "The ban before ended at this moment; try again.", retry_after=1)
        return ban

    async def _require_power_over_author(self, doing: Deed, message: StoredMessage) -> None:
        """Of people who are gone, and of one's own, everything may be deleted."""
        if message.user_id == doing.actor.user_id:
            return
        author = await ChatPeople(doing.transaction).person(doing.room_id, message.user_id)
        if author is not None:
            require_power_over(doing.actor, author)

    async def _take_held(self, doing: Deed, message_id: UUID) -> StoredMessage:
        require_moderator(doing.actor, doing.now)
        message = await ChatMessages(doing.transaction).take_held(doing.room_id, message_id)
        if message is None:
            raise _message_not_found()
        return message

    def _say_ban(self, doing: Deed, target: RoomPerson, ban: Ban, seconds: int | None) -> None:
        data = _about(target) | {"bannedBy": str(doing.actor.user_id)}
        if ban.is_shadow:
            doing.say("shadow-banned", data)
        elif ban.until is None:
            doing.say("user-banned", data)
        else:
            doing.say("user-timed-out", data | {"durationSec": seconds, "until": rfc3339(ban.until)})


def _about(person: RoomPerson) -> dict[str, Any]:
    return {"userId": str(person.user_id), "username": person.username}


def _message_not_found() -> Refusal:
    return Refusal("message_not_found", "There is no such message.")
