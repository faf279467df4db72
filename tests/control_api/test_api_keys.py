"""API keys over HTTP, and what a key stands for."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web

from control_api.app import ControlApi
from control_api.dispatch import Dispatcher, DispatchOptions
from control_api.errors import ApiError
from control_api.idempotency import Idempotency
from control_api.identity.authenticator import Authenticator
from control_api.identity.session_states import SessionStates
from control_api.identity.tokens import AccessTokens
from control_api.principal import Access, Principal
from control_api.routes.api_keys import ApiKeyRoutes
from control_api.routing import Call, Route
from control_api.services.api_keys import MOST_KEYS, ApiKeyLookup, ApiKeyService, Scope
from storage.bus import Bus
from storage.database import Database
from storage.repositories import User, Users, UserState
from tests.control_api.identity.house import SECRET, Unlimited
from tests.control_api.sample import Sample
from tests.control_api.serving import serve

GOOD = {"name": "Überwachung", "scopes": ["rooms:read"]}


@pytest.fixture
async def alice(database: Database) -> User:
    return await Users(database).add("alice", "alice@example.com", "hash")


@pytest.fixture
async def bob(database: Database) -> User:
    return await Users(database).add("bob", "bob@example.com", "hash")


@pytest.fixture
async def api(
    database: Database, aiohttp_client: Callable[..., Awaitable[Any]], alice: User, bob: User
) -> Sample:
    return await serve(ApiKeyRoutes(ApiKeyService(database)), database, aiohttp_client, alice, bob)


async def make(api: Sample, **fields: Any) -> Any:
    status, body, _ = await api.call("POST", "/api-keys", "alice", json={**GOOD, **fields})
    assert status == 201, body
    return body["data"]


async def test_a_key_is_shown_once(api: Sample, database: Database) -> None:
    made = await make(api)
    key = made.pop("key")
    assert key.startswith("msk_") and len(key) == 68 and key.startswith(made["prefix"])
    _, body, _ = await api.call("GET", "/api-keys", "alice")
    assert body["data"] == [made]
    assert (made["name"], made["scopes"], made["lastUsedAt"]) == ("Überwachung", ["rooms:read"], None)
    assert key not in str(await database.fetch("SELECT * FROM api_keys"))


async def test_a_key_stands_for_its_owner_with_its_scopes(
    api: Sample, database: Database, alice: User
) -> None:
    made = await make(api, scopes=["rooms:write", "rooms:read", "rooms:read"])
    key, key_id = made["key"], UUID(made["id"])
    lookup = ApiKeyLookup(database)
    scopes = frozenset({"rooms:read", "rooms:write"})
    assert await lookup.principal_of(key) == Principal(alice.id, alice.role, scopes=scopes, api_key_id=key_id)
    assert await lookup.principal_of(key) is not None
    _, body, _ = await api.call("GET", "/api-keys", "alice")
    assert body["data"][0]["lastUsedAt"] is not None


@pytest.mark.parametrize(
    "change",
    [
        lambda key: key[:-1],
        lambda key: key + "0",
        lambda key: key + "\n",
        lambda key: key.upper(),
        lambda key: key[:-1] + ("0" if key[-1] != "0" else "1"),
        lambda key: "",
        lambda key: "msk_" + "ü" * 64,
        lambda key: "msk_\0",
    ],
)
async def test_anything_but_the_key_stands_for_nobody(
    api: Sample, database: Database, change: Callable[[str], str]
) -> None:
    key = (await make(api))["key"]
    assert await ApiKeyLookup(database).principal_of(change(key)) is None


async def test_a_revoked_key_stands_for_nobody(api: Sample, database: Database) -> None:
    made = await make(api)
    status, body, _ = await api.call("DELETE", f"/api-keys/{made['id']}", "alice")
    assert (status, body) == (200, {"success": True, "data": None})
    assert await ApiKeyLookup(database).principal_of(made["key"]) is None
    status, body, _ = await api.call("DELETE", f"/api-keys/{made['id']}", "alice")
    assert (status, body["code"]) == (404, "api_key_not_found")


async def test_somebody_elses_keys_are_out_of_reach(api: Sample, database: Database) -> None:
    made = await make(api)
    status, body, _ = await api.call("DELETE", f"/api-keys/{made['id']}", "bob")
    assert (status, body["code"]) == (404, "api_key_not_found")
    _, body, _ = await api.call("GET", "/api-keys", "bob")
    assert body["data"] == []
    assert await ApiKeyLookup(database).principal_of(made["key"]) is not None


async def test_a_suspended_owner_has_no_keys_until_active_again(
    api: Sample, database: Database, alice: User
) -> None:
    key = (await make(api))["key"]
    await Users(database).set_state(alice.id, UserState.SUSPENDED)
    assert await ApiKeyLookup(database).principal_of(key) is None
    await Users(database).set_state(alice.id, UserState.ACTIVE)
    assert await ApiKeyLookup(database).principal_of(key) is not None


async def test_an_expired_key_stands_for_nobody(api: Sample, database: Database) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    made = await make(api, expiresAt=tomorrow.isoformat())
    assert datetime.fromisoformat(made["expiresAt"]) == tomorrow
    await database.execute("UPDATE api_keys SET expires_at = now() - interval '1 second'")
    assert await ApiKeyLookup(database).principal_of(made["key"]) is None


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\n"}, "name"),
        ({"name": "\x9b"}, "name"),
        ({"name": None}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["admin"]}, "scopes[0]"),
        ({"scopes": ["rooms:read"] * 100}, "scopes"),
        ({"scopes": "rooms:read"}, "scopes"),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, "expiresAt"),
        ({"expiresAt": "0001-01-01T00:00:00+23:59"}, "expiresAt"),
        ({"expiresAt": "9999-12-31T23:59:59-23:59"}, "expiresAt"),
        ({"expiresAt": "2099-01-01T00:00:00"}, "expiresAt"),
        ({"expiresAt": 5}, "expiresAt"),
        ({"key": "msk_mine"}, "key"),
    ],
)
async def test_a_wrong_request_names_the_field(api: Sample, fields: dict[str, Any], field: str) -> None:
    status, body, _ = await api.call("POST", "/api-keys", "alice", json={**GOOD, **fields})
    assert (status, body["details"][0]["field"]) == (400, field), body


async def test_keys_are_for_people_only(api: Sample, alice: User) -> None:
    every = frozenset(scope.value for scope in Scope)
    api.doorman.principals["a-key"] = Principal(alice.id, alice.role, scopes=every)
    for method, path in (("GET", "/api-keys"), ("POST", "/api-keys"), ("DELETE", f"/api-keys/{alice.id}")):
        options = {"json": GOOD} if method == "POST" else {}
        assert (await api.call(method, path, "a-key", **options))[0] == 403
        assert (await api.call(method, path, **options))[0] == 401


@pytest.mark.parametrize("text", ["1", "me", "' OR 1=1", "%2e%2e"])
async def test_what_is_no_id_is_no_key(api: Sample, text: str) -> None:
    assert (await api.call("DELETE", f"/api-keys/{text}", "alice"))[0] in (404, 405)


async def test_keys_come_page_by_page(api: Sample) -> None:
    made = [(await make(api))["id"] for _ in range(3)]
    _, first, _ = await api.call("GET", "/api-keys?limit=2", "alice")
    _, second, _ = await api.call("GET", f"/api-keys?limit=2&cursor={first['meta']['nextCursor']}", "alice")
    listed = [key["id"] for key in first["data"] + second["data"]]
    assert listed == sorted(made, reverse=True)
    assert second["meta"]["nextCursor"] is None


async def test_there_is_a_most_of_keys_also_for_many_at_once(database: Database, alice: User) -> None:
    service = ApiKeyService(database)

    async def add() -> object:
        return await service.create(alice.id, "x", [Scope.ROOMS_READ], None, "192.0.2.1")

    for _ in range(MOST_KEYS - 2):
        await add()
    outcomes = await asyncio.gather(*(add() for _ in range(5)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, ApiError)]
    assert [(error.status, error.code) for error in refused] == [(409, "too_many_api_keys")] * 3


async def test_making_and_revoking_stand_in_the_audit_log(
    api: Sample, database: Database, alice: User
) -> None:
    made = await make(api)
    await api.call("DELETE", f"/api-keys/{made['id']}", "alice")
    rows = await database.fetch(
        "SELECT actor_id, action, subject_id, details::text FROM audit_log ORDER BY id"
    )
    assert [(row["actor_id"], row["action"], row["subject_id"]) for row in rows] == [
        (alice.id, "api_key.created", made["id"]),
        (alice.id, "api_key.revoked", made["id"]),
    ]
    assert made["key"] not in str(rows)


async def test_a_key_opens_what_its_scopes_say(
    database: Database, alice: User, aiohttp_client: Callable[..., Awaitable[Any]]
) -> None:
    authenticator = Authenticator(
        AccessTokens(SECRET), SessionStates(database, Bus()), ApiKeyLookup(database)
    )
    options = DispatchOptions(lambda request: request.remote or "", lambda _: "the-request-id")
    dispatcher = Dispatcher(authenticator, Unlimited(), Idempotency(database), options)
    app = web.Application()
    ControlApi([ScopedRoutes()], dispatcher, "1.2.3", "http://localhost").add_to(app)
    client = await aiohttp_client(app)

    async def ask(key: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {key}"}
        async with client.get("/api/v1/rooms-of-mine", headers=headers) as response:
            return response.status, await response.json()

    service = ApiKeyService(database)
    good = await service.create(alice.id, "good", [Scope.ROOMS_READ], None, "192.0.2.1")
    narrow = await service.create(alice.id, "narrow", [Scope.USERS_READ], None, "192.0.2.1")
    assert await ask(good.key) == (200, {"success": True, "data": str(alice.id)})
    assert [(await ask(key))[1].get("code") for key in (narrow.key, "msk_" + "0" * 64)] == [
        "missing_scope",
        "invalid_api_key",
    ]
    await service.revoke(alice.id, good.stored.id, "192.0.2.1")
    assert (await ask(good.key))[0] == 401


class ScopedRoutes:
    """One route that keys with a scope may call."""

    def routes(self) -> list[Route]:
        scope = Scope.ROOMS_READ.value
        return [Route("GET", "/rooms-of-mine", self.mine, "Mine", Access.USER, response=str, scope=scope)]

    async def mine(self, call: Call[None, None]) -> str:
        return str(call.user_id)
