"""What every route has in common: envelope, errors, access, limits, idempotency, CORS, the document."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from control_api.errors import conflict
from control_api.idempotency import Idempotency
from control_api.principal import Principal
from control_api.routing import BodyLimits
from storage.database import Database
from storage.repositories import Role, Users
from tests.control_api.sample import Doorman, Sample, ThingRoutes, failures, person, sample_app

GOOD = {"title": "a thing"}


@pytest.fixture
async def sample(database: Database, aiohttp_client: Callable[..., Awaitable[Any]]) -> Sample:
    user = await Users(database).add("somebody", "somebody@example.com", "hash")
    doorman = Doorman(
        {
            "user": person(user.id, Role.USER),
            "admin": person(uuid4(), Role.ADMIN),
            "key": Principal(uuid4(), Role.USER, scopes=frozenset({"things:write"})),
            "narrow-key": Principal(uuid4(), Role.ADMIN, scopes=frozenset({"other"})),
        }
    )
    things = ThingRoutes()
    return Sample(await aiohttp_client(sample_app(database, things, doorman)), things, doorman)


async def test_an_answer_is_in_the_envelope(sample: Sample) -> None:
    status, body, headers = await sample.call("POST", "/things", "user", json={**GOOD, "tagNames": ["a"]})
    assert (status, body) == (201, {"success": True, "data": {"title": "a thing", "tagNames": ["a"]}})
    assert headers["ETag"] == '"7"'
    assert headers["RateLimit-Remaining"] == "999"
    assert headers["Cache-Control"] == "no-store"
    assert "HttpOnly" in headers["Set-Cookie"]
    assert "SameSite=Lax" in headers["Set-Cookie"]


async def test_pages_follow_the_cursor(sample: Sample) -> None:
    _, first, _ = await sample.call("GET", "/things?limit=2")
    _, second, _ = await sample.call("GET", f"/things?limit=2&cursor={first['meta']['nextCursor']}")
    assert [thing["title"] for thing in first["data"] + second["data"]] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "colour=red", "limit=1&limit=2", "limit=%00"]
)
async def test_a_wrong_query_names_the_parameter(sample: Sample, query: str) -> None:
    status, body, _ = await sample.call("GET", f"/things?{query}")
    assert (status, body["code"]) == (400, "invalid_request")
    assert body["details"][0]["field"] == query.partition("=")[0]
    assert body["requestId"] == "the-request-id"


@pytest.mark.parametrize("cursor", ["x", "!!!", "W10", "WyJ4Il0", "a" * 513, "%C3%A9"])
async def test_a_foreign_cursor_is_refused(sample: Sample, cursor: str) -> None:
    status, body, _ = await sample.call("GET", f"/things?cursor={cursor}")
    assert (status, body["details"][0]["field"]) == (400, "cursor")


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"{}", "title"),
        (b'{"title": 3}', "title"),
        (b'{"title": ""}', "title"),
        (b'{"title": "a long long title"}', "title"),
        (b'{"title": "a", "tagNames": ["abcdef"]}', "tagNames[0]"),
        (b'{"title": "a", "color": 1}', "color"),
        (b"[]", "body"),
        (b"", "body"),
        (b"{", "body"),
        (b'{"title": "\xff"}', "body"),
        (b'{"title": "\\ud800"}', "body"),
        (b'{"title": "\\u0000"}', "body"),
        (b"[" * 900, "body"),
    ],
)
async def test_a_wrong_body_names_the_field(sample: Sample, raw: bytes, field: str) -> None:
    headers = {"Content-Type": "application/json"}
    status, body, _ = await sample.call("POST", "/things", "user", data=raw, headers=headers)
    assert status == 400
    assert [detail["field"] for detail in body["details"]] == [field]


async def test_other_content_and_long_bodies_are_refused(sample: Sample) -> None:
    status, body, _ = await sample.call("POST", "/things", "user", data="title=a")
    assert (status, body["code"]) == (415, "unsupported_media_type")
    status, body, _ = await sample.call("POST", "/things", "user", json={"title": "a" * 2000})
    assert (status, body["code"]) == (413, "body_too_large")
    assert "1000 bytes" in body["error"]
    status, body, _ = await sample.call("PUT", "/picture", data=b"GIF", headers={"Content-Type": "image/gif"})
    assert (status, body["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("user", "method", "path", "expected", "code"),
    [
        (None, "POST", "/things", 401, "unauthorized"),
        ("nobody", "POST", "/things", 401, "invalid_token"),
        ("user", "PUT", "/things/1", 403, "forbidden"),
        ("narrow-key", "POST", "/things", 403, "missing_scope"),
        ("key", "POST", "/paid-things", 403, "missing_scope"),
        ("key", "POST", "/things", 201, None),
        ("admin", "PUT", "/things/1", 200, None),
    ],
)
async def test_access(
    sample: Sample, user: str | None, method: str, path: str, expected: int, code: str | None
) -> None:
    status, body, _ = await sample.call(method, path, user, json=GOOD)
    assert (status, body.get("code")) == (expected, code)


async def test_a_wrong_credential_counts_against_the_address(sample: Sample) -> None:
    _, _, headers = await sample.call("GET", "/things", "nobody")
    assert headers["RateLimit-Remaining"] == "999"
    assert [address for _, _, address in sample.doorman.counted] == ["127.0.0.1"]


async def test_too_many_requests(sample: Sample) -> None:
    sample.doorman.left = 0
    status, body, headers = await sample.call("GET", "/things")
    assert (status, body["code"], headers["Retry-After"]) == (429, "rate_limited", "3")


@pytest.mark.parametrize(("failure", "expected", "code"), failures())
async def test_failures_say_what_they_may(
    sample: Sample, failure: Exception, expected: int, code: str
) -> None:
    sample.things.failure = failure
    status, body, headers = await sample.call("POST", "/things", "user", json=GOOD)
    assert (status, body["code"], body["success"]) == (expected, code, False)
    assert "secret" not in str(body)
    assert ("Retry-After" in headers) is (expected == 503)


async def test_problem_details_for_those_who_ask(sample: Sample) -> None:
    accept = {"Accept": "application/problem+json"}
    status, body, headers = await sample.call("POST", "/things", "user", json={}, headers=accept)
    assert headers["Content-Type"].startswith("application/problem+json")
    assert (status, body["status"], body["code"]) == (400, 400, "invalid_request")
    assert body["errors"] == [{"field": "title", "message": "is missing"}]


async def test_ids_that_are_none_are_not_found(sample: Sample) -> None:
    known = UUID("01a1fd4e-079c-7933-a87e-8bf0b339ead7")
    assert (await sample.call("GET", f"/things/{known}"))[0] == 200
    assert (await sample.call("GET", "/things/first"))[1]["data"]["title"] == "first"
    for wrong in ("x", str(known).replace("-", ""), "..%2f..%2fetc", f" {known}"):
        status, body, _ = await sample.call("GET", f"/things/{wrong}")
        assert (status, body["code"]) == (404, "thing_not_found"), wrong
    assert (await sample.call("GET", "/things/a%00b"))[0] == 400


@pytest.mark.parametrize(("tag", "version"), [('"3"', "3"), ("*", "None"), ('W/"4"', "4"), ("rubbish", "-1")])
async def test_if_match(sample: Sample, tag: str, version: str) -> None:
    _, body, _ = await sample.call("PUT", "/things/1", "admin", json=GOOD, headers={"If-Match": tag})
    assert body["data"]["title"] == version


async def test_if_match_counts_only_where_it_is_taken(sample: Sample) -> None:
    _, body, _ = await sample.call("DELETE", "/things/1", "admin", headers={"If-Match": '"3"'})
    assert body["data"]["title"] == "None"


@pytest.mark.parametrize(("upload_bytes", "limit"), [(5000, 100), (50, 50)])
async def test_an_upload_has_the_smaller_limit_of_route_and_settings(
    database: Database, aiohttp_client: Callable[..., Awaitable[Any]], upload_bytes: int, limit: int
) -> None:
    things, doorman = ThingRoutes(), Doorman()
    app = sample_app(database, things, doorman, BodyLimits(10, upload_bytes))
    sample = Sample(await aiohttp_client(app), things, doorman)
    headers = {"Content-Type": "image/png"}

    async def upload(size: int) -> tuple[int, Any, Any]:
        return await sample.call("PUT", "/small-picture", data=bytes(size), headers=headers)

    status, body, _ = await upload(limit)
    assert (status, body["data"]["title"]) == (200, f"{limit} of {limit}")
    status, body, _ = await upload(limit + 1)
    assert (status, body["code"]) == (413, "body_too_large")
    assert f"{limit} bytes" in body["error"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("PUT", "/things"), ("POST", "/%00")])
async def test_what_is_not_there_counts_too(sample: Sample, method: str, path: str) -> None:
    """Whoever looks for addresses pays for it, signed in or not."""
    for user, payer in ((None, True), ("nobody", True), ("user", False)):
        status, _, headers = await sample.call(method, path, user)
        assert status in (404, 405)
        assert int(headers["RateLimit-Remaining"]) == sample.doorman.left
        assert sample.doorman.counted[-1][1].is_anonymous is payer
    sample.doorman.left = 0
    status, body, headers = await sample.call(method, path)
    assert (status, body["code"], headers["Retry-After"]) == (429, "rate_limited", "3")


async def test_a_preflight_is_free(sample: Sample) -> None:
    sample.doorman.left = 0
    assert (await sample.call("OPTIONS", "/things"))[0] == 204


async def test_paths_and_methods_that_are_not_there(sample: Sample) -> None:
    status, body, _ = await sample.call("GET", "/nothing")
    assert (status, body["code"]) == (404, "not_found")
    status, body, headers = await sample.call("DELETE", "/things")
    assert (status, body["code"], headers["Allow"]) == (405, "method_not_allowed", "GET, OPTIONS, POST")


async def test_pages_of_listed_origins_may_call(sample: Sample) -> None:
    friend = {"Origin": "https://friend.example"}
    status, _, headers = await sample.call("OPTIONS", "/things", headers=friend)
    assert status == 204
    assert headers["Access-Control-Allow-Origin"] == "https://friend.example"
    assert "POST" in headers["Access-Control-Allow-Methods"]
    _, _, headers = await sample.call("GET", "/things", headers={"Origin": "https://foe.example"})
    assert "Access-Control-Allow-Origin" not in headers


async def test_the_same_key_does_it_once(sample: Sample) -> None:
    key = {"Idempotency-Key": "one"}
    first = await sample.call("POST", "/paid-things", "user", json=GOOD, headers=key)
    again = await sample.call("POST", "/paid-things", "user", json=GOOD, headers=key)
    assert first[:2] == again[:2] == (201, {"success": True, "data": {"title": "a thing 1", "tagNames": []}})
    assert again[2]["Idempotency-Replayed"] == "true"
    status, body, _ = await sample.call("POST", "/paid-things", "user", json={"title": "b"}, headers=key)
    assert (status, body["code"]) == (422, "idempotency_key_reused")
    assert sample.things.made == 1


async def test_many_at_once_with_one_key_do_it_once(sample: Sample) -> None:
    key = {"Idempotency-Key": "many"}
    answers = await asyncio.gather(
        *(sample.call("POST", "/paid-things", "user", json=GOOD, headers=key) for _ in range(10))
    )
    assert sample.things.made == 1
    assert {status for status, _, _ in answers} <= {201, 409}


async def test_a_refused_call_leaves_its_key_free(sample: Sample) -> None:
    key = {"Idempotency-Key": "retry"}
    sample.things.failure = conflict("too_poor", "No.")
    assert (await sample.call("POST", "/paid-things", "user", json=GOOD, headers=key))[0] == 409
    sample.things.failure = None
    assert (await sample.call("POST", "/paid-things", "user", json=GOOD, headers=key))[0] == 201


async def test_old_keys_are_forgotten(sample: Sample, database: Database) -> None:
    key = {"Idempotency-Key": "old"}
    await sample.call("POST", "/paid-things", "user", json=GOOD, headers=key)
    await database.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    cleaning = asyncio.create_task(Idempotency(database).run())
    async with asyncio.timeout(10):
        while await database.fetch_value("SELECT count(*) FROM idempotency_keys"):
            pass
    cleaning.cancel()


@pytest.mark.parametrize("key", ["", "a" * 129, "\u00e9"])
async def test_a_key_is_needed(sample: Sample, key: str) -> None:
    headers = {"Idempotency-Key": key} if key else {}
    status, body, _ = await sample.call("POST", "/paid-things", "user", json=GOOD, headers=headers)
    assert (status, body["details"][0]["field"]) == (400, "Idempotency-Key")


async def test_the_document_is_served(sample: Sample) -> None:
    response = await sample.client.get("/openapi.json")
    document = await response.json()
    assert document["openapi"] == "3.1.0"
    assert document["paths"]["/api/v1/things"]["post"]["operationId"] == "thing_make"


async def test_the_docs_page_needs_nothing_from_elsewhere(sample: Sample) -> None:
    response = await sample.client.get("/docs")
    text = await response.text()
    assert "/paid-things" in text
    assert "tagNames" in text
    assert "http://" not in text.replace("http://localhost", "")
    assert "https://" not in text
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
