"""What clients of the API ask for: reads mostly, and a few logins and writes, over a seeded population."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from bench.api_load import population as people

LOGIN: Final = "login"
FOLLOW_SHARE: Final = 0.04
PLAYBACK_SHARE: Final = 0.06
_READ_SHARES: Final[Mapping[str, float]] = {
    "list of rooms": 0.2,
    "room": 0.25,
    "user": 0.15,
    "search": 0.1,
    "followers": 0.05,
    "recommended rooms": 0.1,
    "followed rooms": 0.1,
    "notifications": 0.05,
}
"""Of the reads, which are what logins and writes leave."""
READS: Final = frozenset(_READ_SHARES)
_SKEW: Final = 2.0
_LISTS: Final = ("", "?live=true", "?category={category}", "?tag={tag}", "?live=true&category={category}")
_LAST_PAGE_ITEMS: Final = 50


@dataclass(frozen=True, slots=True)
class Request:
    """``path`` is below the API's root; ``token`` signs it when there is one."""

    kind: str
    method: str
    path: str
    body: Mapping[str, Any] | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Mix:
    """Who is there, and how much of the traffic are logins."""

    users: int
    rooms: int
    login_share: float


class Traffic:
    """Requests at random, the same ones for the same ``seed``. The popular are asked for more often."""

    def __init__(self, mix: Mix, tokens: Sequence[str], seed: int = 0) -> None:
        self._mix = mix
        self._tokens = tokens
        self._random = random.Random(seed)
        self._makers: dict[str, Callable[[], Request]] = {
            LOGIN: self._login,
            "follow": self._follow,
            "playback token": self._playback,
            **{kind: partial(self._read, kind) for kind in _READ_SHARES},
        }
        self._weights = [mix.login_share, FOLLOW_SHARE, PLAYBACK_SHARE]
        left = max(0.0, 1.0 - sum(self._weights))
        self._weights += [share * left for share in _READ_SHARES.values()]

    def next(self) -> Request:
        (make,) = self._random.choices(list(self._makers.values()), self._weights)
        return make()

    def _login(self) -> Request:
        return login_of(self._random.randrange(self._mix.users))

    def _follow(self) -> Request:
        """Whether he does already or not: both are answered."""
        method = self._random.choice(("POST", "DELETE"))
        return Request("follow", method, f"/users/{self._some_user()}/follow", token=self._some_token())

    def _playback(self) -> Request:
        return Request("playback token", "POST", f"/rooms/{self._public_room()}/playback-token")

    def _read(self, kind: str) -> Request:
        path, is_signed = self._read_path(kind)
        return Request(kind, "GET", path, token=self._some_token() if is_signed else None)

    def _read_path(self, kind: str) -> tuple[str, bool]:
        chosen, number = self._random, self._random.randrange(1000)
        match kind:
            case "list of rooms":
                query = chosen.choice(_LISTS).format(
                    category=people.category_slug(number), tag=people.tag(number)
                )
                return f"/rooms{query}", False
            case "room":
                return f"/rooms/{self._public_room()}", False
            case "user":
                return f"/users/{people.username(chosen.randrange(self._mix.users))}", False
            case "search":
                return f"/search?q={quote(people.search_word(number))}", False
            case "followers":
                return f"/users/{self._some_user()}/followers", False
            case "recommended rooms":
                return "/rooms/recommended", True
            case "followed rooms":
                return "/rooms/following", True
            case _:
                return f"/notifications?limit={_LAST_PAGE_ITEMS}", True

    def _skewed(self, count: int) -> int:
        return int(count * self._random.random() ** _SKEW)

    def _some_user(self) -> str:
        """Nobody who is signed in here: people cannot follow themselves."""
        number = self._skewed(self._mix.users)
        return str(people.user_id(min(max(number, len(self._tokens)), self._mix.users - 1)))

    def _public_room(self) -> str:
        """One that strangers may watch: public and not for adults only."""
        number = self._skewed(self._mix.rooms)
        while not people.is_for_everyone(number):
            number = (number + 1) % self._mix.rooms
        return str(people.room_id(number))

    def _some_token(self) -> str | None:
        return self._random.choice(self._tokens) if self._tokens else None


def login_of(number: int) -> Request:
    body = {"username": people.username(number), "password": people.PASSWORD}
    return Request(LOGIN, "POST", "/auth/login", body)
