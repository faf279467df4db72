"""The chat as it is asked for and answered."""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta, field

from control_api.schemas import Body, Data
from control_api.services.chat import MAX_REASON, MAX_TERM
from control_api.texts import LINE_PATTERN
from storage.repositories.blocked_terms import MAX_TERMS, BlockedTerm, TermAction
from storage.repositories.chat_messages import StoredMessage
from storage.repositories.chat_people import Ban, ChatModerator
from storage.repositories.chat_rooms import ChatSettings, LinkPolicy

MAX_TIMEOUT: Final = 14 * 24 * 60 * 60
MAX_SLOW_MODE: Final = 120
MAX_FOLLOWED: Final = 10 * 366 * 24 * 60 * 60


Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""In UTC and milliseconds, as in the chat's frames."""


class MentionView(Data):
    user_id: UUID
    username: str


class MessageView(Data):
    """As in the chat's ``new-message`` frame. ``badge``: ``owner``, ``moderator``, ``staff``, ``subscriber``
    or null.
    """

    room_id: UUID
    offset: int
    id: UUID
    user_id: UUID
    username: str
    display_name: str
    badge: str | None
    message: str
    timestamp: Moment
    reply_to: UUID | None
    mentions: list[MentionView]


class HeldMessageView(Data):
    """A message that waits for a moderator; ``reason`` says why."""

    room_id: UUID
    id: UUID
    user_id: UUID
    username: str
    display_name: str
    message: str
    timestamp: Moment
    reply_to: UUID | None
    mentions: list[MentionView]
    reason: str


class ChatSettingsBody(Body):
    """All of them; what is left out is as in a new room.

    ``slowModeSec`` is 0, or 3 and more. ``followersOnlySec``: null lets everybody speak, 0 all followers,
    more those who follow for so long.
    """

    slow_mode_sec: Annotated[int, Meta(ge=0, le=MAX_SLOW_MODE)] = 0
    followers_only_sec: Annotated[int, Meta(ge=0, le=MAX_FOLLOWED)] | None = None
    subscribers_only: bool = False
    emote_only: bool = False
    unique_chat: bool = False
    links: LinkPolicy = LinkPolicy.ALLOW

    def settings(self) -> ChatSettings:
        return ChatSettings(
            self.slow_mode_sec,
            self.followers_only_sec,
            self.subscribers_only,
            self.emote_only,
            self.unique_chat,
            self.links,
        )


class ChatSettingsView(Data):
    """As in the chat's ``settings-changed`` frame."""

    slow_mode_sec: int
    followers_only_sec: int | None
    subscribers_only: bool
    emote_only: bool
    unique_chat: bool
    links: LinkPolicy


class PinnedMessage(Body):
    message_id: UUID


class NewBan(Body):
    """Of one user, by id or name; for ever without ``durationSec``. Of a shadow ban they do not learn.

    What ends takes the place neither of a ban without end nor of a shadow ban: the answer is what holds.
    """

    user_id: UUID | None = None
    username: Annotated[str, Meta(min_length=1, max_length=64, pattern=LINE_PATTERN)] | None = None
    duration_sec: Annotated[int, Meta(ge=1, le=MAX_TIMEOUT)] | None = None
    reason: Annotated[str, Meta(max_length=MAX_REASON, pattern=LINE_PATTERN)] = ""
    shadow: bool = False


class BanView(Data):
    """A timeout has an ``until``, a ban has none."""

    user_id: UUID
    username: str
    until: datetime | None
    reason: str
    shadow: bool
    banned_by: UUID
    created_at: datetime


class ModeratorView(Data):
    user_id: UUID
    username: str
    display_name: str
    added_by: UUID
    created_at: datetime


class Term(Body):
    """``text`` is a word or phrase, or a pattern in the syntax of RE2."""

    text: Annotated[str, Meta(min_length=1, max_length=MAX_TERM, pattern=LINE_PATTERN)]
    is_regex: bool = False
    action: TermAction = TermAction.REFUSE


class Terms(Body):
    terms: Annotated[list[Term], Meta(max_length=MAX_TERMS)]


class TermView(Data):
    text: str
    is_regex: bool
    action: TermAction


class TermsView(Data):
    terms: list[TermView] = field(default_factory=list)


class ChatterView(Data):
    user_id: UUID
    username: str


class TicketView(Data):
    """``ticket`` opens one connection to ``/ws?ticket=``, within ``expiresIn`` seconds."""

    ticket: str
    expires_in: int


def message_view(message: StoredMessage) -> MessageView:
    assert message.offset is not None
    return MessageView(
        room_id=message.room_id,
        offset=message.offset,
        id=message.id,
        user_id=message.user_id,
        username=message.username,
        display_name=message.display_name,
        badge=message.badge,
        message=message.message,
        timestamp=_moment(message.created_at),
        reply_to=message.reply_to,
        mentions=_mentions(message),
    )


def held_view(message: StoredMessage) -> HeldMessageView:
    return HeldMessageView(
        room_id=message.room_id,
        id=message.id,
        user_id=message.user_id,
        username=message.username,
        display_name=message.display_name,
        message=message.message,
        timestamp=_moment(message.created_at),
        reply_to=message.reply_to,
        mentions=_mentions(message),
        reason=message.hold_reason or "",
    )


def settings_view(settings: ChatSettings) -> ChatSettingsView:
    return ChatSettingsView(
        slow_mode_sec=settings.slow_mode_seconds,
        followers_only_sec=settings.followers_only_seconds,
        subscribers_only=settings.subscribers_only,
        emote_only=settings.emote_only,
        unique_chat=settings.unique_chat,
        links=settings.links,
    )


def ban_view(ban: Ban) -> BanView:
    return BanView(
        user_id=ban.user_id,
        username=ban.username,
        until=ban.until,
        reason=ban.reason,
        shadow=ban.is_shadow,
        banned_by=ban.created_by,
        created_at=ban.created_at,
    )


def moderator_view(moderator: ChatModerator) -> ModeratorView:
    return ModeratorView(
        user_id=moderator.user_id,
        username=moderator.username,
        display_name=moderator.display_name,
        added_by=moderator.added_by,
        created_at=moderator.created_at,
    )


def terms_view(terms: list[BlockedTerm]) -> TermsView:
    return TermsView(
        terms=[TermView(text=term.text, is_regex=term.is_regex, action=term.action) for term in terms]
    )


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _mentions(message: StoredMessage) -> list[MentionView]:
    return [MentionView(user_id=each.user_id, username=each.username) for each in message.mentions]
