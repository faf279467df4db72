"""An embedder for tests: it grants by name and records what publishers and players do."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from rtmp.ports import (
    PlayerConnection,
    PlayGrant,
    PublisherConnection,
    PublishGrant,
    Refusal,
    RefusalReason,
)


@dataclass
class RecordedPublication:
    """One publisher's messages in order, as (kind, timestamp, body or values)."""

    room_id: str
    connection: PublisherConnection
    messages: list[tuple[str, int, object]] = field(default_factory=list)
    ends: list[bool] = field(default_factory=list)
    error: Exception | None = None

    def audio(self, timestamp: int, body: bytes) -> None:
        self._record("audio", timestamp, body)

    def video(self, timestamp: int, body: bytes) -> None:
        self._record("video", timestamp, body)

    def metadata(self, values: Mapping[str, object]) -> None:
        self._record("metadata", 0, values)

    def closed(self, is_clean: bool) -> None:
        self.ends.append(is_clean)

    def _record(self, kind: str, timestamp: int, body: object) -> None:
        if self.error is not None:
            raise self.error
        self.messages.append((kind, timestamp, body))

    def of_kind(self, kind: str) -> list[tuple[int, object]]:
        return [(timestamp, body) for found, timestamp, body in self.messages if found == kind]


@dataclass
class RecordedPlayer:
    room_id: str
    connection: PlayerConnection
    ends: int = 0

    def closed(self) -> None:
        self.ends += 1


@dataclass
class Embedder:
    """Authorizer, ingest and playback in one. ``decide`` replaces the answer to every request."""

    decide: Callable[[str], Awaitable[Refusal | None]] | None = None
    on_play: Callable[[RecordedPlayer], None] | None = None
    open_error: Exception | None = None
    play_refusal: Refusal | None = None
    requests: list[tuple[str, str, str, dict[str, str]]] = field(default_factory=list)
    publications: list[RecordedPublication] = field(default_factory=list)
    players: list[RecordedPlayer] = field(default_factory=list)

    async def may_publish(
        self, app: str, name: str, query: Mapping[str, str], address: str
    ) -> PublishGrant | Refusal:
        return await self._refusal("publish", app, name, query) or PublishGrant(f"room-of-{name}")

    async def may_play(
        self, app: str, name: str, query: Mapping[str, str], address: str
    ) -> PlayGrant | Refusal:
        return await self._refusal("play", app, name, query) or PlayGrant(name)

    def refusal(self, grant: PlayGrant) -> Refusal | None:
        return self.play_refusal

    def open(
        self, grant: PublishGrant | PlayGrant, connection: PublisherConnection | PlayerConnection
    ) -> RecordedPublication | RecordedPlayer:
        if self.open_error is not None:
            raise self.open_error
        if isinstance(grant, PublishGrant):
            publication = RecordedPublication(grant.room_id, connection)
            self.publications.append(publication)
            return publication
        player = RecordedPlayer(grant.room_id, connection)
        self.players.append(player)
        if self.on_play is not None:
            self.on_play(player)
        return player

    async def _refusal(self, kind: str, app: str, name: str, query: Mapping[str, str]) -> Refusal | None:
        self.requests.append((kind, app, name, dict(query)))
        if self.decide is not None:
            return await self.decide(name)
        if name.startswith("wrong"):
            return Refusal(RefusalReason.BAD_NAME, "No such stream.")
        return None


async def until(is_met: Callable[[], object], within: float = 20.0) -> None:
    """Wait for a condition, looking often."""
    async with asyncio.timeout(within):
        while not is_met():  # noqa: ASYNC110  (any expression can be the condition)
            await asyncio.sleep(0.005)
