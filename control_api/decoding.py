"""Requests into Structs, and what is wrong with those that cannot be.

Rules:

* Unknown fields, wrong types and lengths are 400 with the field named as the client wrote it.
* NUL is refused everywhere: PostgreSQL cannot store it, and it belongs into no text.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from control_api.errors import ApiError, FieldError, invalid

JSON_TYPE: Final = "application/json"
NUL: Final = "\x00"

_ESCAPED_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_AT: Final = re.compile(r" - at `(?:key in )?\$\.?(?P<path>[^`]*)`$")
_FIELD: Final = re.compile(r"^Object (?:missing required|contains unknown) field `(?P<field>[^`]*)`")


async def read_body(request: web.Request, kind: type[Any] | None) -> Any:
    """The JSON body as ``kind``. Raises ApiError 400, 413 or 415."""
    if kind is None:
        return None
    if request.content_type != JSON_TYPE:
        raise ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", f"Send the body as {JSON_TYPE}."
        )
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise body_too_large(request.client_max_size) from error
    return decode_json(raw, kind)


def body_too_large(limit: int) -> ApiError:
    return ApiError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", f"The body is longer than {limit} bytes."
    )


def decode_json(raw: bytes, kind: type[Any]) -> Any:
    if _ESCAPED_NUL.search(raw):
        raise malformed("The body holds a NUL character.")
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise invalid(*explain(str(error))) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise malformed(f"The body is no JSON: {error}") from error


def read_query(request: web.Request, kind: type[Any] | None) -> Any:
    """The query parameters as ``kind``. Raises ApiError 400."""
    given = request.query
    values: dict[str, str] = {}
    for name, value in given.items():
        if name in values:
            raise invalid(name, "given more than once")
        if NUL in name or NUL in value:
            raise invalid(name.replace(NUL, "?"), "holds a NUL character")
        values[name] = value
    return None if kind is None else convert_query(values, kind)


def convert_query(values: Mapping[str, str], kind: type[Any]) -> Any:
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(*explain(str(error))) from error


def malformed(message: str) -> ApiError:
    return ApiError(
        HTTPStatus.BAD_REQUEST, "malformed_json", message, (FieldError("body", "cannot be parsed"),)
    )


def explain(message: str) -> tuple[str, str]:
    """(field, what is wrong with it) from what msgspec says: "Expected `int`, got `str` - at `$.limit`"."""
    at = _AT.search(message)
    path = at["path"] if at else ""
    text = _AT.sub("", message)
    named = _FIELD.match(text)
    if named:
        field = f"{path}.{named['field']}" if path else named["field"]
        return field, "is missing" if "missing" in text else "is unknown"
    return path or "body", text.replace("`", "").lower()
