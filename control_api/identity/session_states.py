"""Whether a session counts right now: asked with every request, so kept for a few seconds.

An event about a user makes all that is known of them forgotten, so a ban or a sign-out takes effect at once,
and at the latest when the few seconds are over.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from storage.bus import Bus, ChangesMissed, UserChanged
from storage.database import Executor
from storage.repositories.sessions import Sessions, SessionState
from storage.repositories.users import Role, UserState

KEPT_SECONDS: Final = 5.0
KEPT_USERS: Final = 20_000
KEPT_SESSIONS_OF_A_USER: Final = 100


@dataclass(frozen=True, slots=True)
class _Known:
    state: SessionState | None
    until: float


class SessionStates:
    """``role_of`` is the one question. ``now`` is a clock in seconds that never goes back."""

    def __init__(self, database: Executor, bus: Bus, now: Callable[[], float] = time.monotonic) -> None:
        self._sessions = Sessions(database)
        self._now = now
        self._users: OrderedDict[UUID, dict[UUID, _Known]] = OrderedDict()
        self._changes = 0
        bus.subscribe(UserChanged, self._forget_user)
        bus.subscribe(ChangesMissed, self._forget_all)

    async def role_of(self, user_id: UUID, session_id: UUID) -> Role | None:
        """The role of the session's user; None when the session is over or the user may not sign in."""
        known = self._users.get(user_id, {}).get(session_id)
        if known is None or known.until <= self._now():
            known = await self._load(user_id, session_id)
        state = known.state
        if state is None or not state.is_open or state.state is not UserState.ACTIVE:
            return None
        return state.role if state.expires_at > datetime.now(UTC) else None

    async def _load(self, user_id: UUID, session_id: UUID) -> _Known:
        changes = self._changes
        state = await self._sessions.state_of(session_id, user_id)
        known = _Known(state, self._now() + KEPT_SECONDS)
        # What changed while the database was asked may be missing from its answer: use it once, keep it not.
        if changes == self._changes:
            self._keep(user_id, session_id, known)
        return known

    def _keep(self, user_id: UUID, session_id: UUID, known: _Known) -> None:
        sessions = self._users.setdefault(user_id, {})
        if len(sessions) >= KEPT_SESSIONS_OF_A_USER:
            sessions.clear()
        sessions[session_id] = known
        self._users.move_to_end(user_id)
        if len(self._users) > KEPT_USERS:
            self._users.popitem(last=False)

    def _forget_user(self, event: UserChanged) -> None:
        self._changes += 1
        self._users.pop(UUID(event.user_id), None)

    def _forget_all(self, _event: ChangesMissed) -> None:
        self._changes += 1
        self._users.clear()
