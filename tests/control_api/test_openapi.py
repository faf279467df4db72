"""The document says what the dispatcher does: who may call, what is taken, what comes back."""

from typing import Any

import pytest

from control_api.openapi import document
from control_api.principal import Access
from control_api.routing import BodyLimits, Route
from tests.control_api.sample import ThingRoutes

THINGS = ThingRoutes()
DOCUMENT = document(THINGS.routes(), "1.2.3", "/", BodyLimits(5000, 6000))


def operation(method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][f"/api/v1{path}"][method.lower()]
    return found


def of_route(**details: Any) -> dict[str, Any]:
    """The operation of a route of its own."""
    route = Route(details.pop("method", "GET"), "/thing", THINGS.first, "A thing", **details)
    paths = document([route], "1.2.3", "/")["paths"]
    found: dict[str, Any] = paths["/api/v1/thing"][route.method.lower()]
    return found


def names(listed: dict[str, Any]) -> set[str]:
    return {name for parameter in listed["parameters"] for name in [parameter["name"]]}


def test_every_answer_of_a_route_is_there() -> None:
    make = operation("POST", "/things")
    assert set(make["responses"]) == {"201", "400", "401", "403", "413", "415", "429", "503"}
    assert make["operationId"] == "thing_make"
    assert [parameter["name"] for parameter in operation("GET", "/things")["parameters"]] == [
        "cursor",
        "limit",
    ]
    assert DOCUMENT["components"]["schemas"]["MakeThing"]["additionalProperties"] is False


def test_every_reference_leads_somewhere() -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if "$ref" in value else []
            return own + [found for each in value.values() for found in references(each)]
        return [found for each in value for found in references(each)] if isinstance(value, list) else []

    for reference in set(references(DOCUMENT)):
        part, name = reference.removeprefix("#/components/").split("/")
        assert name in DOCUMENT["components"][part], reference
    schemes = DOCUMENT["components"]["securitySchemes"]
    named = [
        name
        for path in DOCUMENT["paths"].values()
        for each in path.values()
        for way in each["security"]
        for name in way
    ]
    assert set(named) <= set(schemes)


def test_the_schemes_are_those_of_the_authenticator() -> None:
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert {name: (scheme["type"], scheme.get("in")) for name, scheme in schemes.items()} == {
        "accessToken": ("http", None),
        "apiKey": ("http", None),
        "pageSession": ("apiKey", "cookie"),
        "csrfToken": ("apiKey", "header"),
        "refreshToken": ("apiKey", "cookie"),
    }
    assert (schemes["pageSession"]["name"], schemes["csrfToken"]["name"]) == ("session", "X-CSRF-Token")


TOKEN: dict[str, list[str]] = {"accessToken": []}
PAGE: dict[str, list[str]] = {"pageSession": []}
GUARDED_PAGE: dict[str, list[str]] = {"pageSession": [], "csrfToken": []}


@pytest.mark.parametrize(
    ("details", "ways"),
    [
        ({}, [{}, TOKEN, PAGE]),
        ({"access": Access.USER}, [TOKEN, PAGE]),
        ({"access": Access.USER, "method": "POST"}, [TOKEN, GUARDED_PAGE]),
        (
            {"access": Access.ADMIN, "method": "DELETE", "scope": "things:write"},
            [TOKEN, {"apiKey": ["things:write"]}, GUARDED_PAGE],
        ),
        ({"method": "POST", "takes_refresh_cookie": True}, [{"refreshToken": []}]),
    ],
)
def test_an_operation_says_who_may_call_it(details: dict[str, Any], ways: list[Any]) -> None:
    assert of_route(**details)["security"] == ways


def test_a_change_by_cookie_may_be_refused() -> None:
    assert "`csrf_token_invalid`" in of_route(method="POST", scope="x:y")["responses"]["403"]["description"]
    assert "403" not in of_route(scope="x:y")["responses"]


def test_versions_stand_where_they_count() -> None:
    replace, remove = operation("PUT", "/things/{id}"), operation("DELETE", "/things/{id}")
    assert "If-Match" in names(replace)
    assert "`version_mismatch`" in replace["responses"]["412"]["description"]
    assert "ETag" in replace["responses"]["200"]["headers"]
    assert "ETag" not in replace["responses"]["412"]["headers"]
    assert "If-Match" not in names(remove)
    assert "412" not in remove["responses"]


def test_headers_stand_with_their_answers() -> None:
    responses = operation("POST", "/things")["responses"]
    common = {"X-Request-Id", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"}
    assert all(common <= set(answer["headers"]) for answer in responses.values())
    assert {status for status, answer in responses.items() if "Retry-After" in answer["headers"]} == {
        "429",
        "503",
    }
    assert "WWW-Authenticate" in responses["401"]["headers"]


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [("POST", "/things", 5000), ("PUT", "/picture", 6000), ("PUT", "/small-picture", 100)],
)
def test_a_body_has_a_limit(method: str, path: str, limit: int) -> None:
    found = operation(method, path)
    assert found["requestBody"]["description"] == f"At most {limit} bytes."
    assert f"more than {limit} bytes" in found["responses"]["413"]["description"]
    assert "requestBody" not in operation("GET", "/things")
