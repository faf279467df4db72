"""Counters and tickets: the same promises in the process and in a real Redis that is lost and comes back."""

import asyncio
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from storage.redis_state import RedisState
from storage.shared_state import Allowance, LocalState, SharedState
from tests.helpers.waiting import eventually


class RedisServer:
    """A redis-server of the test's own, without persistence."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise TimeoutError("redis-server does not listen")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=["local", "redis"])
async def state(request: pytest.FixtureRequest) -> AsyncIterator[SharedState]:
    if request.param == "local":
        yield LocalState()
        return
    redis_state = RedisState(request.getfixturevalue("redis_server").url)
    yield redis_state
    await redis_state.close()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_allows_up_to_the_limit_and_counts_down(state: SharedState) -> None:
    taken = [await state.take("a", 3, 60) for _ in range(5)]
    assert [one.is_allowed for one in taken] == [True, True, True, False, False]
    assert [one.remaining for one in taken] == [2, 1, 0, 0, 0]
    assert all(0 < one.reset_seconds <= 60 for one in taken)


async def test_counts_each_key_by_itself(state: SharedState) -> None:
    await state.take("a", 1, 60)
    assert (await state.take("b", 1, 60)).is_allowed


async def test_forget_starts_anew(state: SharedState) -> None:
    await state.take("a", 1, 60)
    await state.forget("a")
    assert (await state.take("a", 1, 60)).is_allowed


async def test_allows_again_after_the_window(state: SharedState) -> None:
    started = time.monotonic()
    await state.take("a", 1, 0.3)
    await eventually(lambda: time.monotonic() > started + 0.5)
    assert (await state.take("a", 1, 0.3)).is_allowed


async def test_never_more_than_the_limit_at_once(state: SharedState) -> None:
    taken = await asyncio.gather(*(state.take("a", 10, 60) for _ in range(50)))
    assert sum(one.is_allowed for one in taken) == 10


async def burst(state: SharedState, key: str, limit: int, window_seconds: float) -> list[Allowance]:
    """One request more than ``limit``, at once; again where the machine stood still meanwhile."""
    for _ in range(100):
        await state.forget(key)
        started = time.monotonic()
        taken = [await state.take(key, limit, window_seconds) for _ in range(limit + 1)]
        if time.monotonic() < started + window_seconds / 2:
            return taken
    raise TimeoutError("the machine has no time")


async def test_nobody_is_told_to_wait_longer_than_the_window(state: SharedState) -> None:
    """Whenever in a slice the first request comes."""
    for number in range(20):
        *allowed, refused = await burst(state, str(number), 2, 0.7)
        assert all(one.is_allowed for one in allowed)
        assert not refused.is_allowed
        assert all(0 < one.reset_seconds <= 0.7 for one in (*allowed, refused))


async def test_limit_of_nothing_refuses(state: SharedState) -> None:
    assert not (await state.take("a", 0, 60)).is_allowed


async def test_ticket_is_for_one(state: SharedState) -> None:
    await state.put_once("ticket", b"\x00who", 60)
    assert await state.take_once("ticket") == b"\x00who"
    assert await state.take_once("ticket") is None


async def test_ticket_of_many_askers_goes_to_one(state: SharedState) -> None:
    await state.put_once("ticket", b"who", 60)
    answers = await asyncio.gather(*(state.take_once("ticket") for _ in range(20)))
    assert answers.count(b"who") == 1


async def test_ticket_expires(state: SharedState) -> None:
    started = time.monotonic()
    await state.put_once("ticket", b"who", 0.05)
    await eventually(lambda: time.monotonic() > started + 0.2)
    assert await state.take_once("ticket") is None


async def test_no_window_ever_has_more_than_the_limit() -> None:
    clock = Clock()
    state = LocalState(clock)
    allowed: list[float] = []
    for step in range(4000):
        clock.now += 0.013 * (1 + step % 7)
        if (await state.take("a", 20, 10)).is_allowed:
            allowed.append(clock.now)
    assert len(allowed) > 200
    assert all(late - early >= 10 for early, late in zip(allowed, allowed[20:], strict=False))


async def test_waiting_as_told_is_enough() -> None:
    clock = Clock()
    state = LocalState(clock)
    for _ in range(5):
        clock.now += 3.7
        await state.take("a", 5, 60)
    refused = await state.take("a", 5, 60)
    assert not refused.is_allowed
    clock.now += refused.reset_seconds + 0.001
    assert (await state.take("a", 5, 60)).is_allowed


async def test_waiting_as_told_is_enough_in_redis(redis_server: RedisServer) -> None:
    state = RedisState(redis_server.url)
    *_, refused = await burst(state, "a", 3, 0.5)
    assert not refused.is_allowed
    started = time.monotonic()
    await eventually(lambda: time.monotonic() > started + refused.reset_seconds + 0.002)
    assert (await state.take("a", 3, 0.5)).is_allowed
    await state.close()


async def test_number_of_keys_is_bounded() -> None:
    clock = Clock()
    state = LocalState(clock, max_keys=10)
    for number in range(100):
        await state.take(f"key {number}", 1, 60)
        await state.put_once(f"key {number}", b"", 60)
    assert len(state._counters.items) == len(state._tickets.items) == 10
    clock.now += 1000
    for number in range(6):
        await state.take(f"other {number}", 1, 60)
    assert len(state._counters.items) == 6


async def test_counts_alone_while_redis_is_away_and_says_so_once(redis_server: RedisServer) -> None:
    clock = Clock()
    state = RedisState(redis_server.url, clock)
    await state.take("a", 2, 600)
    redis_server.kill()
    with capture_logs() as logs:
        taken = [await state.take("a", 2, 600) for _ in range(4)]
        await state.put_once("ticket", b"kept", 600)
        with pytest.raises(ConnectionError):
            await state.ping()
        redis_server.start()
        async with asyncio.timeout(30):
            # On a busy machine an attempt may time out.
            while logs[-1]["event"] != "redis_back":
                clock.now += 5
                await state.take("b", 1000, 600)
    assert [one.is_allowed for one in taken] == [True, True, False, False]
    assert [log["event"] for log in logs] == ["redis_lost", "redis_back"]
    assert await state.take_once("ticket") == b"kept"
    assert await state.take_once("ticket") is None
    await state.close()


async def test_two_nodes_share_one_redis(redis_server: RedisServer) -> None:
    first, second = RedisState(redis_server.url), RedisState(redis_server.url)
    await first.take("a", 1, 60)
    assert not (await second.take("a", 1, 60)).is_allowed
    await first.put_once("ticket", b"who", 60)
    assert await second.take_once("ticket") == b"who"
    await first.close()
    await second.close()


async def test_redis_that_hangs_holds_nobody_up() -> None:
    """A server that accepts and never answers."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    state = RedisState(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
    async with asyncio.timeout(10):
        assert (await state.take("a", 1, 60)).is_allowed
        assert not (await state.take("a", 1, 60)).is_allowed
    await state.close()
    server.close()
