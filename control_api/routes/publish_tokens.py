"""`POST /rooms/{id}/publish-token`: what a browser publishes to a room with."""

from datetime import datetime
from http import HTTPStatus
from typing import Any

from control_api.principal import Access
from control_api.routing import Call, Route
from control_api.schemas import Data
from control_api.services.publish_tokens import PublishTokens


class PublishToken(Data):
    """``token`` is the bearer of WHIP, and of `/rtc` for the host. Who publishes when it expires goes on."""

    token: str
    expires_at: datetime
    whip_url: str


class PublishTokenRoutes:
    def __init__(self, tokens: PublishTokens) -> None:
        self._tokens = tokens

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/rooms/{id}/publish-token",
                self.issue,
                "Get a token to publish to your room from a browser; the stream key stays as it is",
                Access.USER,
                response=PublishToken,
                errors=((HTTPStatus.NOT_FOUND, "room_not_found"), (HTTPStatus.FORBIDDEN, "not_room_owner")),
                scope="streams:write",
            )
        ]

    async def issue(self, call: Call[Any, Any]) -> PublishToken:
        made = await self._tokens.issue(call.principal, call.path_id("id", "room"))
        return PublishToken(token=made.token, expires_at=made.expires_at, whip_url=made.whip_url)
