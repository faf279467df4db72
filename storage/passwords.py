"""Password hashes: argon2id, computed in a small thread pool because one takes tens of milliseconds.

The parameters are RFC 9106's second recommendation with one lane: 64 MiB of memory, three passes. They stand
in every hash, so raising them later leaves old hashes valid, and ``needs_rehash`` tells which are old.

The pool's size is a memory budget, and so is the number of those that wait: who comes when too many wait gets
``TooManyHashes`` at once, instead of an answer long after nobody wants it any more.
"""

import asyncio
import base64
import os
import secrets
import sys
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import Argon2Error, InvalidHashError

from storage.errors import StorageError

MIN_PASSWORD_LENGTH: Final = 8
MAX_PASSWORD_LENGTH: Final = 100
HASHING_THREADS: Final = 2
MAX_WAITING: Final = 16
NICENESS: Final = 5

Result = TypeVar("Result")


class TooManyHashes(StorageError):
    """So many hashes are waited for that another one would come too late."""


class Passwords:
    """Close it after use; ``threads`` hashes are computed at once, ``waiting`` more may wait.

    A password counts in Unicode's composed form (RFC 8265 section 4.2.1): the same letters are the same
    password, whatever keyboard they come from.
    """

    def __init__(self, threads: int = HASHING_THREADS, waiting: int = MAX_WAITING) -> None:
        self._hasher = PasswordHasher(time_cost=3, memory_cost=65536, parallelism=1, type=Type.ID)
        self._threads = ThreadPoolExecutor(threads, "argon2", _yield_to_the_event_loop)
        self._capacity = threads + waiting
        self._pending = 0
        self._nobodys_hash = _unmatched_hash(self._hasher)

    async def hash(self, password: str) -> str:
        """Raises TooManyHashes."""
        return await self._run(self._hasher.hash, _composed(password))

    async def is_correct(self, password: str, password_hash: str | None) -> bool:
        """Without a hash it takes as long and is wrong, so that nobody learns who exists. TooManyHashes."""
        return await self._run(self._verify, _composed(password), password_hash or self._nobodys_hash)

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash was made with parameters other than today's."""
        try:
            return self._hasher.check_needs_rehash(password_hash)
        except InvalidHashError:
            return False

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[..., Result], *arguments: str) -> Result:
        if self._pending >= self._capacity:
            raise TooManyHashes("too many password hashes wait")
        self._pending += 1
        try:
            future = asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        except BaseException:
            self._pending -= 1
            raise
        # Who gives up does not end the thread's work, so the place is free only when that is over.
        future.add_done_callback(self._forget)
        return await asyncio.shield(future)

    def _forget(self, _future: object) -> None:
        self._pending -= 1

    def _verify(self, password: str, password_hash: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (Argon2Error, InvalidHashError):
            return False


def _composed(password: str) -> str:
    return unicodedata.normalize("NFC", password)


def _unmatched_hash(hasher: PasswordHasher) -> str:
    """A hash of nothing: checking a password against it costs what checking against a real one costs."""
    salt, tag = (
        base64.b64encode(secrets.token_bytes(size)).rstrip(b"=").decode()
        for size in (hasher.salt_len, hasher.hash_len)
    )
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${costs}${salt}${tag}"


def _yield_to_the_event_loop() -> None:
    """On Linux, threads have priorities of their own: video must not wait for somebody's password."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
