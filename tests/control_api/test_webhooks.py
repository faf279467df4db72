"""Webhook endpoints and their deliveries over HTTP."""

from base64 import b64decode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from control_api.outbound import Outbound
from control_api.principal import Principal
from control_api.routes.webhooks import WebhooksRoutes
from control_api.services.webhooks import MAX_ENDPOINTS, Webhooks
from storage.database import Database
from storage.ids import new_id
from storage.repositories import Role, User, Users
from storage.repositories.webhook_deliveries import MAX_WAITING, DeliveryState, WebhookDeliveries
from storage.repositories.webhooks import DisabledReason, WebhookEndpoints
from tests.control_api.hostile_values import NOBODY
from tests.control_api.sample import Sample
from tests.control_api.serving import serve

GOOD = {"url": "https://receiver.example.com/hook", "events": ["room.started"]}


@pytest.fixture
async def users(database: Database) -> dict[str, User]:
    return {
        name: await Users(database).add(name, f"{name}@example.com", "hash", role)
        for name, role in (
            ("alice", Role.USER),
            ("bob", Role.USER),
            ("root", Role.ADMIN),
            ("boss", Role.ADMIN),
        )
    }


@pytest.fixture
async def api(
    database: Database, aiohttp_client: Callable[..., Awaitable[Any]], users: dict[str, User]
) -> Sample:
    noun = WebhooksRoutes(Webhooks(database, Outbound()))
    return await serve(noun, database, aiohttp_client, *users.values())


async def make(api: Sample, user: str = "alice", **fields: Any) -> Any:
    status, body, _ = await api.call("POST", "/webhook-endpoints", user, json={**GOOD, **fields})
    assert status == 201, body
    return body["data"]


async def refusal(api: Sample, method: str, path: str, user: str | None = "alice", **options: Any) -> Any:
    """(status, code, fields) of what has to be a failure."""
    status, body, _ = await api.call(method, path, user, **options)
    assert body["success"] is False
    return status, body["code"], [detail["field"] for detail in body["details"]]


async def deliver(database: Database, endpoint: Any, count: int = 1) -> None:
    now = datetime.now(UTC)
    given = [(UUID(endpoint["id"]), "room.started", "{}")] * count
    await WebhookDeliveries(database).add(given, now)


async def test_a_secret_is_shown_once(api: Sample) -> None:
    made = await make(api, description="Überwachung", events=["room.ended", "follow", "follow"])
    secret = made.pop("secret")
    assert secret.startswith("whsec_") and 24 <= len(b64decode(secret.removeprefix("whsec_"))) <= 64
    _, one, headers = await api.call("GET", f"/webhook-endpoints/{made['id']}", "alice")
    assert one["data"] == made and headers["ETag"] == '"1"'
    _, body, _ = await api.call("GET", "/webhook-endpoints", "alice")
    assert body["data"] == [made]
    assert (made["enabled"], made["serverWide"], made["events"]) == (True, False, ["follow", "room.ended"])


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"url": "http://receiver.example.com/"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, "url"),
        ({"url": "https://169.254.169.254/latest/"}, "url"),
        ({"url": "https://localhost/"}, "url"),
        ({"url": "https://user:password@example.com/"}, "url"),
        ({"url": "https://example.com:6379/"}, "url"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"url": ""}, "url"),
        ({"url": "https://example.com/" + "x" * 2000}, "url"),
        ({"url": 5}, "url"),
        ({"events": []}, "events"),
        ({"events": ["room.exploded"]}, "events[0]"),
        ({"events": ["follow"] * 51}, "events"),
        ({"events": "follow"}, "events"),
        ({"description": "x" * 201}, "description"),
        ({"description": "a\nb"}, "description"),
        ({"enabled": "yes"}, "enabled"),
        ({"secret": "mine"}, "secret"),
    ],
)
async def test_bad_input_is_named(api: Sample, fields: dict[str, Any], field: str) -> None:
    told = await refusal(api, "POST", "/webhook-endpoints", json={**GOOD, **fields})
    assert told == (400, "invalid_request", [field])


async def test_nobody_without_signing_in(api: Sample) -> None:
    assert (await refusal(api, "GET", "/webhook-endpoints", None))[0] == 401


async def test_an_api_key_needs_the_scope(api: Sample, users: dict[str, User]) -> None:
    api.doorman.principals["key"] = Principal(
        users["alice"].id, Role.USER, scopes=frozenset({"webhooks:read"})
    )
    status, _, _ = await api.call("GET", "/webhook-endpoints", "key")
    assert status == 200
    assert (await refusal(api, "POST", "/webhook-endpoints", "key", json=GOOD))[:2] == (403, "missing_scope")


async def test_endpoints_are_bounded(api: Sample) -> None:
    for _ in range(MAX_ENDPOINTS):
        await make(api)
    told = await refusal(api, "POST", "/webhook-endpoints", json=GOOD)
    assert told[:2] == (409, "too_many_webhook_endpoints")
    await make(api, "bob")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"enabled": False}),
        ("DELETE", "", None),
        ("POST", "/rotate-secret", None),
        ("GET", "/deliveries", None),
        ("POST", f"/deliveries/{NOBODY}/retry", None),
    ],
)
async def test_others_do_not_learn_of_it(api: Sample, method: str, path: str, body: Any) -> None:
    made = await make(api)
    options = {"json": body} if body is not None else {}
    for endpoint_id, user in ((made["id"], "bob"), (made["id"], "root"), (new_id(), "alice"), ("x", "alice")):
        told = await refusal(api, method, f"/webhook-endpoints/{endpoint_id}{path}", user, **options)
        assert told[:2] == (404, "webhook_endpoint_not_found")


async def test_server_wide_ones_are_for_administrators(api: Sample) -> None:
    told = await refusal(api, "POST", "/webhook-endpoints", json={**GOOD, "serverWide": True})
    assert told[:2] == (403, "forbidden")
    made = await make(api, "root", serverWide=True)
    status, _, _ = await api.call("GET", f"/webhook-endpoints/{made['id']}", "boss")
    assert status == 200
    _, body, _ = await api.call("GET", "/webhook-endpoints", "boss")
    assert [endpoint["id"] for endpoint in body["data"]] == [made["id"]]
    assert (await refusal(api, "GET", f"/webhook-endpoints/{made['id']}"))[0] == 404


async def test_changes_one_thing_and_leaves_the_others(api: Sample) -> None:
    made = await make(api, description="mine")
    path = f"/webhook-endpoints/{made['id']}"
    status, body, headers = await api.call("PATCH", path, "alice", json={"events": ["follow"]})
    assert (status, headers["ETag"]) == (200, '"2"')
    assert (body["data"]["events"], body["data"]["description"]) == (["follow"], "mine")
    told = await refusal(api, "PATCH", path, json={"url": "https://10.0.0.1/"})
    assert told == (400, "invalid_request", ["url"])


async def test_change_of_an_old_version_is_refused(api: Sample) -> None:
    made = await make(api)
    path = f"/webhook-endpoints/{made['id']}"
    first = {"If-Match": '"1"'}
    status, _, _ = await api.call("PATCH", path, "alice", json={"enabled": False}, headers=first)
    assert status == 200
    told = await refusal(api, "PATCH", path, json={"enabled": True}, headers=first)
    assert told[:2] == (412, "version_mismatch")


async def test_enabling_again_forgets_why_it_was_disabled(api: Sample, database: Database) -> None:
    made = await make(api)
    endpoints = WebhookEndpoints(database)
    await endpoints.note_failure(UUID(made["id"]), datetime.now(UTC))
    await endpoints.disable(UUID(made["id"]), DisabledReason.FAILING)
    path = f"/webhook-endpoints/{made['id']}"
    _, body, _ = await api.call("GET", path, "alice")
    assert (body["data"]["enabled"], body["data"]["disabledReason"]) == (False, "failing")
    _, body, _ = await api.call("PATCH", path, "alice", json={"enabled": True})
    data = body["data"]
    assert (data["enabled"], data["disabledReason"], data["failingSince"]) == (True, None, None)


async def test_a_new_secret_is_another(api: Sample) -> None:
    made = await make(api)
    status, body, _ = await api.call("POST", f"/webhook-endpoints/{made['id']}/rotate-secret", "alice")
    assert status == 200
    assert body["data"]["secret"].startswith("whsec_") and body["data"]["secret"] != made["secret"]


async def test_deleted_is_gone_with_its_deliveries(api: Sample, database: Database) -> None:
    made = await make(api)
    await deliver(database, made)
    status, _, _ = await api.call("DELETE", f"/webhook-endpoints/{made['id']}", "alice")
    assert status == 200
    assert (await refusal(api, "GET", f"/webhook-endpoints/{made['id']}"))[0] == 404
    assert await database.fetch_value("SELECT count(*) FROM webhook_deliveries") == 0


async def test_what_was_done_is_in_the_audit_log_without_the_address(api: Sample, database: Database) -> None:
    made = await make(api, url="https://receiver.example.com/hook?token=hidden")
    await api.call("DELETE", f"/webhook-endpoints/{made['id']}", "alice")
    rows = await database.fetch("SELECT action, details::text FROM audit_log ORDER BY id")
    assert [row[0] for row in rows] == ["webhook_endpoint.created", "webhook_endpoint.deleted"]
    assert "hidden" not in str([tuple(row) for row in rows])


async def test_deliveries_come_in_pages(api: Sample, database: Database) -> None:
    made = await make(api)
    await deliver(database, made, 5)
    path = f"/webhook-endpoints/{made['id']}/deliveries"
    seen: list[str] = []
    cursor = ""
    for _ in range(3):
        _, body, _ = await api.call("GET", f"{path}?limit=2{cursor}", "alice")
        seen += [delivery["id"] for delivery in body["data"]]
        cursor = f"&cursor={body['meta']['nextCursor']}"
    assert body["meta"]["nextCursor"] is None
    assert len(seen) == 5 and seen == sorted(seen, reverse=True)
    for bad in ("cursor=x", "cursor=WzFd", "limit=0", "limit=101", "limit=x", "more=1"):
        assert (await refusal(api, "GET", f"{path}?{bad}"))[0] == 400


async def test_retry_of_any_delivery_of_the_endpoint(api: Sample, database: Database) -> None:
    made, other = await make(api), await make(api)
    await deliver(database, made)
    await database.execute("UPDATE webhook_deliveries SET state = 'failed', next_attempt_at = NULL, step = 9")
    _, body, _ = await api.call("GET", f"/webhook-endpoints/{made['id']}/deliveries", "alice")
    delivery = body["data"][0]
    assert (delivery["state"], delivery["event"]) == ("failed", "room.started")
    path = f"deliveries/{delivery['id']}/retry"
    status, body, _ = await api.call("POST", f"/webhook-endpoints/{made['id']}/{path}", "alice")
    assert (status, body["data"]["state"]) == (202, "pending")
    told = await refusal(api, "POST", f"/webhook-endpoints/{other['id']}/{path}")
    assert told[:2] == (404, "webhook_delivery_not_found")


async def test_no_retry_for_a_disabled_endpoint(api: Sample, database: Database) -> None:
    made = await make(api)
    await deliver(database, made)
    await api.call("PATCH", f"/webhook-endpoints/{made['id']}", "alice", json={"enabled": False})
    _, body, _ = await api.call("GET", f"/webhook-endpoints/{made['id']}/deliveries", "alice")
    assert body["data"][0]["state"] == "failed"
    path = f"/webhook-endpoints/{made['id']}/deliveries/{body['data'][0]['id']}/retry"
    assert (await refusal(api, "POST", path))[:2] == (409, "webhook_endpoint_disabled")


async def test_waiting_deliveries_are_bounded(api: Sample, database: Database) -> None:
    made = await make(api)
    await deliver(database, made, MAX_WAITING - 1)
    await deliver(database, made, 3)
    newest = await WebhookDeliveries(database).list_of(UUID(made["id"]), None, 4)
    states = [delivery.state for delivery in newest]
    assert states.count(DeliveryState.FAILED) == 2
