"""Everything that is kept about a person, as a zip of JSON files that they may take with them."""

import asyncio
import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from uuid import UUID
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import structlog

from control_api.errors import unavailable
from control_api.services.social import active_profile
from storage.database import Database
from storage.objects import Objects, ObjectsUnavailable
from storage.repositories.account_data import MAX_ROWS, AccountData

logger = structlog.get_logger("mediaserver.api")

MAX_WAITING: Final = 4
README: Final = f"""One file per kind of data, each a JSON array; at most {MAX_ROWS} rows of each kind.
Passwords, keys and codes are kept as digests only, which are not in here.
"""


class AccountExport:
    """One zip is made at a time; a few wait. Close it after use."""

    def __init__(self, database: Database, objects: Objects) -> None:
        self._database = database
        self._objects = objects
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="account-export")
        self._free = asyncio.Semaphore(1)
        self._waiting = 0

    async def export(self, user_id: UUID) -> bytes:
        """The zip. Raises ApiError 503 when too many wait."""
        if self._waiting >= MAX_WAITING:
            raise unavailable("Too many exports are being made; try again shortly.")
        self._waiting += 1
        try:
            async with self._free:
                return await self._export(user_id)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _export(self, user_id: UUID) -> bytes:
        profile = await active_profile(self._database, user_id)
        avatar = await self._avatar(profile.avatar) if profile.avatar else None
        sections = await AccountData(self._database).export(user_id)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, _zipped, sections, avatar)

    async def _avatar(self, name: str) -> bytes | None:
        try:
            return await self._objects.get(f"avatars/{name}")
        except ObjectsUnavailable as error:
            logger.warning("avatar_not_exported", error=str(error))
            return None


def _zipped(sections: Mapping[str, bytes], avatar: bytes | None) -> bytes:
    output = io.BytesIO()
    with ZipFile(output, "w", ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", README)
        for name, data in sections.items():
            archive.writestr(f"{name}.json", data)
        if avatar is not None:
            archive.writestr("avatar.webp", avatar, ZIP_STORED)
    return output.getvalue()
