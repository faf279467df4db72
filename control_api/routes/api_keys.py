"""API keys: ``/api-keys``."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta

from control_api.pagination import Page
from control_api.principal import Access
from control_api.routing import Call, Route
from control_api.schemas import Body, Data, PageQuery
from control_api.services.api_keys import ApiKeyService, Scope
from storage.repositories.api_keys import ApiKey

Name = Annotated[
    str, Meta(min_length=1, max_length=100, pattern=r"^(?![\s\S]*[\u0000-\u001f\u007f-\u009f])[\s\S]*\S")
]


class NewKey(Body):
    """Without ``expires_at`` the key is good until it is revoked."""

    name: Name
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=len(Scope))]
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


class Key(Data):
    """``prefix`` is how the key begins. ``last_used_at`` is exact to a minute."""

    id: UUID
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


class KeyWithSecret(Key):
    """``key`` is shown this once."""

    key: str


class ApiKeyRoutes:
    """Open to people only: a key must not make keys."""

    def __init__(self, api_keys: ApiKeyService) -> None:
        self._api_keys = api_keys

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/api-keys",
                self.list,
                "List your API keys",
                Access.USER,
                query=PageQuery,
                response=list[Key],
            ),
            Route(
                "POST",
                "/api-keys",
                self.create,
                "Make an API key; it is shown this once",
                Access.USER,
                body=NewKey,
                response=KeyWithSecret,
                status=HTTPStatus.CREATED,
                errors=[(409, "too_many_api_keys")],
            ),
            Route(
                "DELETE",
                "/api-keys/{id}",
                self.revoke,
                "Revoke an API key",
                Access.USER,
                errors=[(404, "api_key_not_found")],
            ),
        ]

    async def list(self, call: Call[None, PageQuery]) -> Page[Key]:
        page = await self._api_keys.list_of(call.user_id, call.query.limit, call.query.cursor)
        return page.map(lambda key: Key(**_fields(key)))

    async def create(self, call: Call[NewKey, None]) -> KeyWithSecret:
        body = call.body
        issued = await self._api_keys.create(
            call.user_id, body.name, body.scopes, body.expires_at, call.address
        )
        return KeyWithSecret(**_fields(issued.stored), key=issued.key)

    async def revoke(self, call: Call[None, None]) -> None:
        await self._api_keys.revoke(call.user_id, call.path_id("id", "api key"), call.address)


def _fields(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": list(key.scopes),
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "expires_at": key.expires_at,
    }
