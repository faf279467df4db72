"""What no honest client sends, to every operation: never a 5xx, never an answer that is not announced."""

import gzip
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from itertools import count, product
from typing import Any
from uuid import UUID

import pytest
import requests

from tests.control_api.hostile_values import (
    CURSOR_PARTS,
    HEADERS,
    MALFORMED,
    NAMED,
    NOBODY,
    PATH_VALUES,
    QUERY_VALUES,
    TEXTS,
)
from tests.control_api.live_api import PREFIX, LiveApi, Operation, compact, live_api

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

LEAVES_ALONE = {"auth_logout", "user_delete", "session_revoke", "auth_change_password"}
"""Would end the session that the other requests need, if they went through."""
SIGNED = {"paymentwebhook_receive"}
"""Whose body counts as a whole, by its signature, before anybody looks at fields."""
OTHER_TYPES = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml")

_numbers = count()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with live_api(tmp_path_factory.mktemp("hostile")) as api:
        yield api


def bodied(api: LiveApi) -> list[Operation]:
    return [operation for operation in api.operations() if operation.body is not None]


def somewhere(operation: Operation) -> str:
    """The operation's path at an id that nobody has."""
    path = operation.path
    for name in operation.path_names:
        path = path.replace(f"{{{name}}}", NOBODY)
    return path


def at_home(api: LiveApi, operation: Operation) -> str:
    """The operation's path at something that is there and the administrator's own, where there is such."""
    path = operation.path.removeprefix(PREFIX)
    for kind, real in api.own_ids.items():
        path = path.replace(f"/{kind}/{{id}}", f"/{kind}/{real}")
    return somewhere(Operation(operation.method, PREFIX + path, operation.details))


def send_json(api: LiveApi, operation: Operation, raw: bytes, **headers: str) -> requests.Response:
    options = {"Content-Type": "application/json", **headers}
    return api.send(operation, at_home(api, operation), data=raw, headers=options)


def test_the_document_lists_the_surface(api):
    paths = set(api.document["paths"])
    for path in ("/auth/login", "/users/me", "/rooms", "/rooms/{id}/playback-token", "/search"):
        assert PREFIX + path in paths


def test_malformed_json_is_refused(api):
    def attempt(operation: Operation, what: str) -> None:
        response = send_json(api, operation, MALFORMED[what])
        if api.judge(operation, what, response) and response.status_code < 400:
            api.faults.append(f"{operation.name} took {what}")

    api.try_all(attempt, product(bodied(api), MALFORMED))


def test_other_content_types_are_refused(api):
    def attempt(operation: Operation, kind: str) -> None:
        response = api.send(operation, somewhere(operation), data=b"{}", headers={"Content-Type": kind})
        if api.judge(operation, kind, response) and response.status_code != 415:
            api.faults.append(f"{operation.name} answered {kind} with {response.status_code}")

    api.try_all(attempt, product(bodied(api), OTHER_TYPES))


def test_bodies_over_the_limit_are_refused(api):
    bomb = gzip.compress(b'{"a": "' + b" " * 50_000_000 + b'"}')
    bodies: dict[str, tuple[bytes, dict[str, str]]] = {
        "2 MiB": (b'{"a": "' + b"a" * 2_000_000 + b'"}', {}),
        "a gzip bomb": (bomb, {"Content-Encoding": "gzip"}),
    }

    def attempt(operation: Operation, what: str) -> None:
        raw, headers = bodies[what]
        response = send_json(api, operation, raw, **headers)
        if api.judge(operation, what, response) and response.status_code not in (400, 413, 415):
            api.faults.append(f"{operation.name} answered {what} with {response.status_code}")

    api.try_all(attempt, product(bodied(api), bodies))


def test_hostile_texts_in_every_field(api):
    def attempt(operation: Operation, field: str, what: str) -> None:
        valid = example(api, operation.body or {})
        response = send_json(api, operation, with_raw(valid, field, TEXTS[what]))
        api.judge(operation, f"{what} in {field}", response)
        if "evil" in str(response.headers).lower():
            api.faults.append(f"{operation.name}: {what} in {field} became a header")

    operations = [operation for operation in bodied(api) if operation.name not in LEAVES_ALONE]
    fields = [(operation, field) for operation in operations for field in example(api, operation.body or {})]
    api.try_all(attempt, ((*field, what) for field, what in product(fields, TEXTS)))


def test_unknown_fields_are_named(api):
    def attempt(operation: Operation) -> None:
        body = example(api, operation.body or {}) | {"noSuchField": 1}
        response = send_json(api, operation, json.dumps(body).encode())
        if api.judge(operation, "an unknown field", response) and "noSuchField" not in response.text:
            api.faults.append(f"{operation.name} does not name an unknown field: {response.text[:200]}")

    unsigned = [operation for operation in bodied(api) if operation.name not in SIGNED]
    api.try_all(attempt, zip(unsigned, strict=True))


def test_hostile_parts_of_paths(api):
    def attempt(operation: Operation, name: str, value: str) -> None:
        path = somewhere(operation).replace(NOBODY, value, 1)
        response = api.send(operation, path, json={} if operation.body is not None else None)
        # A path that is longer than the server reads, or no path of this operation any more.
        if response.status_code in (404, 405, 414) and not response.content.startswith(b'{"success"'):
            return
        api.judge(operation, f"{name} {value[:60]}", response)
        if "evil" in str(response.headers).lower():
            api.faults.append(f"{operation.name}: {value} became a header")

    places = [(operation, name) for operation in api.operations() for name in operation.path_names]
    api.try_all(attempt, ((*place, value) for place, value in product(places, PATH_VALUES)))


def test_ids_of_other_kinds_are_ids_of_nothing(api):
    """A user's id where a room's is wanted, and so on, is 404 as for nobody's."""
    me = api.own_ids["users"]
    assert UUID(me)

    def attempt(operation: Operation) -> None:
        path = somewhere(operation).replace(NOBODY, me, 1)
        response = api.send(operation, path, json={} if operation.body is not None else None)
        if api.judge(operation, "a user's id", response) and response.status_code < 400:
            api.faults.append(f"{operation.name} took a user's id: {response.text[:200]}")

    operations = [operation for operation in api.operations() if operation.path_names]
    api.try_all(attempt, ((operation,) for operation in operations if "/users/" not in operation.path))


def test_hostile_query_parameters(api):
    def attempt(operation: Operation, name: str, value: str) -> None:
        query = "&".join([*(f"{n}=1" for n in required(operation) if n != name), f"{name}={value}"])
        response = api.send(operation, f"{at_home(api, operation)}?{query}")
        api.judge(operation, f"{name}={value[:60]}", response)

    api.try_all(attempt, ((*place, value) for place, value in product(queried(api), QUERY_VALUES)))


def test_query_parameters_that_come_twice_are_refused(api):
    def attempt(operation: Operation, name: str) -> None:
        twice = api.send(operation, f"{at_home(api, operation)}?{name}=1&{name}=2")
        if api.judge(operation, f"{name} twice", twice) and twice.status_code not in (400, 403, 404):
            api.faults.append(f"{operation.name} took {name} twice")

    api.try_all(attempt, queried(api))


def test_unknown_query_parameters_are_refused(api):
    def attempt(operation: Operation) -> None:
        response = api.send(operation, f"{at_home(api, operation)}?noSuchParameter=1")
        if api.judge(operation, "an unknown parameter", response) and response.status_code == 200:
            api.faults.append(f"{operation.name} took an unknown query parameter")

    api.try_all(attempt, ((o,) for o in api.operations() if o.method == "GET" and o.query))


def test_forged_cursors(api):
    def attempt(operation: Operation, first: Any) -> None:
        given = "".join(f"&{name}=abc" for name in required(operation))
        for parts in ([first], [first, NOBODY], [first, first], [first, NOBODY, first], first):
            cursor = urlsafe_b64encode(json.dumps(parts).encode()).rstrip(b"=").decode()
            response = api.send(operation, f"{at_home(api, operation)}?cursor={cursor}{given}")
            api.judge(operation, f"the cursor {compact(parts)}", response)

    paged = [operation for operation in api.operations() if "cursor" in operation.query]
    api.try_all(attempt, product(paged, CURSOR_PARTS))


def test_hostile_headers(api):
    def attempt(headers: Mapping[str, str], operation: Operation) -> None:
        encoded = {name: value.encode("latin-1") for name, value in headers.items()}
        response = api.send(operation, somewhere(operation), headers=encoded)
        if response.headers.get("Content-Type", "").startswith("application/problem+json"):
            if response.status_code == 500 or response.status_code not in operation.statuses:
                api.faults.append(f"{operation.name} with {compact(headers)}: {response.text[:200]}")
            return
        api.judge(operation, compact(headers), response)
        if "<script>" in response.headers.get("X-Request-Id", ""):
            api.faults.append(f"{operation.name} repeats any request id")

    operations = [operation for operation in api.operations() if operation.name not in LEAVES_ALONE]
    api.try_all(attempt, product(HEADERS, operations))


def test_other_methods_are_refused_with_those_that_are_there(api):
    def attempt(path: str, method: str) -> None:
        address = api.url + path.replace("{", "").replace("}", "")
        response = api.session.request(method, address, timeout=30)
        if response.status_code != 405 or "Allow" not in response.headers:
            api.faults.append(f"{method} {path}: {response.status_code} {response.text[:100]}")

    api.try_all(attempt, product(api.document["paths"], ("TRACE", "PROPFIND", "LOCK")))


def test_without_a_token_only_public_operations_answer(api):
    def attempt(operation: Operation) -> None:
        address, body = api.url + somewhere(operation), example(api, operation.body or {})
        response = api.session.request(operation.method, address, json=body, timeout=30)
        if response.status_code != 401 or "WWW-Authenticate" not in response.headers:
            api.faults.append(f"{operation.name} answered a stranger {response.status_code}")

    closed = [operation for operation in api.operations() if {} not in operation.details["security"]]
    api.try_all(attempt, zip(closed, strict=True))


def test_a_member_gets_nowhere_in_the_administration(api):
    def attempt(operation: Operation) -> None:
        response = api.send(operation, somewhere(operation), api.member_token)
        if response.status_code != 403:
            api.faults.append(f"{operation.name} answered a member {response.status_code}")

    api.try_all(attempt, ((o,) for o in api.operations() if o.path.startswith(f"{PREFIX}/admin/")))


def test_the_server_is_well_after_all_that(api):
    assert api.session.get(f"{api.url}/health/ready", timeout=30).status_code == 200


def queried(api: LiveApi) -> list[tuple[Operation, str]]:
    """Each parameter of each operation that reads."""
    reading = [operation for operation in api.operations() if operation.method == "GET"]
    return [(operation, name) for operation in reading for name in operation.query]


def required(operation: Operation) -> list[str]:
    return [p["name"] for p in operation.details["parameters"] if p["in"] == "query" and p["required"]]


def with_raw(valid: Mapping[str, Any], field: str, raw: bytes) -> bytes:
    """``valid`` as JSON, with ``raw`` for the value of ``field``."""
    parts = [
        json.dumps(name).encode() + b":" + json.dumps(valid[name]).encode() for name in valid if name != field
    ]
    return b"{" + b",".join([*parts, json.dumps(field).encode() + b":" + raw]) + b"}"


def example(api: LiveApi, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A body with every field of ``schema``, as plain as can be."""
    properties = api.resolve(schema).get("properties", {})
    return {name: plain_value(api, name, kind) for name, kind in properties.items()}


def plain_value(api: LiveApi, name: str, schema: Mapping[str, Any]) -> Any:
    schema = api.resolve(schema)
    if name in NAMED and schema.get("type", "string") == "string":
        return fresh(name)
    if "default" in schema:
        return schema["default"]
    if "anyOf" in schema:
        return plain_value(api, name, schema["anyOf"][0])
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "string":
            return _text(schema)
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "array":
            return [plain_value(api, "", schema.get("items", {"type": "string"}))]
        case "object":
            return example(api, schema)
    return None


def fresh(name: str) -> Any:
    """A value of NAMED that no request had before: nothing is taken, and nobody's guesses pile up."""
    value = NAMED[name]
    return value.replace("NUMBER", str(next(_numbers))) if isinstance(value, str) else value


def _text(schema: Mapping[str, Any]) -> str:
    if schema.get("format") == "uuid":
        return NOBODY
    if schema.get("format") == "date-time":
        return "2030-01-01T00:00:00Z"
    return "a" * max(3, int(schema.get("minLength", 0)))
