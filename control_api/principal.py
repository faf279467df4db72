"""Who asks: what every way of signing in ends in."""

from dataclasses import dataclass
from enum import Enum
from typing import Final
from uuid import UUID

from storage.repositories import Role


class Access(Enum):
    """Who may call a route, from anybody to the operator; each includes those after it."""

    PUBLIC = "public"
    USER = "user"
    MODERATOR = "moderator"
    ADMIN = "admin"
    SUPERADMIN = "superadmin"

    def admits(self, role: Role | None) -> bool:
        """``role`` is None for somebody who has not signed in."""
        return _RANK[self.value] <= (_RANK[role.value] if role is not None else 0)


_RANK: Final = {"public": 0, "user": 1, "moderator": 2, "admin": 3, "superadmin": 4}


@dataclass(frozen=True, slots=True)
class Principal:
    """``scopes`` is None for a person, who may do all of their own; an API key may do what its scopes say.

    ``session_id`` is None for an API key, ``api_key_id`` for everybody else. Anonymous is a principal, too:
    without ``user_id`` and ``role``.
    """

    user_id: UUID | None = None
    role: Role | None = None
    session_id: UUID | None = None
    scopes: frozenset[str] | None = None
    api_key_id: UUID | None = None

    @property
    def is_anonymous(self) -> bool:
        return self.user_id is None

    def has_role(self, access: Access) -> bool:
        return access.admits(self.role)

    def has_scope(self, scope: str | None) -> bool:
        """Whether a route with ``scope`` may be called; with None it is closed to API keys."""
        return self.scopes is None or (scope is not None and scope in self.scopes)


ANONYMOUS: Final = Principal()
