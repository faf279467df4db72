"""Opaque cursors: the sort values of the last item on a page, so that new items move nothing."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from control_api.errors import ApiError, invalid

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """What a list route returns. ``next_cursor`` is None on the last page."""

    items: list[T] = field(default_factory=list)
    next_cursor: str | None = None


def encode_cursor(*values: object) -> str:
    """``values`` are what msgspec can encode: str, int, float, UUID, datetime, None."""
    return urlsafe_b64encode(msgspec.json.encode(values)).rstrip(b"=").decode()


def decode_cursor(cursor: str, *types: Any) -> tuple[Any, ...]:
    """The values of a cursor with these ``types``. Raises ApiError 400 for one that is not ours."""
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        values: tuple[Any, ...] = msgspec.json.decode(raw, type=tuple.__class_getitem__(types))
    except (ValueError, msgspec.MsgspecError) as error:
        raise _foreign() from error
    return values


def _foreign() -> ApiError:
    return invalid("cursor", "is none that this list gave out")
