"""Opening the database and the store of objects that the settings name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from mediaserver.config import Settings
from mediaserver.data_directory import DataDirectory
from storage.database import Database, PoolOptions
from storage.embedded import EmbeddedPostgres
from storage.migrating import migrate
from storage.objects import Objects, open_objects

COMMAND_PATIENCE_SECONDS: Final = 5.0
SERVER_PATIENCE_SECONDS: Final = 30.0
"""A server may be started together with its database, by compose or at boot."""


def connect(settings: Settings, data: DataDirectory, patience: float) -> Database:
    """The database as it is, to be entered; the embedded one where none is named.

    A server that is not there yet is waited for ``patience`` seconds. Entering raises
    storage.errors.StorageError with a message for whoever started the server.
    """
    options = PoolOptions(
        settings.database.pool_size,
        settings.database.acquire_timeout_seconds,
        settings.database.command_timeout_seconds,
        patience,
    )
    return Database(_server(settings, data), options)


@asynccontextmanager
async def open_database(
    settings: Settings, data: DataDirectory, patience: float = SERVER_PATIENCE_SECONDS
) -> AsyncIterator[Database]:
    """The database with its schema up to date."""
    async with connect(settings, data, patience) as database:
        await migrate(database)
        yield database


def objects_of(settings: Settings, data: DataDirectory) -> Objects:
    """The store, which is not asked for anything yet. Raises StorageError."""
    url = settings.objects_url.get_secret_value() if settings.objects_url else None
    return open_objects(url, data.path / "objects")


def _server(settings: Settings, data: DataDirectory) -> str | EmbeddedPostgres:
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return EmbeddedPostgres(data.postgres)
