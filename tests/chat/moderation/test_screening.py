"""The way of a message through all that has a say."""

import asyncio
from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest

from chat.errors import Refusal
from chat.moderation.external import FilterAction, Question, Verdict
from chat.moderation.recent import Recent
from chat.moderation.rules import Action
from chat.moderation.screening import Screened, Screening
from chat.moderation.terms import CompiledTerms
from storage.repositories.blocked_terms import BlockedTerm, TermAction
from storage.repositories.chat_people import RoomPerson
from storage.repositories.chat_rooms import ChatSettings, LinkPolicy
from storage.shared_state import LocalState
from tests.chat.moderation.people import (
    EXEMPT,
    MEMBER,
    MODERATOR,
    NOW,
    OWNER,
    ROOM,
    STAFF,
    SUBSCRIBER,
    banned,
)
from tests.helpers.waiting import eventually

OTHER = replace(MEMBER, user_id=UUID(int=20), username="bob")


@dataclass
class FakeClock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeRoom:
    settings: ChatSettings = field(default_factory=ChatSettings)
    terms: CompiledTerms = field(default_factory=lambda: CompiledTerms.build(()))
    recent: Recent = field(default_factory=Recent)
    id: UUID = ROOM
    owner_id: UUID = OWNER.user_id


@dataclass
class FakeFilter:
    verdict: Verdict = field(default_factory=lambda: Verdict(FilterAction.ALLOW))
    asked: list[Question] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def check(self, question: Question) -> Verdict:
        self.asked.append(question)
        if self.gate is not None:
            await self.gate.wait()
        return self.verdict


@dataclass
class World:
    room: FakeRoom
    filter: FakeFilter
    limiter: LocalState
    screening: Screening
    clock: FakeClock

    async def say(self, text: str, person: RoomPerson | None = MEMBER) -> Screened:
        return await self.screening.screen(self.room, person, text)

    async def code(self, text: str, person: RoomPerson | None = MEMBER) -> str:
        """The code of the refusal, or the action."""
        try:
            return (await self.say(text, person)).action.value
        except Refusal as refusal:
            return refusal.code


@pytest.fixture
def world() -> World:
    clock = FakeClock()
    limiter, external = LocalState(clock), FakeFilter()
    screening = Screening(limiter, external, now=lambda: NOW)
    return World(FakeRoom(), external, limiter, screening, clock)


async def test_a_message_is_taken_as_it_will_be_stored(world: World) -> None:
    screened = await world.say("  he\u202ello\n")
    assert (screened.text, screened.action, screened.reason) == ("hello", Action.ALLOW, None)
    assert world.filter.asked == [Question(ROOM, MEMBER.user_id, "alice", "hello")]


@pytest.mark.parametrize(
    ("text", "person", "code"),
    [
        ("hello", None, "sign_in_required"),
        ("hello", banned(MEMBER), "banned"),
        ("", banned(MEMBER), "banned"),
        (" ", MEMBER, "message_empty"),
        ("x" * 501, STAFF, "message_too_long"),
    ],
)
async def test_refusals_before_anything_is_asked(
    world: World, text: str, person: RoomPerson | None, code: str
) -> None:
    assert await world.code(text, person) == code
    assert (world.filter.asked, world.room.recent.size) == ([], 0)


async def test_terms_are_for_members(world: World) -> None:
    world.room.terms = CompiledTerms.build(
        [BlockedTerm("bad", False, TermAction.REFUSE), BlockedTerm("hm+", True, TermAction.HOLD)]
    )
    assert await world.code("so bad") == "blocked_term"
    held = await world.say("hmmm")
    assert (held.action, held.reason) == (Action.HOLD, "blocked_term: hm+")
    for person in EXEMPT.values():
        assert await world.code("so bad", person) == "allow"


async def test_a_chat_for_subscribers(world: World) -> None:
    world.room.settings = ChatSettings(subscribers_only=True)
    assert await world.code("one", SUBSCRIBER) == "allow"
    assert await world.code("two") == "subscribers_only"
    assert await world.code("three", MODERATOR) == "allow"


async def test_the_same_is_not_said_twice(world: World) -> None:
    assert await world.code("hello") == "allow"
    assert await world.code("HELLO!") == "allow"
    assert await world.code(" Hello ") == "duplicate"
    assert await world.code("hello", OTHER) == "allow"
    world.room.settings = ChatSettings(unique_chat=True)
    assert await world.code("hello!", OTHER) == "not_unique"
    assert await world.code("hello!", MODERATOR) == "allow"


async def test_the_same_twice_at_the_same_time(world: World) -> None:
    world.filter.gate = asyncio.Event()
    first = asyncio.create_task(world.code("hello"))
    await eventually(lambda: world.filter.asked)
    assert await world.code("hello") == "duplicate"
    world.filter.gate.set()
    assert await first == "allow"


@pytest.mark.parametrize("person", [MEMBER, *EXEMPT.values()])
async def test_five_messages_in_ten_seconds_of_whomever(world: World, person: RoomPerson) -> None:
    codes = [await world.code(f"message {number}", person) for number in range(6)]
    assert codes == ["allow"] * 5 + ["rate_limited"]
    assert await world.code("message", OTHER) == "allow"
    world.clock.now += 11
    assert await world.code("message 6", person) == "allow"


async def test_the_rate_counts_in_all_rooms_together(world: World) -> None:
    rooms = [FakeRoom(id=UUID(int=number)) for number in range(6)]
    for room in rooms[:5]:
        await world.screening.screen(room, MEMBER, "hello")
    with pytest.raises(Refusal, match="rate_limited") as refusal:
        await world.screening.screen(rooms[5], MEMBER, "hello")
    assert refusal.value.retry_after is not None and refusal.value.retry_after > 0


async def test_slow_mode_counts_by_room_and_not_for_moderators(world: World) -> None:
    world.room.settings = ChatSettings(slow_mode_seconds=30)
    assert await world.code("one") == "allow"
    assert await world.code("two") == "slow_mode"
    assert await world.code("one", OTHER) == "allow"
    elsewhere = FakeRoom(world.room.settings, id=UUID(int=2))
    assert (await world.screening.screen(elsewhere, MEMBER, "two")).action is Action.ALLOW
    for person in EXEMPT.values():
        assert [await world.code(text, person) for text in ("one", "two")] == ["allow", "allow"]
    world.clock.now += 33
    assert await world.code("two") == "allow"


async def test_what_is_refused_uses_up_no_slow_mode(world: World) -> None:
    world.room.settings = ChatSettings(slow_mode_seconds=30, links=LinkPolicy.REFUSE)
    world.room.terms = CompiledTerms.build([BlockedTerm("bad", False, TermAction.REFUSE)])
    assert await world.code("example.com") == "links_not_allowed"
    assert await world.code("bad") == "blocked_term"
    world.filter.verdict = Verdict(FilterAction.REFUSE)
    assert await world.code("hello") == "filtered"
    world.filter.verdict = Verdict(FilterAction.ALLOW)
    assert await world.code("hello") == "allow"


async def test_what_slow_mode_refused_may_be_said_later(world: World) -> None:
    world.room.settings = ChatSettings(slow_mode_seconds=3)
    assert await world.code("one") == "allow"
    assert await world.code("two") == "slow_mode"
    world.clock.now += 4
    assert await world.code("two") == "allow"


async def test_what_could_not_be_stored_may_be_said_again(world: World) -> None:
    screened = await world.say("hello")
    world.screening.take_back(world.room, screened)
    assert await world.code("hello") == "allow"


async def test_who_gives_up_has_said_nothing(world: World) -> None:
    world.filter.gate = asyncio.Event()
    saying = asyncio.create_task(world.say("hello"))
    await eventually(lambda: world.filter.asked)
    saying.cancel()
    await asyncio.gather(saying, return_exceptions=True)
    assert world.room.recent.size == 0


@pytest.mark.parametrize(
    ("verdict", "action", "reason"),
    [
        (Verdict(FilterAction.ALLOW, "fine"), Action.ALLOW, None),
        (Verdict(FilterAction.HOLD, "rude"), Action.HOLD, "filter: rude"),
        (Verdict(FilterAction.HOLD), Action.HOLD, "filter"),
    ],
)
async def test_the_filter_has_a_say(
    world: World, verdict: Verdict, action: Action, reason: str | None
) -> None:
    world.filter.verdict = verdict
    screened = await world.say("hello")
    assert (screened.action, screened.reason) == (action, reason)


async def test_the_filter_may_refuse_even_what_is_held(world: World) -> None:
    world.room.settings = ChatSettings(links=LinkPolicy.HOLD)
    screened = await world.say("example.com")
    assert (screened.action, screened.reason) == (Action.HOLD, "link")
    world.filter.verdict = Verdict(FilterAction.REFUSE, "spam")
    with pytest.raises(Refusal, match="filtered: spam"):
        await world.say("example.org")


async def test_the_filter_judges_moderators_of_rooms_but_not_staff(world: World) -> None:
    world.filter.verdict = Verdict(FilterAction.REFUSE)
    assert await world.code("hello", MODERATOR) == "filtered"
    assert await world.code("hello", STAFF) == "allow"


async def test_somebody_shadowed_meets_the_same_limits(world: World) -> None:
    shadowed = banned(MEMBER, is_shadow=True)
    world.room.settings = ChatSettings(slow_mode_seconds=30, unique_chat=True)
    assert await world.code("hello", shadowed) == "shadow"
    assert await world.code("hello", shadowed) == "duplicate"
    assert await world.code("again", shadowed) == "slow_mode"
    assert await world.code("hello", OTHER) == "allow"
    assert [question.username for question in world.filter.asked] == ["bob"]


def test_bans_alone_can_be_asked_for(world: World) -> None:
    world.screening.check_ban(MEMBER)
    with pytest.raises(Refusal, match="timed_out"):
        world.screening.check_ban(banned(MEMBER, 60))
