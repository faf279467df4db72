"""What requests and answers have in common. Field names are camelCase on the wire and snake_case here."""

from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta, Struct

MAX_PAGE: Final = 100
DEFAULT_PAGE: Final = 20
MAX_CURSOR_LENGTH: Final = 512


class Body(Struct, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """A request's JSON body; a field that it does not know is an error."""


class Query(Struct, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """A request's query parameters."""


class Data(Struct, rename="camel", kw_only=True):
    """A part of an answer."""


class PageQuery(Query):
    """``cursor`` is ``meta.nextCursor`` of the page before."""

    cursor: Annotated[str, Meta(max_length=MAX_CURSOR_LENGTH)] | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE


class UserSummary(Data):
    """How a user stands beside what is theirs. ``avatar`` is an address, or null."""

    id: UUID
    username: str
    display_name: str
    avatar: str | None
