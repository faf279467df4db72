"""A database whose connection breaks when it is told to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any

from hypothesis import strategies as st

from storage.database import Database, Transaction
from storage.errors import DatabaseUnavailable


class Moment(Enum):
    """When the connection breaks: before a command, in its transaction, or when it is committed."""

    BEFORE = "before"
    INSIDE = "inside"
    AFTER = "after"


Loss = tuple[int, Moment]
"""Which command from now on meets it; for INSIDE, which transaction."""
losses = st.one_of(
    st.none(),
    st.tuples(st.integers(0, 2), st.just(Moment.INSIDE)),
    st.tuples(st.integers(0, 8), st.sampled_from([Moment.BEFORE, Moment.AFTER])),
)


class LossyDatabase(Database):
    """``loss`` happens once."""

    loss: Loss | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with super().transaction() as transaction:
            yield transaction
            if self._is_due(Moment.INSIDE):
                raise DatabaseUnavailable("lost before the end of the transaction")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        if self._is_due(Moment.BEFORE):
            raise DatabaseUnavailable("lost before the command")
        is_due = self._is_due(Moment.AFTER)
        async with super()._connection() as connection:
            yield connection
        if is_due:
            raise DatabaseUnavailable("lost before the answer")

    def _is_due(self, moment: Moment) -> bool:
        if self.loss is None or self.loss[1] is not moment:
            return False
        left = self.loss[0]
        self.loss = (left - 1, moment) if left else None
        return left == 0
