"""What moderators of a chat do: bans, moderators, blocked terms, and messages that wait for a decision."""

from http import HTTPStatus
from typing import Any, Final

from control_api.errors import invalid
from control_api.pagination import Page
from control_api.ports import ChatModeration
from control_api.principal import Access
from control_api.routes.chat import CANNOT_MODERATE, MODERATE, NO_MESSAGE, NO_MODERATOR, NO_ROOM
from control_api.routes.chat_views import (
    BanView,
    HeldMessageView,
    ModeratorView,
    NewBan,
    Terms,
    TermsView,
    ban_view,
    held_view,
    moderator_view,
    terms_view,
)
from control_api.routing import Call, Route
from control_api.schemas import PageQuery
from control_api.services.chat import ChatModerationService, WantedBan
from storage.repositories.blocked_terms import BlockedTerm

NO_USER: Final = (HTTPStatus.NOT_FOUND, "user_not_found")
NO_BAN: Final = (HTTPStatus.NOT_FOUND, "ban_not_found")
BAD_PATTERN: Final = (HTTPStatus.BAD_REQUEST, "bad_pattern")
NOT_OWNER: Final = (HTTPStatus.FORBIDDEN, "not_room_owner")

_ROOM: Final = "/rooms/{id}"


class ChatModerationRoutes:
    def __init__(self, service: ChatModerationService, moderation: ChatModeration) -> None:
        self._service = service
        self._moderation = moderation

    def routes(self) -> list[Route]:
        common: dict[str, Any] = {"access": Access.USER, "scope": MODERATE}
        return [
            *self._ban_routes(common),
            *self._moderator_routes(common),
            *self._term_routes(common),
            *self._held_routes(common),
        ]

    def _ban_routes(self, common: dict[str, Any]) -> list[Route]:
        path = f"{_ROOM}/bans"
        return [
            Route(
                "GET",
                path,
                self.bans,
                "Who is banned or timed out in the chat",
                query=PageQuery,
                response=list[BanView],
                errors=(NO_ROOM, NO_MODERATOR),
                **common,
            ),
            Route(
                "POST",
                path,
                self.ban,
                "Ban somebody from the chat, for a time or for good; takes the place of a ban before",
                body=NewBan,
                response=BanView,
                status=HTTPStatus.CREATED,
                errors=(NO_ROOM, NO_USER, NO_MODERATOR, CANNOT_MODERATE),
                **common,
            ),
            Route(
                "DELETE",
                f"{path}/{{uid}}",
                self.unban,
                "Lift a ban or timeout",
                errors=(NO_ROOM, NO_USER, NO_BAN, NO_MODERATOR, CANNOT_MODERATE),
                **common,
            ),
        ]

    def _moderator_routes(self, common: dict[str, Any]) -> list[Route]:
        path, errors = f"{_ROOM}/moderators", (NO_ROOM, NO_USER, NOT_OWNER)
        return [
            Route(
                "GET",
                path,
                self.moderators,
                "Who moderates the chat beside the owner",
                response=list[ModeratorView],
                errors=(NO_ROOM, NO_MODERATOR),
                **common,
            ),
            Route(
                "PUT",
                f"{path}/{{uid}}",
                self.add_moderator,
                "Let somebody moderate",
                errors=(*errors, CANNOT_MODERATE),
                **common,
            ),
            Route(
                "DELETE",
                f"{path}/{{uid}}",
                self.remove_moderator,
                "Let somebody moderate no longer",
                errors=errors,
                **common,
            ),
        ]

    def _term_routes(self, common: dict[str, Any]) -> list[Route]:
        path = f"{_ROOM}/blocked-terms"
        common = common | {"response": TermsView}
        errors = (NO_ROOM, NO_MODERATOR)
        return [
            Route(
                "GET",
                path,
                self.terms,
                "Words and patterns that the chat does not take",
                errors=errors,
                **common,
            ),
            Route(
                "PUT",
                path,
                self.replace_terms,
                "Replace all words and patterns that the chat does not take",
                body=Terms,
                errors=(*errors, BAD_PATTERN),
                **common,
            ),
        ]

    def _held_routes(self, common: dict[str, Any]) -> list[Route]:
        path, errors = f"{_ROOM}/held-messages", (NO_ROOM, NO_MESSAGE, NO_MODERATOR)
        return [
            Route(
                "GET",
                path,
                self.held,
                "Messages that wait for a decision, the oldest first",
                query=PageQuery,
                response=list[HeldMessageView],
                errors=(NO_ROOM, NO_MODERATOR),
                **common,
            ),
            Route(
                "POST",
                f"{path}/{{mid}}/allow",
                self.allow,
                "Show a message that waits",
                errors=errors,
                **common,
            ),
            Route(
                "POST",
                f"{path}/{{mid}}/deny",
                self.deny,
                "Show a message that waits to nobody",
                errors=errors,
                **common,
            ),
        ]

    async def bans(self, call: Call[None, PageQuery]) -> Page[BanView]:
        query = call.query
        page = await self._service.bans(call.principal, call.path["id"], query.cursor, query.limit)
        return page.map(ban_view)

    async def ban(self, call: Call[NewBan, None]) -> BanView:
        body = call.body
        user = body.user_id or body.username
        if user is None or (body.user_id is not None and body.username is not None):
            raise invalid("userId", "say who by either userId or username")
        wanted = WantedBan(user, body.duration_sec, body.reason, body.shadow)
        return ban_view(await self._service.ban(call.principal, call.path["id"], wanted, call.address))

    async def unban(self, call: Call[None, None]) -> None:
        actor, room_id = await self._service.room(call.principal, call.path["id"])
        await self._moderation.unban(actor, room_id, call.path_id("uid", "user"), call.address)

    async def moderators(self, call: Call[None, None]) -> Page[ModeratorView]:
        actor, room_id = await self._service.room(call.principal, call.path["id"])
        return Page([moderator_view(each) for each in await self._moderation.moderators(actor, room_id)])

    async def add_moderator(self, call: Call[None, None]) -> None:
        actor, room_id = await self._service.room(call.principal, call.path["id"])
        await self._moderation.add_moderator(actor, room_id, call.path_id("uid", "user"), call.address)

    async def remove_moderator(self, call: Call[None, None]) -> None:
        actor, room_id = await self._service.room(call.principal, call.path["id"])
        await self._moderation.remove_moderator(actor, room_id, call.path_id("uid", "user"), call.address)

    async def terms(self, call: Call[None, None]) -> TermsView:
        actor, room_id = await self._service.room(call.principal, call.path["id"])
        return terms_view(await self._moderation.blocked_terms(actor, room_id))

    async def replace_terms(self, call: Call[Terms, None]) -> TermsView:
        terms = [BlockedTerm(term.text, term.is_regex, term.action) for term in call.body.terms]
        return terms_view(
            await self._service.replace_terms(call.principal, call.path["id"], terms, call.address)
        )

    async def held(self, call: Call[None, PageQuery]) -> Page[HeldMessageView]:
        query = call.query
        page = await self._service.held(call.principal, call.path["id"], query.cursor, query.limit)
        return page.map(held_view)

    async def allow(self, call: Call[None, None]) -> None:
        actor, room_id = await self._service.room(call.principal, call.path["id"])
        await self._moderation.allow(actor, room_id, call.path_id("mid", "message"), call.address)

    async def deny(self, call: Call[None, None]) -> None:
        actor, room_id = await self._service.room(call.principal, call.path["id"])
        await self._moderation.deny(actor, room_id, call.path_id("mid", "message"), call.address)
