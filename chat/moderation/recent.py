"""What was written in a room lately, to find repetitions. Of each message only a digest is kept.

It is the memory of one node: what was written on others counts once ``note`` was told of it.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, TypeAlias, TypeVar
from uuid import UUID

from chat.errors import Refusal
from chat.moderation.text import fingerprint_form

DUPLICATE_SECONDS: Final = 30.0
UNIQUE_SECONDS: Final = 600.0
UNIQUE_MESSAGES: Final = 1000
MAX_DUPLICATES: Final = 10_000
_DIGEST_BYTES: Final = 16

Fingerprint: TypeAlias = bytes
KeyType = TypeVar("KeyType")


@dataclass(frozen=True, slots=True)
class Noted:
    """What ``Recent.forget`` undoes; ``before`` is when somebody wrote the same the last time."""

    user_id: UUID
    digest: Fingerprint
    is_public: bool
    before: float | None


def fingerprint(text: str) -> Fingerprint:
    """Equal for texts that differ only in case, space, marks and look-alike letters."""
    form = fingerprint_form(text).encode("utf-8", "surrogatepass")
    return blake2b(form, digest_size=_DIGEST_BYTES).digest()


class Recent:
    """One room's. ``clock`` gives seconds, like time.monotonic."""

    __slots__ = ("_by_user", "_clock", "_of_all")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Both have the latest at their end.
        self._by_user: OrderedDict[tuple[UUID, Fingerprint], float] = OrderedDict()
        self._of_all: OrderedDict[Fingerprint, float] = OrderedDict()

    def check(self, user_id: UUID, digest: Fingerprint, *, is_unique: bool) -> None:
        """Raises Refusal ``duplicate``, or ``not_unique`` when ``is_unique`` is asked for."""
        now = self._clock()
        written_at = self._by_user.get((user_id, digest))
        if written_at is not None and written_at + DUPLICATE_SECONDS > now:
            wait = written_at + DUPLICATE_SECONDS - now
            raise Refusal("duplicate", "You wrote the same a moment ago.", wait)
        written_at = self._of_all.get(digest)
        if is_unique and written_at is not None and written_at + UNIQUE_SECONDS > now:
            raise Refusal("not_unique", "Somebody wrote the same a short while ago.")

    def note(self, user_id: UUID, digest: Fingerprint, *, is_public: bool = True) -> Noted:
        """Somebody wrote this. What nobody else sees (``is_public``) must not stop others."""
        now = self._clock()
        noted = Noted(user_id, digest, is_public, self._of_all.get(digest))
        _put(self._by_user, (user_id, digest), now)
        _drop_old(self._by_user, MAX_DUPLICATES, now - DUPLICATE_SECONDS)
        if is_public:
            _put(self._of_all, digest, now)
            _drop_old(self._of_all, UNIQUE_MESSAGES, now - UNIQUE_SECONDS)
        return noted

    def forget(self, noted: Noted) -> None:
        """The message was refused after all."""
        self._by_user.pop((noted.user_id, noted.digest), None)
        if noted.is_public and noted.before is None:
            self._of_all.pop(noted.digest, None)
        elif noted.is_public and noted.digest in self._of_all and noted.before is not None:
            self._of_all[noted.digest] = noted.before

    @property
    def size(self) -> int:
        """How many digests are kept."""
        return len(self._by_user) + len(self._of_all)


def _put(entries: OrderedDict[KeyType, float], key: KeyType, now: float) -> None:
    entries[key] = now
    entries.move_to_end(key)


def _drop_old(entries: OrderedDict[KeyType, float], at_most: int, since: float) -> None:
    while entries and (len(entries) > at_most or next(iter(entries.values())) < since):
        entries.popitem(last=False)
