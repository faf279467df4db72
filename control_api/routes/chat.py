"""The chat over HTTP: tickets, history, settings, who is here; deleting, clearing and pinning messages."""

from http import HTTPStatus
from typing import Any, Final

from control_api.pagination import Page
from control_api.principal import Access
from control_api.routes.chat_views import (
    ChatSettingsBody,
    ChatSettingsView,
    ChatterView,
    MessageView,
    PinnedMessage,
    TicketView,
    message_view,
    settings_view,
)
from control_api.routing import Call, Reply, Route
from control_api.schemas import PageQuery
from control_api.services.chat import ChatService
from control_api.services.chat_tickets import TICKET_SECONDS, ChatTickets
from control_api.services.playback import Denial

READ: Final = "chat:read"
WRITE: Final = "chat:write"
MODERATE: Final = "chat:moderate"
NO_ROOM: Final = (HTTPStatus.NOT_FOUND, "room_not_found")
NO_MESSAGE: Final = (HTTPStatus.NOT_FOUND, "message_not_found")
NO_MODERATOR: Final = (HTTPStatus.FORBIDDEN, "not_a_moderator")
CANNOT_MODERATE: Final = (HTTPStatus.FORBIDDEN, "cannot_moderate")
CLOSED: Final = tuple((HTTPStatus.FORBIDDEN, each.value) for each in Denial if each is not Denial.ROOM_FULL)

_ROOM: Final = "/rooms/{id}"


class ChatRoutes:
    def __init__(self, chat: ChatService, tickets: ChatTickets) -> None:
        self._chat = chat
        self._tickets = tickets

    def routes(self) -> list[Route]:
        return [*self._entry_routes(), *self._message_routes(), *self._settings_routes()]

    def _entry_routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/chat/tickets",
                self.ticket,
                "A ticket that opens one connection to /ws as you, where headers cannot be set",
                Access.USER,
                response=TicketView,
                scope=WRITE,
            ),
            Route(
                "GET",
                f"{_ROOM}/chatters",
                self.chatters,
                "Who is in the chat and has signed in, for its moderators",
                Access.USER,
                query=PageQuery,
                response=list[ChatterView],
                errors=(NO_ROOM, NO_MODERATOR),
                scope=MODERATE,
            ),
        ]

    def _message_routes(self) -> list[Route]:
        moderating: dict[str, Any] = {"access": Access.USER, "scope": MODERATE}
        return [
            Route(
                "GET",
                f"{_ROOM}/messages",
                self.messages,
                "What was said in the chat, the newest first",
                query=PageQuery,
                response=list[MessageView],
                errors=(NO_ROOM, *CLOSED),
                scope=READ,
            ),
            Route(
                "DELETE",
                f"{_ROOM}/messages/{{mid}}",
                self.delete,
                "Delete a message: one's own, or as a moderator",
                errors=(NO_ROOM, NO_MESSAGE, NO_MODERATOR, CANNOT_MODERATE),
                **moderating,
            ),
            Route(
                "DELETE",
                f"{_ROOM}/messages",
                self.clear,
                "Clear the chat: no message until now is shown any more",
                errors=(NO_ROOM, NO_MODERATOR),
                **moderating,
            ),
            *self._pin_routes(moderating),
        ]

    def _pin_routes(self, moderating: dict[str, Any]) -> list[Route]:
        path, errors = f"{_ROOM}/pinned-message", (NO_ROOM, NO_MESSAGE, NO_MODERATOR)
        return [
            Route(
                "PUT",
                path,
                self.pin,
                "Pin a message above the chat",
                body=PinnedMessage,
                errors=errors,
                **moderating,
            ),
            Route("DELETE", path, self.unpin, "Unpin the message", errors=errors, **moderating),
        ]

    def _settings_routes(self) -> list[Route]:
        path = f"{_ROOM}/chat-settings"
        return [
            Route(
                "GET",
                path,
                self.settings,
                "Who may write in the chat, and what",
                response=ChatSettingsView,
                errors=(NO_ROOM, *CLOSED),
                scope=READ,
                gives_etag=True,
            ),
            Route(
                "PUT",
                path,
                self.change_settings,
                "Decide who may write in the chat, and what",
                Access.USER,
                body=ChatSettingsBody,
                response=ChatSettingsView,
                errors=(NO_ROOM, NO_MODERATOR),
                scope=MODERATE,
                takes_if_match=True,
                gives_etag=True,
            ),
        ]

    async def ticket(self, call: Call[None, None]) -> TicketView:
        ticket = await self._tickets.issue(call.principal)
        return TicketView(ticket=ticket, expires_in=int(TICKET_SECONDS))

    async def chatters(self, call: Call[None, PageQuery]) -> Page[ChatterView]:
        query = call.query
        page = await self._chat.chatters(call.principal, call.path["id"], query.cursor, query.limit)
        return page.map(lambda each: ChatterView(user_id=each.user_id, username=each.username))

    async def messages(self, call: Call[None, PageQuery]) -> Page[MessageView]:
        query = call.query
        page = await self._chat.messages(call.principal, call.path["id"], query.cursor, query.limit)
        return page.map(message_view)

    async def delete(self, call: Call[None, None]) -> None:
        await self._chat.delete(call.principal, call.path["id"], call.path_id("mid", "message"), call.address)

    async def clear(self, call: Call[None, None]) -> None:
        await self._chat.clear(call.principal, call.path["id"], call.address)

    async def pin(self, call: Call[PinnedMessage, None]) -> None:
        await self._chat.pin(call.principal, call.path["id"], call.body.message_id, call.address)

    async def unpin(self, call: Call[None, None]) -> None:
        await self._chat.pin(call.principal, call.path["id"], None, call.address)

    async def settings(self, call: Call[None, None]) -> Reply:
        settings, version = await self._chat.settings(call.principal, call.path["id"])
        return Reply(settings_view(settings), version=version)

    async def change_settings(self, call: Call[ChatSettingsBody, None]) -> Reply:
        settings = call.body.settings()
        version = await self._chat.change_settings(
            call.principal, call.path["id"], settings, call.if_match, call.address
        )
        return Reply(settings_view(settings), version=version)
