"""People with coins and live rooms in a server's database, and gifts between them over HTTP."""

import asyncio
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from bench.errors import BenchError
from bench.targets import Target
from bench.viewers.http_connection import HttpConnection
from control_api.identity.tokens import AccessTokens
from storage.database import Database
from storage.ids import new_id
from storage.repositories import Role, Users
from storage.repositories.gifts import Gifts
from storage.repositories.ledger import COIN, Ledger, Line, NewTransfer, TransferKind
from storage.repositories.ledger_accounts import Account, AccountKind, LedgerAccounts
from storage.repositories.rooms import Rooms
from storage.repositories.sessions import NewSession, Sessions

COINS: Final = 1_000_000_000
CONNECTIONS: Final = 200
ANSWER_SECONDS: Final = 30.0
SESSION_LIFETIME: Final = timedelta(hours=1)
_LIVE: Final = """
    WITH broadcast AS (
        INSERT INTO broadcasts (id, room_id, started_at) VALUES ($1, $2, now())
        RETURNING id, room_id, started_at)
    INSERT INTO room_live_state (room_id, broadcast_id, node, started_at, last_seen)
    SELECT room_id, id, 'bench', started_at, now() + interval '1 hour' FROM broadcast"""


@dataclass(frozen=True, slots=True)
class Crowd:
    senders: Sequence[UUID]
    rooms: Sequence[UUID]
    gift_id: UUID


async def populate(database: Database, senders: int, rooms: int) -> Crowd:
    """People who have coins, and live rooms of as many others."""
    accounts = LedgerAccounts(database)
    people = [await _person(database, f"sender_{number}") for number in range(senders)]
    for sender in people:
        source, wallet = await accounts.ids(
            [Account(AccountKind.BONUS, COIN), Account(AccountKind.WALLET, COIN, sender)]
        )
        lines = (Line(source, -COINS), Line(wallet, COINS))
        await Ledger(database).post(NewTransfer(TransferKind.BONUS, "bench", str(sender), "", lines))
    made = []
    for number in range(rooms):
        owner = await _person(database, f"creator_{number}")
        made.append(await Rooms(database).add(owner, "A room", None))
        await database.execute(_LIVE, new_id(), made[-1])
    (rose, *_) = await Gifts(database).offered()
    return Crowd(people, made, rose.id)


async def _person(database: Database, name: str) -> UUID:
    return (await Users(database).add(name, f"{name}@bench.invalid", "!")).id


async def sign_in(database: Database, data_dir: Path, people: Sequence[UUID]) -> list[str]:
    """Access tokens as the server would give them, without the time that passwords take."""
    tokens = AccessTokens((data_dir / "secret-key").read_text().strip().encode())
    made = []
    for user_id in people:
        session = NewSession(
            new_id(), user_id, secrets.token_bytes(32), SESSION_LIFETIME, "127.0.0.1", "bench", False
        )
        await Sessions(database).add(session)
        made.append(tokens.issue(user_id, session.id, Role.USER))
    return made


class GiftClient:
    """Gives over connections that are kept; who comes when all are taken waits for one."""

    def __init__(self, target: Target, crowd: Crowd, tokens: Sequence[str]) -> None:
        self._target = target
        self._crowd = crowd
        self._tokens = tokens
        self._free: asyncio.LifoQueue[HttpConnection] = asyncio.LifoQueue()
        for _ in range(CONNECTIONS):
            self._free.put_nowait(HttpConnection(target))

    async def give(self, sender: int, room: int) -> str:
        """What became of it: empty if the gift was given. Raises OSError, TimeoutError, BenchError."""
        request = self._request(sender, room)
        connection = await self._free.get()
        body = bytearray()
        try:
            head = await connection.exchange(request, body.extend, ANSWER_SECONDS)
        except (BenchError, OSError, TimeoutError):
            connection.close()
            raise
        finally:
            self._free.put_nowait(connection)
        return "" if head.status == 201 else f"{head.status} {json.loads(body).get('code')}"

    def close(self) -> None:
        while not self._free.empty():
            self._free.get_nowait().close()

    def _request(self, sender: int, room: int) -> bytes:
        body = f'{{"giftId":"{self._crowd.gift_id}","quantity":1}}'
        return (
            f"POST /api/v1/rooms/{self._crowd.rooms[room]}/gifts HTTP/1.1\r\n"
            f"Host: {self._target.authority}\r\nAuthorization: Bearer {self._tokens[sender]}\r\n"
            f"Idempotency-Key: {new_id()}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
