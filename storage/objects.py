"""Objects: named bytes that are too large for a table, such as pictures.

A local folder by default, or a bucket by URL (``s3://bucket/prefix``, with the usual AWS_* variables).

Rules:

* A name is made by this server: plain parts with ``/`` between. Any other is refused before a store sees it.
* An object's size is bounded, and so is every wait.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

from storage.errors import StorageError

MAX_OBJECT_BYTES: Final = 16 * 1024 * 1024
MAX_NAME_LENGTH: Final = 200
TIMEOUT_SECONDS: Final = 15.0
ABSENT_NAME: Final = "absent"
"""Of no object: all others have a folder."""

_PART: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_NAME: Final = re.compile(rf"{_PART}(?:/{_PART})*")


class ObjectsUnavailable(StorageError):
    """The store cannot be reached, does not answer in time or refuses us: try again later."""


class Objects:
    """Named bytes. Each method raises ValueError for a bad name and ObjectsUnavailable."""

    def __init__(self, store: ObjectStore, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._store = store
        self._timeout_seconds = timeout_seconds

    async def put(self, name: str, data: bytes) -> None:
        """Store ``data``, whole or not at all, in place of what had the name. ValueError if too large."""
        if len(data) > MAX_OBJECT_BYTES:
            raise ValueError(f"an object has {MAX_OBJECT_BYTES} bytes at most, not {len(data)}")
        async with self._bounded():
            await obstore.put_async(self._store, _checked(name), data)

    async def get(self, name: str) -> bytes | None:
        """The bytes, or None if there are none of that name."""
        async with self._bounded():
            try:
                found = await obstore.get_async(self._store, _checked(name))
            except FileNotFoundError:
                return None
            if found.meta["size"] > MAX_OBJECT_BYTES:
                raise ObjectsUnavailable(f"object {name} is larger than {MAX_OBJECT_BYTES} bytes")
            return bytes(await found.bytes_async())

    async def delete(self, name: str) -> None:
        """Nothing happens if there are none of that name."""
        async with self._bounded():
            try:
                await obstore.delete_async(self._store, _checked(name))
            except FileNotFoundError:
                return

    async def ping(self) -> None:
        """Ask for an object that is not there."""
        async with self._bounded():
            try:
                await obstore.head_async(self._store, ABSENT_NAME)
            except FileNotFoundError:
                return

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                yield
        except (BaseError, OSError) as error:
            raise ObjectsUnavailable(f"object store: {str(error) or type(error).__name__}") from error


def open_objects(url: str | None, folder: Path) -> Objects:
    """The store at ``url``, or ``folder`` (made if need be) without one. Raises StorageError."""
    if url is None:
        folder.mkdir(parents=True, exist_ok=True)
        return Objects(LocalStore(folder))
    try:
        if url.startswith("memory:"):
            return Objects(MemoryStore())
        if url.startswith("file://"):
            return open_objects(None, Path(url.removeprefix("file://")))
        return Objects(from_url(url))
    except (BaseError, ValueError) as error:
        raise StorageError(f"objects cannot be kept at {url.split('?')[0]}: {error}") from error


def _checked(name: str) -> str:
    if len(name) > MAX_NAME_LENGTH or _NAME.fullmatch(name) is None:
        raise ValueError(f"not a name of an object: {name[:MAX_NAME_LENGTH]!r}")
    return name
