"""The devices on which one is signed in."""

from http import HTTPStatus

from control_api.pagination import Page
from control_api.principal import Access
from control_api.routing import Call, Route
from control_api.schemas import PageQuery
from control_api.services.sessions import SessionService, SessionView


class SessionRoutes:
    def __init__(self, sessions: SessionService) -> None:
        self._sessions = sessions

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/auth/sessions",
                self.list,
                "Where the user is signed in",
                access=Access.USER,
                query=PageQuery,
                response=list[SessionView],
            ),
            Route(
                "DELETE",
                "/auth/sessions/{id}",
                self.revoke,
                "Sign out a device",
                access=Access.USER,
                errors=((HTTPStatus.NOT_FOUND, "session_not_found"),),
            ),
        ]

    async def list(self, call: Call[None, PageQuery]) -> Page[SessionView]:
        return await self._sessions.list_open(
            call.user_id, call.principal.session_id, call.query.cursor, call.query.limit
        )

    async def revoke(self, call: Call[None, None]) -> None:
        await self._sessions.revoke(call.user_id, call.path_id("id", "session"), call.address)
