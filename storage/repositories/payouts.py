"""Payouts: where creators are paid, how often, and each payment on its way from earnings to a bank."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final
from uuid import UUID

from storage.database import Executor, Row

IN_FLIGHT: Final = "payouts_one_in_flight"
"""The constraint of a Conflict: a payout of this creator in this currency has not ended."""
KEY_ONCE: Final = "payouts_key_once"
"""The constraint of a Conflict: the creator asked for a payout under this key before."""
RETRIED_ONCE: Final = "payouts_retried_once"
"""The constraint of a Conflict: the payout has been tried again."""
MAX_PAYOUT: Final = 99_999_999
"""In minor units; Stripe takes no more at once."""
MAX_PROBLEM: Final = 500
PAID_LATE: Final = "It was paid after it had been taken for failed."
MAX_ERROR_PAUSE: Final = timedelta(hours=1)


class ProviderName(Enum):
    """Who moves the money. DEMO moves none."""

    STRIPE = "stripe"
    DEMO = "demo"


class Onboarding(Enum):
    """Whether a creator can be paid. RESTRICTED: the provider wants something of them first."""

    PENDING = "pending"
    ACTIVE = "active"
    RESTRICTED = "restricted"


class Schedule(Enum):
    WEEKLY = "weekly"
    BIWEEKLY = "biweekly"
    MONTHLY = "monthly"
    MANUAL = "manual"


class PayoutState(Enum):
    """FAILED: the provider refused it, and it is back in the earnings. REVERSED: paid, and all came back."""

    PENDING = "pending"
    PAID = "paid"
    FAILED = "failed"
    REVERSED = "reversed"


class Trigger(Enum):
    """Why a payout was begun."""

    SCHEDULE = "schedule"
    DEMAND = "demand"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class PayoutAccount:
    """``account`` is the provider's name for it, ``problem`` what the provider said is missing."""

    user_id: UUID
    account: str
    state: Onboarding
    problem: str


@dataclass(frozen=True, slots=True)
class PayoutSettings:
    """``minimum`` in minor units of ``currency``; ``due_at`` is None for a manual schedule."""

    schedule: Schedule
    minimum: int
    currency: str
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class DuePosition:
    """The last one of a page of who is due."""

    due_at: datetime
    user_id: UUID


@dataclass(frozen=True, slots=True)
class NewPayout:
    """``key`` is the one of a client that asked for it."""

    id: UUID
    user_id: UUID
    currency: str
    amount: int
    trigger: Trigger
    provider: ProviderName
    account: str
    key: str | None = None
    retry_of: UUID | None = None


@dataclass(frozen=True, slots=True)
class Payout:
    """``reference`` is the provider's name for the transfer, once it is known."""

    id: UUID
    user_id: UUID
    username: str
    currency: str
    amount: int
    returned: int
    state: PayoutState
    trigger: Trigger
    retry_of: UUID | None
    provider: ProviderName
    account: str
    reference: str | None
    attempts: int
    problem: str
    created_at: datetime
    finished_at: datetime | None


_COLUMNS: Final = """payouts.id, payouts.user_id, users.username, payouts.currency, payouts.amount,
    payouts.returned, payouts.state, payouts.trigger, payouts.retry_of, payouts.provider, payouts.account,
    payouts.reference, payouts.attempts, payouts.problem, payouts.created_at, payouts.finished_at"""
_IS_FREE: Final = "(lease_until IS NULL OR lease_until <= now())"
_PAYOUTS: Final = f"SELECT {_COLUMNS} FROM payouts JOIN users ON users.id = payouts.user_id"


class Payouts:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def add(self, payout: NewPayout) -> None:
        """Raises Conflict ``IN_FLIGHT``, ``KEY_ONCE``, ``RETRIED_ONCE``."""
        await self._database.execute(
            """INSERT INTO payouts (id, user_id, currency, amount, trigger, provider, account, key, retry_of)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)""",
            payout.id,
            payout.user_id,
            payout.currency,
            payout.amount,
            payout.trigger.value,
            payout.provider.value,
            payout.account,
            payout.key,
            payout.retry_of,
        )

    async def find(self, payout_id: UUID) -> Payout | None:
        row = await self._database.fetch_row(f"{_PAYOUTS} WHERE payouts.id = $1", payout_id)
        return _payout(row) if row else None

    async def lock(self, payout_id: UUID) -> Payout | None:
        """As ``find``; until the transaction ends, nobody else changes it."""
        row = await self._database.fetch_row(
            f"{_PAYOUTS} WHERE payouts.id = $1 FOR NO KEY UPDATE OF payouts", payout_id
        )
        return _payout(row) if row else None

    async def find_by_key(self, user_id: UUID, key: str) -> Payout | None:
        row = await self._database.fetch_row(
            f"{_PAYOUTS} WHERE payouts.user_id = $1 AND payouts.key = $2", user_id, key
        )
        return _payout(row) if row else None

    async def find_by_reference(self, provider: ProviderName, reference: str) -> UUID | None:
        found: UUID | None = await self._database.fetch_value(
            "SELECT id FROM payouts WHERE provider = $1 AND reference = $2", provider.value, reference
        )
        return found

    async def is_in_flight(self, user_id: UUID, currency: str) -> bool:
        found: bool = await self._database.fetch_value(
            """SELECT EXISTS (SELECT FROM payouts
                              WHERE user_id = $1 AND currency = $2 AND state = 'pending')""",
            user_id,
            currency,
        )
        return found

    async def of_user(self, user_id: UUID, before: UUID | None, limit: int) -> list[Payout]:
        """The newest first."""
        rows = await self._database.fetch(
            f"""{_PAYOUTS} WHERE payouts.user_id = $1 AND ($2::uuid IS NULL OR payouts.id < $2)
                ORDER BY payouts.id DESC LIMIT $3""",
            user_id,
            before,
            limit,
        )
        return [_payout(row) for row in rows]

    async def in_state(self, state: PayoutState | None, before: UUID | None, limit: int) -> list[Payout]:
        """Of everybody, the newest first."""
        condition = "payouts.state = $3" if state is not None else "$3::text IS NULL"
        rows = await self._database.fetch(
            f"""{_PAYOUTS} WHERE {condition} AND ($1::uuid IS NULL OR payouts.id < $1)
                ORDER BY payouts.id DESC LIMIT $2""",
            before,
            limit,
            state.value if state is not None else None,
        )
        return [_payout(row) for row in rows]

    async def unsent(self, limit: int) -> list[UUID]:
        """Those whose time has come, who waits longest first."""
        rows = await self._database.fetch(
            f"""SELECT id FROM payouts WHERE state = 'pending' AND attempt_at <= now() AND {_IS_FREE}
                ORDER BY attempt_at, id LIMIT $1""",
            limit,
        )
        return [row["id"] for row in rows]

    async def claim(self, payout_id: UUID, lease: timedelta, before_its_time: bool = False) -> Payout | None:
        """The payout for who gets it now; None while another has it, and when it has ended.

        Each attempt without an end makes the next one wait twice as long, up to an hour. What it asked for
        may be done a little later, so the lease runs on after it.
        """
        row = await self._database.fetch_row(
            f"""WITH claimed AS (
                    UPDATE payouts SET attempts = attempts + 1, lease_until = now() + $2::interval,
                           attempt_at = now() + least($2::interval * 2 ^ least(attempts, 20), $3::interval)
                    WHERE id = $1 AND state = 'pending' AND (attempt_at <= now() OR $4) AND {_IS_FREE}
                    RETURNING *)
                SELECT {_COLUMNS} FROM claimed AS payouts JOIN users ON users.id = payouts.user_id""",
            payout_id,
            lease,
            MAX_ERROR_PAUSE,
            before_its_time,
        )
        return _payout(row) if row else None

    async def hurry(self, payout_id: UUID) -> None:
        """Let the next attempt be as soon as no other may be running."""
        await self._database.execute(
            """UPDATE payouts SET attempt_at = greatest(now(), lease_until)
               WHERE id = $1 AND state = 'pending'""",
            payout_id,
        )

    async def note(self, payout_id: UUID, problem: str) -> None:
        """What kept an attempt from its end."""
        await self._database.execute(
            "UPDATE payouts SET problem = $2 WHERE id = $1 AND state = 'pending'",
            payout_id,
            problem[:MAX_PROBLEM],
        )

    async def set_paid(self, payout_id: UUID, reference: str) -> bool:
        """False for what has ended."""
        return await self._end(payout_id, PayoutState.PAID, reference, "")

    async def set_paid_late(self, payout_id: UUID, reference: str) -> bool:
        """Of what was taken for failed, and was paid all the same. False for what is not failed."""
        return await self._end(payout_id, PayoutState.PAID, reference, PAID_LATE, PayoutState.FAILED)

    async def set_failed(self, payout_id: UUID, problem: str) -> bool:
        """False for what has ended."""
        return await self._end(payout_id, PayoutState.FAILED, None, problem[:MAX_PROBLEM])

    async def set_returned(self, payout_id: UUID, returned: int, problem: str) -> None:
        """``returned`` is all that came back; with the whole amount the payout is reversed."""
        await self._database.execute(
            """UPDATE payouts SET returned = $2, problem = $3,
                      state = CASE WHEN $2 = amount THEN 'reversed' ELSE state END
               WHERE id = $1 AND state = 'paid'""",
            payout_id,
            returned,
            problem[:MAX_PROBLEM],
        )

    async def _end(
        self,
        payout_id: UUID,
        state: PayoutState,
        reference: str | None,
        problem: str,
        before: PayoutState = PayoutState.PENDING,
    ) -> bool:
        found = await self._database.fetch_value(
            """UPDATE payouts SET state = $2, reference = $3, problem = $4, finished_at = now()
               WHERE id = $1 AND state = $5 RETURNING id""",
            payout_id,
            state.value,
            reference,
            problem,
            before.value,
        )
        return found is not None


class PayoutAccounts:
    """Where creators are paid, and by which schedule."""

    def __init__(self, database: Executor, provider: ProviderName = ProviderName.STRIPE) -> None:
        self._database = database
        self._provider = provider.value

    async def find(self, user_id: UUID) -> PayoutAccount | None:
        row = await self._database.fetch_row(
            """SELECT user_id, account, state, problem FROM payout_accounts
               WHERE user_id = $1 AND provider = $2""",
            user_id,
            self._provider,
        )
        return PayoutAccount(row[0], row[1], Onboarding(row[2]), row[3]) if row else None

    async def add(self, user_id: UUID, account: str) -> str:
        """The account that the user has then: another one, if that was quicker."""
        await self._database.execute(
            """INSERT INTO payout_accounts (user_id, provider, account, state, told_at)
               VALUES ($1, $2, $3, 'pending', '-infinity') ON CONFLICT (user_id, provider) DO NOTHING""",
            user_id,
            self._provider,
            account,
        )
        found: str = await self._database.fetch_value(
            "SELECT account FROM payout_accounts WHERE user_id = $1 AND provider = $2",
            user_id,
            self._provider,
        )
        return found

    async def set_state(self, account: str, state: Onboarding, problem: str, told_at: datetime) -> None:
        """What the provider said at ``told_at``; newer news stay."""
        await self._database.execute(
            """UPDATE payout_accounts SET state = $3, problem = $4, told_at = $5
               WHERE provider = $1 AND account = $2 AND told_at <= $5""",
            self._provider,
            account,
            state.value,
            problem[:MAX_PROBLEM],
            told_at,
        )

    async def settings(self, user_id: UUID) -> PayoutSettings | None:
        row = await self._database.fetch_row(
            "SELECT schedule, minimum, currency, due_at FROM payout_settings WHERE user_id = $1", user_id
        )
        return PayoutSettings(Schedule(row[0]), *row[1:]) if row else None

    async def set_settings(self, user_id: UUID, settings: PayoutSettings) -> None:
        """Raises InvalidValue."""
        await self._database.execute(
            """INSERT INTO payout_settings (user_id, schedule, minimum, currency, due_at)
               VALUES ($1, $2, $3, $4, $5) ON CONFLICT (user_id) DO UPDATE
               SET schedule = EXCLUDED.schedule, minimum = EXCLUDED.minimum, currency = EXCLUDED.currency,
                   due_at = EXCLUDED.due_at, updated_at = now()""",
            user_id,
            settings.schedule.value,
            settings.minimum,
            settings.currency,
            settings.due_at,
        )

    async def due(self, until: datetime, after: DuePosition | None, limit: int) -> list[DuePosition]:
        """Whose payout is due, who waits longest first."""
        after_sql = "AND (due_at, user_id) > ($3, $4)" if after is not None else ""
        arguments = (after.due_at, after.user_id) if after is not None else ()
        rows = await self._database.fetch(
            f"""SELECT due_at, user_id FROM payout_settings
                WHERE due_at <= $1 {after_sql} ORDER BY due_at, user_id LIMIT $2""",
            until,
            limit,
            *arguments,
        )
        return [DuePosition(*row) for row in rows]

    async def take_turn(self, user_id: UUID, due_at: datetime, next_due_at: datetime) -> bool:
        """Move the user on to the next turn; False if that has happened already, or the schedule changed."""
        found = await self._database.fetch_value(
            """UPDATE payout_settings SET due_at = $3
               WHERE user_id = $1 AND due_at = $2 RETURNING user_id""",
            user_id,
            due_at,
            next_due_at,
        )
        return found is not None


def _payout(row: Row) -> Payout:
    known = {
        "state": PayoutState(row["state"]),
        "trigger": Trigger(row["trigger"]),
        "provider": ProviderName(row["provider"]),
    }
    return Payout(**{**row, **known})
