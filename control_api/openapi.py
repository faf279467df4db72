"""The OpenAPI 3.1 document, made from the very routes and Structs that answer.

Rules:

* Nothing is written by hand: a route's row says what it takes, gives and refuses.
* Every answer that a route can give stands in it, so that a checker may call anything else a fault.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, Final, get_args, get_origin

import msgspec

from control_api.encoding import PROBLEM_TYPE
from control_api.openapi_conventions import (
    DESCRIPTION,
    HEADERS,
    IF_MATCH,
    SECURITY_SCHEMES,
    changes_something,
    headers,
    security,
)
from control_api.principal import Access
from control_api.routing import PREFIX, BodyLimits, Route
from control_api.schemas import Data

_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_REF: Final = "#/components/schemas/{name}"


class ErrorDetail(Data):
    field: str
    message: str


class Failure(Data):
    """What every refusal looks like; ``code`` is for programs."""

    success: bool
    error: str
    code: str
    details: list[ErrorDetail]
    request_id: str


class Problem(Data):
    """The same after RFC 9457, for ``Accept: application/problem+json``."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[ErrorDetail]
    request_id: str


def document(
    routes: Sequence[Route], version: str, server_url: str, limits: BodyLimits | None = None
) -> dict[str, Any]:
    """The whole document as JSON-ready values."""
    limits = limits or BodyLimits()
    types = [Failure, Problem, *_types_of(routes)]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = dict(zip(map(repr, types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for route in routes:
        operation = _operation(route, by_type, components, limits.of(route))
        paths[PREFIX + route.path][route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "mediaserver control API", "version": version, "description": DESCRIPTION},
        "servers": [{"url": server_url}],
        "paths": dict(paths),
        "components": {
            "schemas": components,
            "headers": HEADERS,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _types_of(routes: Iterable[Route]) -> list[Any]:
    found: dict[str, Any] = {}
    for route in routes:
        for kind in (route.body, route.query, _item(route.response)):
            if kind is not None:
                found.setdefault(repr(kind), kind)
    return list(found.values())


def _item(response: Any) -> Any:
    """The type of one item of a list response, else the type itself."""
    return get_args(response)[0] if get_origin(response) is list else response


def _operation(
    route: Route, by_type: dict[str, Any], components: dict[str, Any], max_bytes: int
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.operation_id,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": _parameters(route, by_type, components),
        "responses": _responses(route, by_type, max_bytes),
        "security": security(route),
    }
    if route.scope is not None:
        operation["description"] = f"API keys need the scope `{route.scope}`."
    content = _request_content(route, by_type)
    if content:
        about = f"At most {max_bytes} bytes."
        operation["requestBody"] = {"required": True, "description": about, "content": content}
    return operation


def _request_content(route: Route, by_type: dict[str, Any]) -> dict[str, Any]:
    if route.body is not None:
        return {"application/json": {"schema": by_type[repr(route.body)]}}
    return {kind: {"schema": {"type": "string", "format": "binary"}} for kind in route.upload_types}


def _parameters(route: Route, by_type: dict[str, Any], components: dict[str, Any]) -> list[dict[str, Any]]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(route.path)
    ]
    if route.query is not None:
        schema = _resolved(by_type[repr(route.query)], components)
        required = schema.get("required", ())
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": kind}
            for name, kind in schema.get("properties", {}).items()
        ]
    if route.needs_idempotency_key:
        key = {"type": "string", "minLength": 1, "maxLength": 128}
        parameters.append({"name": "Idempotency-Key", "in": "header", "required": True, "schema": key})
    if route.takes_if_match:
        parameters.append(dict(IF_MATCH))
    return parameters


def _resolved(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    resolved: dict[str, Any] = components[name] if name else schema
    return resolved


def _responses(route: Route, by_type: dict[str, Any], max_bytes: int) -> dict[str, Any]:
    responses: dict[str, Any] = {str(int(route.status)): _success(route, by_type)}
    codes: dict[int, list[str]] = defaultdict(list)
    for status, code in (*_common_errors(route), *route.errors):
        codes[int(status)].append(code)
    for status, names in sorted(codes.items()):
        listed = ", ".join(f"`{name}`" for name in dict.fromkeys(names))
        responses[str(status)] = {
            "description": f"{HTTPStatus(status).phrase}: {listed}{_more(status, max_bytes)}",
            "headers": headers(route, status),
            "content": {
                "application/json": {"schema": by_type[repr(Failure)]},
                PROBLEM_TYPE: {"schema": by_type[repr(Problem)]},
            },
        }
    return responses


def _more(status: int, max_bytes: int) -> str:
    return f" (more than {max_bytes} bytes)" if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else ""


def _success(route: Route, by_type: dict[str, Any]) -> dict[str, Any]:
    if tuple(route.response_types) != ("application/json",):
        binary = {"schema": {"type": "string", "format": "binary"}}
        return {
            "description": "The bytes",
            "headers": headers(route, route.status),
            "content": {kind: binary for kind in route.response_types},
        }
    properties: dict[str, Any] = {"success": {"const": True}, "message": {"type": "string"}}
    properties["data"] = {"type": "null"}
    if get_origin(route.response) is list:
        properties["data"] = {"type": "array", "items": by_type[repr(_item(route.response))]}
        cursor = {"type": ["string", "null"]}
        properties["meta"] = {"type": "object", "properties": {"nextCursor": cursor}}
    elif route.response is not None:
        properties["data"] = by_type[repr(route.response)]
    schema = {"type": "object", "required": ["success", "data"], "properties": properties}
    return {
        "description": route.summary,
        "headers": headers(route, route.status),
        "content": {"application/json": {"schema": schema}},
    }


def _common_errors(route: Route) -> list[tuple[int, str]]:
    """What the dispatcher itself may answer."""
    errors = [(400, "invalid_request"), (401, "unauthorized"), (429, "rate_limited"), (503, "unavailable")]
    if route.access is not Access.PUBLIC or route.scope is None:
        errors += [(403, "forbidden"), (403, "missing_scope")]
    if route.body is not None:
        errors += [(400, "malformed_json")]
    if route.body is not None or route.upload_types:
        errors += [(413, "body_too_large"), (415, "unsupported_media_type")]
    if route.needs_idempotency_key:
        errors += [(409, "request_in_progress"), (422, "idempotency_key_reused")]
    if route.takes_if_match:
        errors += [(412, "version_mismatch")]
    if changes_something(route):
        errors += [(403, "csrf_token_invalid"), (403, "foreign_origin")]
    return errors
