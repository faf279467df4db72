"""Tickets: how a page or an app that cannot set headers opens a WebSocket as somebody."""

import secrets
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from control_api.principal import Principal
from storage.shared_state import SharedState

TICKET_SECONDS: Final = 30.0
TICKET_BYTES: Final = 32
MAX_TICKET_LENGTH: Final = 64
WRITE: Final = "chat:write"
MODERATE: Final = "chat:moderate"


@dataclass(frozen=True, slots=True)
class Ticket:
    """Whom a ticket stands for: for a session, or for an API key, which may lack a scope."""

    user_id: UUID
    session_id: UUID | None
    may_moderate: bool
    api_key_id: UUID | None = None


def ticket_of(principal: Principal) -> Ticket:
    """``principal`` has signed in."""
    assert principal.user_id is not None
    may_moderate = principal.has_scope(MODERATE)
    return Ticket(principal.user_id, principal.session_id, may_moderate, principal.api_key_id)


class ChatTickets:
    """Each is good once, for TICKET_SECONDS, on every node that shares the state."""

    def __init__(self, state: SharedState) -> None:
        self._state = state

    async def issue(self, principal: Principal) -> str:
        """``principal`` has signed in."""
        ticket = secrets.token_urlsafe(TICKET_BYTES)
        value = msgspec.json.encode(ticket_of(principal))
        await self._state.put_once(_key(ticket), value, TICKET_SECONDS)
        return ticket

    async def redeem(self, ticket: str) -> Ticket | None:
        """None for one that was never given, was used, or is too old."""
        if not ticket or len(ticket) > MAX_TICKET_LENGTH:
            return None
        value = await self._state.take_once(_key(ticket))
        return msgspec.json.decode(value, type=Ticket) if value is not None else None


def _key(ticket: str) -> str:
    return f"chat:ticket:{ticket}"
