"""``bench chat`` against a server of the test's own that loses and mixes up what it is told to."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import msgspec
import pytest
from aiohttp import web

from bench.__main__ import main
from bench.api_load.population import user_id
from bench.chat_load.accounts import make_accounts
from bench.chat_load.fleet import ChatFleet, ChatPlan
from bench.chat_load.frames import SUBPROTOCOL
from bench.chat_load.node_peer import cache_folder, node_peer
from bench.commands import chat
from bench.errors import BenchError
from bench.targets import parse_target
from control_api.services.api_keys import ApiKeyLookup
from storage.database import Database
from tests.helpers.waiting import eventually

ROOM = UUID(int=1)
OTHER_ROOM = UUID(int=2)

Order = Callable[[int], list[int]]


def faithful(offset: int) -> list[int]:
    return [offset]


@dataclass
class StubChat:
    """Shows each message under the offsets that ``order`` makes of its own."""

    order: Order = faithful
    refuses: bool = False
    url: str = ""
    tokens: list[str | None] = field(default_factory=list)
    addresses: set[str] = field(default_factory=set)
    pongs: int = 0
    _rooms: dict[str, tuple[list[int], list[web.WebSocketResponse]]] = field(default_factory=dict)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,), autoping=False)
        await socket.prepare(request)
        self.tokens.append(request.headers.get("Authorization"))
        self.addresses.add(request.remote or "")
        await socket.ping(b"there?")
        async for message in socket:
            if message.type is web.WSMsgType.PONG:
                self.pongs += message.data == b"there?"
            else:
                await self._take(socket, msgspec.msgpack.decode(message.data))
        return socket

    async def _take(self, socket: web.WebSocketResponse, frame: dict) -> None:
        counter, there = self._rooms.setdefault(frame["d"]["roomId"], ([0], []))
        if frame["t"] == "join-room":
            there.append(socket)
            await _tell(socket, "joined", {"offset": counter[0]})
        elif self.refuses:
            await _tell(socket, "error", {"code": "rate_limited", "message": ""})
        else:
            counter[0] += 1
            await _tell(socket, "ack", {"offset": counter[0]})
            for offset in self.order(counter[0]):
                for each in there:
                    await _tell(each, "new-message", {"offset": offset, "message": frame["d"]["message"]})


async def _tell(socket: web.WebSocketResponse, kind: str, body: dict) -> None:
    await socket.send_bytes(msgspec.msgpack.encode({"t": kind, "d": body}))


@asynccontextmanager
async def stub_chat(order: Order = faithful, refuses: bool = False) -> AsyncIterator[StubChat]:
    stub = StubChat(order, refuses)
    app = web.Application()
    app.router.add_get("/ws", stub.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stub.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/ws"
    try:
        yield stub
    finally:
        await runner.cleanup()


@asynccontextmanager
async def fleet_of(stub: StubChat, clients: int = 6, rate: float = 500) -> AsyncIterator[ChatFleet]:
    plan = ChatPlan(
        parse_target(stub.url, ("ws",)), (ROOM, OTHER_ROOM), clients, 2, ("key-1", "key-2"), rate, 100, 1
    )
    fleet = ChatFleet(plan)
    try:
        await fleet.connect(lambda _: None)
        yield fleet
    finally:
        fleet.close()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(chat, "WARM_UP_SECONDS", 0.1)
    monkeypatch.setattr(chat, "SETTLE_SECONDS", 0.0)


async def write_some(fleet: ChatFleet, deliveries: int = 60) -> None:
    fleet.start_writing()
    await eventually(lambda: fleet.tally.deliveries >= deliveries)
    await fleet.finish()


async def test_all_that_is_written_reaches_all_in_the_room():
    async with stub_chat() as stub, fleet_of(stub) as fleet:
        await write_some(fleet)
        tally = fleet.tally
        assert tally.deliveries == fleet.sent * 3
        assert (tally.lost, tally.reordered, fleet.unseen, fleet.unanswered) == (0, 0, 0, 0)
        assert len(tally.latencies) == tally.deliveries
        assert all(latency >= 0 for latency in tally.latencies)
        assert stub.pongs == 6


async def test_writers_sign_in_and_every_client_has_an_address_of_its_own():
    async with stub_chat() as stub, fleet_of(stub, clients=4):
        assert sorted(stub.tokens, key=str) == ["Bearer key-1", "Bearer key-2", None, None]
        assert len(stub.addresses) == 4


async def test_what_is_lost_is_counted():
    async with stub_chat(lambda offset: [] if offset == 3 else [offset]) as stub, fleet_of(stub) as fleet:
        await write_some(fleet)
        assert (fleet.tally.lost, fleet.tally.reordered) == (6, 0)


async def test_what_comes_twice_or_out_of_order_is_counted():
    orders = {3: [3, 3], 5: [6], 6: [5]}
    async with stub_chat(lambda offset: orders.get(offset, [offset])) as stub, fleet_of(stub) as fleet:
        await write_some(fleet)
        assert fleet.tally.reordered == 12


async def test_what_is_refused_is_told_by_code():
    async with stub_chat(refuses=True) as stub, fleet_of(stub) as fleet:
        fleet.start_writing()
        await eventually(lambda: fleet.tally.refused.total() > 10)
        await fleet.finish()
        assert set(fleet.tally.refused) == {"rate_limited"}
        assert fleet.unanswered == 0


async def test_a_run_makes_its_accounts_and_reports(database_url: str):
    words = ["--database-url", database_url, "--clients", "6", "--rooms", "2", "--rate", "50"]
    async with stub_chat() as stub:
        (report,) = await chat.COMMAND.run_words(["--url", stub.url, *words, "--idle", "2", "--seconds", "1"])
    figures = {metric.name: metric.value for metric in report.metrics}
    assert report.is_valid, report.problems
    assert figures["deliveries"] and figures["latency p99"]
    assert (figures["lost"], figures["out of order"], figures["clients lost"]) == (0, 0, 0)
    assert "msk_" not in str(report)


async def test_a_run_that_loses_messages_does_not_count(database_url: str):
    words = ["--database-url", database_url, "--clients", "2", "--rate", "50", "--seconds", "1"]
    async with stub_chat(lambda offset: [offset] if offset != 4 else []) as stub:
        (report,) = await chat.COMMAND.run_words(["--url", stub.url, *words])
    assert "2 messages were lost" in report.problems


async def test_the_keys_are_those_of_people_who_may_write(database: Database, database_url: str):
    accounts = await make_accounts(database_url, 3, 4, lambda *_: None)
    assert len(set(accounts.rooms)) == 3
    for number, key in enumerate(accounts.keys):
        principal = await ApiKeyLookup(database).principal_of(key)
        assert principal is not None and principal.has_scope("chat:write")
        assert principal.user_id == user_id(number)
    again = await make_accounts(database_url, 3, 4, lambda *_: None)
    assert await ApiKeyLookup(database).principal_of(accounts.keys[0]) is None
    assert await ApiKeyLookup(database).principal_of(again.keys[0]) is not None


async def test_a_server_that_takes_nobody_is_an_error():
    async with stub_chat() as stub:
        plan = ChatPlan(parse_target(stub.url + "x", ("ws",)), (ROOM,), 1, 1, ("key",), 1, 100, 1)
        with pytest.raises(BenchError, match="answered 404"):
            await ChatFleet(plan).connect(lambda _: None)


def test_a_pid_without_an_address_is_an_error(capsys):
    assert main(["chat", "--server-pid", "1"]) == 2
    assert "belong to --url" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
@pytest.mark.skipif(not (cache_folder() / "node_modules").exists(), reason="needs ws, which a run installs")
async def test_the_ws_broadcast_does_the_same_load():
    async with node_peer() as peer:
        target = parse_target(f"ws://127.0.0.1:{peer.port}/ws", ("ws",))
        fleet = ChatFleet(ChatPlan(target, (ROOM,), 5, 3, (), 200, 100, 1, is_echo=True))
        await fleet.connect(lambda _: None)
        await write_some(fleet)
        await eventually(lambda: fleet.tally.deliveries >= fleet.sent * 5)
        assert fleet.tally.deliveries == fleet.sent * 5
        assert (fleet.tally.lost, fleet.tally.reordered) == (0, 0)
        fleet.close()
