"""The people, rooms and follows of a seeded database: the same ones for the same numbers, on every run.

Everything is a function of a row's number, so seeding twice changes nothing, and the load generator knows
names without asking the database. Popularity is skewed: low numbers have most of the followers and viewers.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

PASSWORD: Final = "correct horse bench"
"""Of every seeded user."""
NODE: Final = "bench-seed"
"""Where the seeded live rooms say that they run: a node no server has, so that none closes them."""
BROADCASTS_PER_ROOM: Final = 3
NOT_PUBLIC_EVERY: Final = 10
AGE_LIMIT_EVERY: Final = 50


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
_USER, _ROOM, _CATEGORY, _BROADCAST = 1, 2, 3, 4
_SKEW: Final = 3.0
_ADJECTIVES: Final = _words(
    "late early quiet loud golden frozen endless tiny grand secret rapid cosy wild northern"
)
_NOUNS: Final = _words("speedrun concert kitchen workshop tournament garden lecture painting racing chess")
_PLACES: Final = _words("Lisbon Oslo Kyoto Lima Nairobi Quebec Tallinn Perth Cusco Ghent Malmö Zürich")
_TAGS: Final = _words("english music talk retro cooking chill competitive beginner family science outdoor")
_CATEGORIES: Final = _words("games music food crafts sports science art travel talk education coding nature")
_VISIBILITIES: Final = ("unlisted", "followers", "private")

Record = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Population:
    """How many rows of each kind; rooms belong to the users with the lowest numbers."""

    users: int
    rooms: int
    follows: int
    live: int

    @property
    def follows_per_user(self) -> int:
        return -(-self.follows // self.users) if self.users else 0


def username(number: int) -> str:
    return f"bench_{number:06d}"


def user_id(number: int) -> UUID:
    return _identifier(_USER, number)


def room_id(number: int) -> UUID:
    return _identifier(_ROOM, number)


def room_slug(number: int) -> str:
    return f"bench-room-{number:05d}"


def is_for_everyone(number: int) -> bool:
    """Whether this room is public and without an age limit."""
    return _visibility(number) == "public" and not _has_age_limit(number)


def category_slug(number: int) -> str:
    return f"bench-{_CATEGORIES[number % len(_CATEGORIES)]}"


def search_word(number: int) -> str:
    """A word that titles of some rooms have."""
    return (*_ADJECTIVES, *_NOUNS, *_PLACES)[number % (len(_ADJECTIVES) + len(_NOUNS) + len(_PLACES))]


def tag(number: int) -> str:
    return _TAGS[number % len(_TAGS)]


def categories() -> Iterator[Record]:
    """id, slug, name"""
    for number, name in enumerate(_CATEGORIES):
        yield _identifier(_CATEGORY, number), category_slug(number), f"Bench {name}"


def users(population: Population, password_hash: str) -> Iterator[Record]:
    """id, username, email, display_name, password_hash, bio, is_creator, created_at"""
    for number in range(population.users):
        name = username(number)
        display_name = f"{_ADJECTIVES[number % len(_ADJECTIVES)].title()} {_PLACES[number % len(_PLACES)]}"
        is_creator = number < population.rooms
        record = user_id(number), name, f"{name}@bench.invalid", f"{display_name} {number}", password_hash
        yield *record, f"Streams from {display_name}", is_creator, _at(number)


def rooms(population: Population) -> Iterator[Record]:
    """id, owner_id, slug, title, description, category_id, tags, visibility, age_restricted, created_at

    One in ten is not public, one in 50 has an age limit.
    """
    for number in range(population.rooms):
        visibility = _visibility(number)
        owner = user_id(number % population.users)
        category = _identifier(_CATEGORY, number % len(_CATEGORIES))
        title = _title(number)
        tags = sorted({tag(number), tag(number * 7 + 3), tag(number // 11)})
        text = room_id(number), owner, room_slug(number), title, f"{title}. Everybody is welcome.", category
        yield *text, tags, visibility, _has_age_limit(number), _at(number)


def follows(population: Population) -> Iterator[Record]:
    """follower_id, user_id, created_at: about as many per user, aimed at the popular."""
    left = population.follows
    for follower in range(population.users):
        chosen = random.Random(follower)
        targets: set[int] = set()
        wanted = min(population.follows_per_user, left, population.users - 1)
        while len(targets) < wanted:
            target = int(population.users * chosen.random() ** _SKEW)
            if target != follower:
                targets.add(target)
        left -= wanted
        for target in sorted(targets):
            yield user_id(follower), user_id(target), _at(follower + target)


def past_broadcasts(population: Population) -> Iterator[Record]:
    """id, room_id, started_at, ended_at, peak_viewers, end_reason"""
    for number in range(population.rooms):
        for turn in range(BROADCASTS_PER_ROOM):
            started = _at(number) + timedelta(days=turn + 1)
            broadcast = _identifier(_BROADCAST, number * 10 + turn)
            ended = started + timedelta(minutes=30 + number % 90)
            yield broadcast, room_id(number), started, ended, viewers(number), "ended"


def open_broadcasts(population: Population) -> Iterator[tuple[UUID, UUID, int]]:
    """id, room_id and viewers of the rooms that are live."""
    for number in range(min(population.live, population.rooms)):
        yield _identifier(_BROADCAST, number * 10 + BROADCASTS_PER_ROOM), room_id(number), viewers(number)


def viewers(number: int) -> int:
    return 20_000 // (number + 1)


def _visibility(number: int) -> str:
    is_open = number % NOT_PUBLIC_EVERY != NOT_PUBLIC_EVERY - 1
    return "public" if is_open else _VISIBILITIES[number // NOT_PUBLIC_EVERY % len(_VISIBILITIES)]


def _has_age_limit(number: int) -> bool:
    return number % AGE_LIMIT_EVERY == AGE_LIMIT_EVERY // 2


def _title(number: int) -> str:
    words = _ADJECTIVES[number % len(_ADJECTIVES)], _NOUNS[number // 3 % len(_NOUNS)]
    return f"{words[0].title()} {words[1]} from {_PLACES[number // 7 % len(_PLACES)]} {number}"


def _at(number: int) -> datetime:
    return _EPOCH + timedelta(seconds=number)


def _identifier(kind: int, number: int) -> UUID:
    """A UUIDv7 made from a number alone."""
    milliseconds = int(_EPOCH.timestamp()) * 1000 + number
    return UUID(int=milliseconds << 80 | 0x7 << 76 | kind << 64 | 0b10 << 62 | number)
