"""Opaque cursors: the sort values of the last item on a page, so that new items move nothing."""

import math
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec

from control_api.errors import ApiError, invalid

T = TypeVar("T")
ViewT = TypeVar("ViewT")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """What a list route returns. ``next_cursor`` is None on the last page."""

    items: list[T] = field(default_factory=list)
    next_cursor: str | None = None

    def map(self, view: Callable[[T], ViewT]) -> "Page[ViewT]":
        """The same page of other items: what ``view`` makes of each."""
        return Page([view(item) for item in self.items], self.next_cursor)


def page_of(found: Sequence[T], limit: int, sort_values: Callable[[T], tuple[object, ...]]) -> Page[T]:
    """The page that ``found`` begins with.

    ``found`` has been asked for ``limit + 1`` items: the one too many says that another page follows.
    ``sort_values`` of an item are what the list is sorted by, for ``encode_cursor``.
    """
    items = list(found[:limit])
    has_more = len(found) > limit
    return Page(items, encode_cursor(*sort_values(items[-1])) if has_more else None)


def encode_cursor(*values: object) -> str:
    """``values`` are what msgspec can encode: str, int, float, UUID, datetime, None."""
    return urlsafe_b64encode(msgspec.json.encode(values)).rstrip(b"=").decode()


def decode_cursor(cursor: str, *types: Any) -> tuple[Any, ...]:
    """The values of a cursor with these ``types``; times are in UTC.

    Raises ApiError 400 for one that is not ours: what comes out can be asked of the database.
    """
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        values: tuple[Any, ...] = msgspec.json.decode(raw, type=tuple.__class_getitem__(types))
        return tuple(map(_checked, values))
    except (ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise _foreign() from error


def id_in(cursor: str | None) -> UUID | None:
    """The cursor of a list that is sorted by id alone; None for its beginning. Raises ApiError 400."""
    if cursor is None:
        return None
    found: UUID = decode_cursor(cursor, UUID)[0]
    return found


def _checked(value: Any) -> Any:
    """Raises ValueError for what no list has in it, OverflowError for a time in no year once it is in UTC."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        return value.astimezone(UTC)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number without an end")
    if isinstance(value, str) and not value.isprintable():
        raise ValueError("text that cannot be")
    return value


def _foreign() -> ApiError:
    return invalid("cursor", "is none that this list gave out")
