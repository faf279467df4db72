"""The way to PostgreSQL: a bounded pool that heals itself, and errors of our own.

Rules:

* Nothing waits for ever: a free connection, a command and the end each have a timeout.
* A lost or slow server is ``DatabaseUnavailable``, a broken constraint ``Conflict`` or ``InvalidValue``; any
  other asyncpg error is a fault in our SQL and passes through.
* The pool opens new connections by itself once the server is back. The embedded server is started again when
  it is found dead.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias

import asyncpg
import structlog

from storage.embedded import EmbeddedPostgres
from storage.errors import Conflict, DatabaseUnavailable, InvalidValue, StorageError

logger = structlog.get_logger("mediaserver.storage")

CONNECT_TIMEOUT_SECONDS: Final = 5.0
CLOSE_TIMEOUT_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 0.2
REVIVAL_PAUSE_SECONDS: Final = 1.0

Row: TypeAlias = Any
"""An asyncpg.Record: columns by name or position."""


class Executor(ABC):
    """Runs SQL: the database itself, or a transaction. ``$1`` … in the SQL stand for the arguments."""

    @abstractmethod
    def _connection(self) -> AbstractAsyncContextManager[Any]:
        """A connection to run one command on, with errors translated."""

    async def fetch(self, sql: str, *arguments: Any) -> list[Row]:
        async with self._connection() as connection:
            rows: list[Row] = await connection.fetch(sql, *arguments)
            return rows

    async def fetch_row(self, sql: str, *arguments: Any) -> Row | None:
        async with self._connection() as connection:
            return await connection.fetchrow(sql, *arguments)

    async def fetch_value(self, sql: str, *arguments: Any) -> Any:
        """The first column of the first row, or None."""
        async with self._connection() as connection:
            return await connection.fetchval(sql, *arguments)

    async def execute(self, sql: str, *arguments: Any) -> None:
        async with self._connection() as connection:
            await connection.execute(sql, *arguments)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Transaction"]:
        """Committed at the end of the block, rolled back when it raises; a savepoint inside a transaction."""
        async with self._connection() as connection, connection.transaction():
            yield Transaction(connection)


class Transaction(Executor):
    """SQL on one connection between BEGIN and COMMIT."""

    def __init__(self, connection: Any) -> None:
        self._open_connection = connection

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        with translated_errors():
            yield self._open_connection


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """Connections at most; timeouts in seconds. ``patience`` is how long a first connection is tried for."""

    size: int = 10
    acquire_timeout: float = 5.0
    command_timeout: float = 10.0
    patience: float = 30.0


class Database(Executor):
    """PostgreSQL at a URL, or the embedded one.

    An async context manager: entering starts the embedded server and opens the pool, leaving closes the pool
    and stops the embedded server if nobody else uses it.
    """

    def __init__(self, server: str | EmbeddedPostgres, options: PoolOptions | None = None) -> None:
        self._embedded = server if isinstance(server, EmbeddedPostgres) else None
        self._url = server.url if isinstance(server, EmbeddedPostgres) else server
        self._options = options or PoolOptions()
        self._pool: Any = None
        self._revival: asyncio.Task[None] | None = None

    @property
    def connections(self) -> tuple[int, int]:
        """Open connections of the pool, and how many of them are idle."""
        return (self._pool.get_size(), self._pool.get_idle_size()) if self._pool else (0, 0)

    async def __aenter__(self) -> Self:
        """Raises DatabaseUnavailable if no server answers in time, StorageError if it refuses us."""
        if self._embedded is not None:
            await self._join(self._embedded)
        try:
            self._pool = await self._create_pool()
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._revival is not None:
            self._revival.cancel()
            await asyncio.gather(self._revival, return_exceptions=True)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()
        await self._leave()

    @asynccontextmanager
    async def dedicated_connection(self) -> AsyncIterator[Any]:
        """An asyncpg connection outside the pool and without a command timeout: for LISTEN and migrations."""
        with self._watched():
            connection = await asyncpg.connect(self._url, timeout=CONNECT_TIMEOUT_SECONDS)
            try:
                yield connection
            finally:
                connection.terminate()

    async def ping(self) -> None:
        """Raises DatabaseUnavailable unless a command went through."""
        await self.execute("SELECT 1")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        with self._watched():
            async with self._pool.acquire(timeout=self._options.acquire_timeout) as connection:
                yield connection

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Translate errors, and start the embedded server again when it seems to be gone."""
        try:
            with translated_errors():
                yield
        except DatabaseUnavailable:
            if self._embedded is not None and (self._revival is None or self._revival.done()):
                self._revival = asyncio.create_task(self._revive(self._embedded))
            raise

    async def _revive(self, embedded: EmbeddedPostgres) -> None:
        try:
            await asyncio.to_thread(embedded.join)
        except StorageError as error:
            logger.error("postgres_not_revived", error=str(error))
        # Errors of the time when the server was starting must not bring the next attempt at once.
        await asyncio.sleep(REVIVAL_PAUSE_SECONDS)

    async def _create_pool(self) -> Any:
        """Connect, patiently: a server may be in recovery, or start together with us."""
        deadline = asyncio.get_running_loop().time() + self._options.patience
        while True:
            try:
                with translated_errors():
                    pool = await self._create_idle_pool()
                    await pool.fetchval("SELECT 1")
                    return pool
            except DatabaseUnavailable:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(RETRY_SECONDS)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
                raise StorageError(f"PostgreSQL cannot be used: {error}") from error

    async def _create_idle_pool(self) -> Any:
        return await asyncpg.create_pool(
            self._url,
            # With a floor, asyncpg would itself try to hold it through an outage, and log every attempt.
            min_size=0,
            max_size=self._options.size,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=self._options.command_timeout,
            server_settings={"application_name": "mediaserver"},
        )

    async def _join(self, embedded: EmbeddedPostgres) -> None:
        """Start or find the server. A thread cannot be stopped midway: who gives up waits and leaves."""
        joining = asyncio.create_task(asyncio.to_thread(embedded.join))
        try:
            await asyncio.shield(joining)
        except asyncio.CancelledError:
            await asyncio.wait((joining,))
            if joining.exception() is None:
                await self._leave()
            raise

    async def _leave(self) -> None:
        if self._embedded is not None:
            await asyncio.to_thread(self._embedded.leave)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn asyncpg's and the socket's errors into this package's."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise Conflict(error.constraint_name or "") from error
    except (asyncpg.CheckViolationError, asyncpg.ForeignKeyViolationError) as error:
        raise InvalidValue(error.constraint_name or "") from error
    except (
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        OSError,
        TimeoutError,
    ) as error:
        if not _is_lost(error):
            raise
        raise DatabaseUnavailable(f"PostgreSQL: {str(error) or type(error).__name__}") from error


def _is_lost(error: Exception) -> bool:
    """Whether ``error`` says that the server is away, overloaded or chose another, not that our SQL is wrong.

    asyncpg's InternalClientError comes when PostgreSQL's last words reach a connection just as it is taken or
    given back.
    """
    if isinstance(error, asyncpg.InterfaceError):
        # asyncpg has one class for a closed connection or pool and for wrong use of its API.
        return "clos" in str(error)
    if isinstance(error, asyncpg.PostgresError):
        return isinstance(
            error,
            asyncpg.PostgresConnectionError
            | asyncpg.OperatorInterventionError
            # Asked again, it finds the others gone.
            | asyncpg.DeadlockDetectedError
            | asyncpg.InsufficientResourcesError,
        )
    return True
