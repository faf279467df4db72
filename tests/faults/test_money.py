"""The server, its database or the way to it dies while people give: each gift is paid once, and only once."""

import asyncio
import json
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final, TypeVar

import pytest
import requests

from bench.api_load.givers import Crowd, populate, sign_in
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.ids import new_id
from tests.faults.test_database import postmaster
from tests.helpers.server_process import ServerProcess
from tests.helpers.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

GIVERS: Final = 4
ROSE_COINS: Final = 10
HEAL_SECONDS: Final = 150.0
"""A server that starts again takes half a minute where others keep the processors busy."""
PAUSE_SECONDS: Final = 0.05
FoundType = TypeVar("FoundType")
UNLIMITED: Final = {"MEDIASERVER_API__REQUESTS_PER_WINDOW": "1000000"}


class Giver(threading.Thread):
    """Gives roses one after the other, and asks again under the same key until each is answered.

    ``answers`` are the transfers' ids by key; ``repeated`` the keys that were asked for more than once.
    """

    def __init__(self, url: str, gift_id: object, token: str) -> None:
        super().__init__(daemon=True)
        self._url, self._gift_id, self._token = url, gift_id, token
        self.answers: dict[str, str] = {}
        self.repeated: Counter[str] = Counter()
        self.enough = threading.Event()
        self.failure: str | None = None

    def run(self) -> None:
        while not self.enough.is_set() and self.failure is None:
            self._give(str(new_id()))

    def _give(self, key: str) -> None:
        deadline = time.monotonic() + HEAL_SECONDS
        while time.monotonic() < deadline:
            status, answer = self.ask(key)
            if status == 201:
                self.answers[key] = answer["data"]["giftTransaction"]["id"]
                return
            if status not in (0, 503):
                self.failure = f"{status} {answer}"
                return
            self.repeated[key] += 1
            time.sleep(PAUSE_SECONDS)
        self.failure = f"{key} was not answered"

    def ask(self, key: str) -> tuple[int, Any]:
        """Status and body; 0 when there is no answer."""
        headers = {"Authorization": f"Bearer {self._token}", "Idempotency-Key": key}
        body = {"giftId": str(self._gift_id), "quantity": 1}
        try:
            response = requests.post(self._url, json=body, headers=headers, timeout=30)
            return response.status_code, response.json()
        except requests.RequestException:
            return 0, None


class World:
    """Counts what happened since it was made."""

    def __init__(self, server: ServerProcess, crowd: Crowd, tokens: list[str], database: Database) -> None:
        self.server, self.database = server, database
        self._crowd, self._tokens = crowd, tokens
        self._before: set[str] = set()
        self._coins_before = 0

    async def begin(self) -> "World":
        self._before, self._coins_before = await self._all_given(), await self._coins()
        return self

    @property
    def path(self) -> str:
        return f"/api/v1/rooms/{self._crowd.rooms[0]}/gifts"

    def givers(self) -> list[Giver]:
        url = self.server.base_url + self.path
        return [Giver(url, self._crowd.gift_id, token) for token in self._tokens]

    def request(self, key: str) -> bytes:
        """A gift of the first giver's, for a socket."""
        body = json.dumps({"giftId": str(self._crowd.gift_id)})
        return (
            f"POST {self.path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._tokens[0]}\r\n"
            f"Idempotency-Key: {key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    async def given(self) -> set[str]:
        return await self._all_given() - self._before

    async def assert_right(self, givers: list[Giver]) -> None:
        """What was answered is what was paid, all of it was told, and the ledger adds up."""
        answers = [answer for giver in givers for answer in giver.answers.values()]
        assert sorted(await self.given()) == sorted(answers)
        assert self._coins_before - await self._coins() == ROSE_COINS * len(answers)
        await self._told()
        assert (await asyncio.to_thread(self.server.admin, "reconcile"))["differences"] == []

    async def _told(self) -> None:
        await found(lambda: self.database.fetch("SELECT WHERE NOT EXISTS (SELECT FROM gift_outbox)"))
        row = await self.database.fetch_row("SELECT sum(gifts), sum(coins) FROM gift_room_totals")
        gifts = len(await self._all_given())
        assert tuple(row) == (gifts, gifts * ROSE_COINS)

    async def _all_given(self) -> set[str]:
        return {str(row[0]) for row in await self.database.fetch("SELECT id FROM gift_transactions")}

    async def _coins(self) -> int:
        """Of all who give."""
        coins: int = await self.database.fetch_value(
            """SELECT sum(balance)::bigint FROM ledger_balances JOIN ledger_accounts ON id = account_id
               WHERE kind = 'wallet' AND currency = 'coin'"""
        )
        return coins


@pytest.fixture(scope="module")
def populated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, Crowd, list[str]]]:
    with ServerProcess(tmp_path_factory.mktemp("money") / "data", settings=UNLIMITED) as server:
        yield server, *asyncio.run(_populate(server))


async def _populate(server: ServerProcess) -> tuple[Crowd, list[str]]:
    async with Database(_url(server)) as database:
        crowd = await populate(database, GIVERS, 1)
        return crowd, await sign_in(database, server.data_dir, crowd.senders)


def _url(server: ServerProcess) -> str:
    return EmbeddedPostgres(server.data_dir / "postgres").url


@pytest.fixture
async def world(populated: tuple[ServerProcess, Crowd, list[str]]) -> AsyncIterator[World]:
    server, crowd, tokens = populated
    async with Database(_url(server)) as database:
        yield await World(server, crowd, tokens, database).begin()


async def found(question: Callable[[], Awaitable[FoundType]]) -> FoundType:
    """The first answer that is true."""
    async with asyncio.timeout(HEAL_SECONDS):
        while not (answer := await question()):  # noqa: ASYNC110 (only the database knows)
            await asyncio.sleep(PAUSE_SECONDS)
    return answer


async def give_through(world: World, fault: Callable[[], None]) -> list[Giver]:
    """Who gave while ``fault`` happened, and for some time afterwards."""
    givers = world.givers()
    for giver in givers:
        giver.start()

    def everybody_gave(count: int) -> bool:
        assert [giver.failure for giver in givers if giver.failure] == []
        return all(len(giver.answers) >= count for giver in givers)

    try:
        await eventually(lambda: everybody_gave(5), HEAL_SECONDS)
        await asyncio.to_thread(fault)
        later = max(len(giver.answers) for giver in givers) + 5
        await eventually(lambda: everybody_gave(later), HEAL_SECONDS)
    finally:
        for giver in givers:
            giver.enough.set()
        for giver in givers:
            await asyncio.to_thread(giver.join, HEAL_SECONDS)
    assert sum(giver.repeated.total() for giver in givers) > 0, "nobody was giving when it happened"
    return givers


async def test_the_server_is_killed_in_mid_gift(world: World) -> None:
    def kill() -> None:
        world.server.kill()
        world.server.start()

    await world.assert_right(await give_through(world, kill))


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGKILL], ids=lambda how: how.name)
async def test_postgresql_is_killed_in_mid_gift(world: World, how: signal.Signals) -> None:
    """With and without a word to its own children."""
    givers = await give_through(world, lambda: postmaster(world.server).send_signal(how))
    await world.assert_right(givers)


async def test_the_client_is_cut_off_before_the_answer(world: World) -> None:
    """The gift is paid; asking again under the same key tells of it, and pays no more."""
    with socket.create_connection(("127.0.0.1", world.server.http_port)) as connection:
        connection.sendall(world.request("cut-off"))
        given = await found(world.given)
    giver = world.givers()[0]
    answers = [await asyncio.to_thread(giver.ask, "cut-off") for _ in range(2)]
    assert answers[0] == answers[1]
    status, body = answers[0]
    assert (status, {body["data"]["giftTransaction"]["id"]}) == (201, given)
    giver.answers["cut-off"] = body["data"]["giftTransaction"]["id"]
    await world.assert_right([giver])
