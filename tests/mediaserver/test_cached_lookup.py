"""The cache in front of the database, on a clock that the test moves."""

import asyncio
from dataclasses import dataclass, field

import pytest

from mediaserver.cached_lookup import MAX_RECENT, CachedLookup, CacheLimits
from storage.errors import DatabaseUnavailable


@dataclass
class Oracle:
    """Answers from ``rooms``; counts how often it is asked, and can be away or slow."""

    rooms: dict[str, str] = field(default_factory=dict)
    asked: int = 0
    is_away: bool = False
    gate: asyncio.Event | None = None
    now: float = 1000.0

    async def load(self, key: str) -> str | None:
        self.asked += 1
        answer = self.rooms.get(key)
        if self.gate is not None:
            await self.gate.wait()
        if self.is_away:
            raise DatabaseUnavailable
        return answer


@pytest.fixture
def oracle() -> Oracle:
    return Oracle({"key": "room"})


def lookup_of(oracle: Oracle, entries: int = 100) -> CachedLookup[str, str]:
    limits = CacheLimits(found_seconds=5, absent_seconds=1, stale_seconds=60, entries=entries)
    return CachedLookup(oracle.load, lambda room: (room,), limits, lambda: oracle.now)


async def test_an_answer_is_kept_for_its_time(oracle: Oracle) -> None:
    lookup = lookup_of(oracle)
    assert [await lookup.get("key") for _ in range(3)] == ["room"] * 3
    assert oracle.asked == 1
    oracle.now += 5
    oracle.rooms["key"] = "other room"
    assert await lookup.get("key") == "other room"
    assert oracle.asked == 2


async def test_an_absence_is_kept_for_a_shorter_time(oracle: Oracle) -> None:
    lookup = lookup_of(oracle)
    assert [await lookup.get("unknown") for _ in range(3)] == [None] * 3
    assert oracle.asked == 1
    oracle.now += 1
    oracle.rooms["unknown"] = "room"
    assert await lookup.get("unknown") == "room"


async def test_a_negative_value_is_kept_no_longer_than_an_absence(oracle: Oracle) -> None:
    oracle.rooms["other key"] = "closed"
    limits = CacheLimits(found_seconds=5, absent_seconds=1)
    lookup = CachedLookup(
        oracle.load, lambda room: (room,), limits, lambda: oracle.now, lambda room: room == "closed"
    )
    for key in oracle.rooms:
        await lookup.get(key)
    oracle.now += 1
    oracle.rooms = {"key": "new", "other key": "new"}
    assert await lookup.get("key") == "room"
    assert await lookup.get("other key") == "new"


async def test_a_value_about_two_is_forgotten_when_either_changes(oracle: Oracle) -> None:
    limits = CacheLimits(found_seconds=5)
    lookup = CachedLookup(oracle.load, lambda room: (room, "user"), limits, lambda: oracle.now)
    for subject in ("room", "user", "nobody"):
        await lookup.get("key")
        lookup.forget(subject)
    await lookup.get("key")
    assert oracle.asked == 3
    oracle.rooms.clear()
    lookup.forget("user")
    assert await lookup.get("key") is None
    assert not lookup._keys_of_subject


async def test_many_who_ask_at_once_are_one_question(oracle: Oracle) -> None:
    oracle.gate = asyncio.Event()
    lookup = lookup_of(oracle)
    asking = [asyncio.create_task(lookup.get("key")) for _ in range(100)]
    await asyncio.sleep(0)
    asking[0].cancel()
    oracle.gate.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == ["room"] * 99
    assert oracle.asked == 1


async def test_a_changed_room_is_asked_for_again_and_others_are_not(oracle: Oracle) -> None:
    oracle.rooms |= {"second key": "room", "other key": "other room"}
    lookup = lookup_of(oracle)
    for key in oracle.rooms:
        await lookup.get(key)
    oracle.asked = 0
    lookup.forget("room")
    oracle.rooms.pop("key")
    assert await lookup.get("key") is None
    assert await lookup.get("second key") == "room"
    assert await lookup.get("other key") == "other room"
    assert oracle.asked == 2


async def test_a_change_ends_every_absence(oracle: Oracle) -> None:
    lookup = lookup_of(oracle)
    assert await lookup.get("new") is None
    oracle.rooms["new"] = "new room"
    lookup.forget("new room")
    assert await lookup.get("new") == "new room"


async def test_an_answer_from_before_a_change_is_not_used(oracle: Oracle) -> None:
    """The look-up read the old row, then the key was rotated, then the answer arrived."""
    oracle.gate = asyncio.Event()
    lookup = lookup_of(oracle)
    asking = asyncio.create_task(lookup.get("key"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert oracle.asked == 1
    oracle.rooms.clear()
    lookup.forget("room")
    oracle.gate.set()
    assert await asking is None
    assert await lookup.get("key") is None


@pytest.mark.parametrize("changes", [1, MAX_RECENT, MAX_RECENT + 1])
async def test_changes_of_others_do_not_matter_to_an_answer_under_way(oracle: Oracle, changes: int) -> None:
    oracle.gate = asyncio.Event()
    lookup = lookup_of(oracle)
    asking = asyncio.create_task(lookup.get("key"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for number in range(changes):
        lookup.forget(f"other room {number}")
    oracle.gate.set()
    assert await asking == "room"
    assert oracle.asked == (1 if changes <= MAX_RECENT else 2)
    await lookup.get("key")
    assert oracle.asked == (1 if changes <= MAX_RECENT else 2)


async def test_an_absence_under_way_is_asked_for_again_after_any_change(oracle: Oracle) -> None:
    oracle.gate = asyncio.Event()
    lookup = lookup_of(oracle)
    asking = asyncio.create_task(lookup.get("new"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    oracle.rooms["new"] = "new room"
    lookup.forget("new room")
    oracle.gate.set()
    assert await asking == "new room"


async def test_what_is_known_counts_while_the_oracle_is_away(oracle: Oracle) -> None:
    lookup = lookup_of(oracle)
    await lookup.get("key")
    await lookup.get("unknown")
    oracle.is_away = True
    oracle.now += 59
    assert await lookup.get("key") == "room"
    with pytest.raises(DatabaseUnavailable):
        await lookup.get("unknown")
    with pytest.raises(DatabaseUnavailable):
        await lookup.get("never seen")
    oracle.now += 1
    with pytest.raises(DatabaseUnavailable):
        await lookup.get("key")


async def test_what_was_forgotten_does_not_count_while_the_oracle_is_away(oracle: Oracle) -> None:
    lookup = lookup_of(oracle)
    await lookup.get("key")
    lookup.forget("room")
    oracle.is_away = True
    with pytest.raises(DatabaseUnavailable):
        await lookup.get("key")


async def test_what_is_doubted_is_asked_again_but_counts_while_the_oracle_is_away(oracle: Oracle) -> None:
    lookup = lookup_of(oracle)
    await lookup.get("key")
    oracle.now += 1
    lookup.doubt_everything()
    oracle.is_away = True
    assert await lookup.get("key") == "room"
    oracle.is_away = False
    oracle.rooms.clear()
    assert await lookup.get("key") is None


async def test_a_hanging_oracle_does_not_hold_up_who_can_be_given_an_older_answer(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediaserver.cached_lookup.STALE_PATIENCE_SECONDS", 0.01)
    lookup = lookup_of(oracle)
    await lookup.get("key")
    oracle.now += 5
    oracle.gate = asyncio.Event()
    assert await lookup.get("key") == "room"
    await lookup.close()


async def test_guesses_are_bounded_and_push_out_nothing_that_was_found(oracle: Oracle) -> None:
    lookup = lookup_of(oracle, entries=10)
    await lookup.get("key")
    for number in range(1000):
        await lookup.get(f"guess {number}")
    assert len(lookup) == 11
    oracle.asked = 0
    await lookup.get("key")
    assert oracle.asked == 0


async def test_found_answers_are_bounded_too(oracle: Oracle) -> None:
    lookup = lookup_of(oracle, entries=10)
    oracle.rooms = {f"key {number}": f"room {number % 7}" for number in range(1000)}
    for key in oracle.rooms:
        await lookup.get(key)
    assert len(lookup) == 10
    for number in range(7):
        lookup.forget(f"room {number}")
    assert len(lookup) == 0


async def test_closing_cancels_what_is_under_way(oracle: Oracle) -> None:
    oracle.gate = asyncio.Event()
    lookup = lookup_of(oracle)
    asking = asyncio.create_task(lookup.get("key"))
    await asyncio.sleep(0)
    await lookup.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
