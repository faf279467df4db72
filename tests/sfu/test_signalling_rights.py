"""Who may do what over `GET /rtc`, and what changes while they are connected."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from sfu import signalling_session
from sfu.room import CLOSE_REMOVED
from sfu.room_errors import Refusal
from sfu.room_ports import Grants
from sfu.signalling import (
    SignallingOptions,
)
from tests.helpers.waiting import eventually
from tests.sfu.rooms_world import (
    ROOM,
    FakeAccess,
    audio_parameters,
    everybody,
    granted,
)
from tests.sfu.rtc_world import RtcWorld, joined, plain, produce, rtc_world


@pytest.fixture
async def world() -> AsyncIterator[RtcWorld]:
    async with rtc_world() as world:
        yield world


async def test_who_may_not_enter_is_refused(world: RtcWorld) -> None:
    client = await world.connect()
    world.fake_access.refused["banned"] = Refusal("banned", "You are banned from this room.")

    assert await client.refused("join", room="elsewhere") == "room_not_found"
    assert await client.refused("join", room=ROOM, token="forged") == "invalid_token"
    assert await client.refused("join", room=ROOM, token="banned") == "banned"
    assert not world.directory.rooms


async def test_nothing_is_done_for_somebody_in_no_room(world: RtcWorld) -> None:
    client = await world.connect()
    body = {"participantId": "x", "role": "speaker"}

    assert await client.refused("raiseHand") == "not_joined"
    assert await client.refused("setRole", **body) == "not_joined"


async def test_who_may_not_subscribe_consumes_nothing(world: RtcWorld) -> None:
    sam, deaf = await joined(world, "sam"), await joined(world, "deaf")
    producer_id = await produce(sam)
    transport = await deaf.request("createWebRtcTransport")

    refusal = await deaf.refused("consume", transportId=transport["id"], producerId=producer_id)
    assert refusal == "may_not_subscribe"


async def test_what_the_core_refuses_has_a_code(world: RtcWorld) -> None:
    sam, ana = await joined(world, "sam"), await joined(world, "ana")
    producer_id = await produce(sam)
    transport_id = (await sam.request("getStats"))["transports"][0]["transportId"]
    own = (await ana.request("createWebRtcTransport"))["id"]
    audio = plain(audio_parameters())

    assert await sam.refused("produce", transportId=transport_id, kind="audio", rtpParameters=audio) == (
        "duplicate_stream"
    )
    assert await sam.refused("produce", transportId=transport_id, kind="video", rtpParameters=audio) == (
        "invalid_parameters"
    )
    assert await ana.refused("consume", transportId=own, producerId="nobody") == "no_such_producer"
    assert (
        await ana.refused("consume", transportId=own, producerId=producer_id, rtpCapabilities={})
        == "cannot_consume"
    )


async def test_what_is_revoked_takes_effect_on_live_connections(world: RtcWorld) -> None:
    ana, sam = await joined(world, "ana"), await joined(world, "sam")
    await produce(sam)
    world.fake_access.refused["sam"] = Refusal("banned", "You are banned.")
    await world.signalling.review(identity="user-ana")
    assert (await sam.request("getStats"))["transports"]
    await world.signalling.review(room_id=ROOM, identity="user-sam")

    assert (await sam.notification("removed")) == {"by": None, "reason": "revoked"}
    assert await sam.closed() == CLOSE_REMOVED
    assert (await ana.notification("participantLeft"))["reason"] == "revoked"


async def test_a_review_that_cannot_be_made_changes_nothing(world: RtcWorld) -> None:
    sam = await joined(world, "sam")
    world.fake_access.refused["sam"] = Refusal("unavailable", "No database.")
    await world.signalling.review()

    await sam.request("getRouterRtpCapabilities")


class SlowAccess(FakeAccess):
    """Answers reviews when told to, of whom it was told; the others at once."""

    def __init__(self) -> None:
        known = everybody()
        super().__init__(known.grants)
        self.gates: dict[str, asyncio.Event] = {}
        self.failing = ""
        self.asked: list[str] = []
        self.at_once: list[int] = [0]
        self._running = 0

    async def review(self, grants: Grants, principal: object) -> Grants:
        token = grants.identity.removeprefix("user-")
        self.asked.append(token)
        if token == self.failing:
            raise RuntimeError("a bug elsewhere")
        answer = await super().review(grants, principal)
        self._running += 1
        self.at_once.append(self._running)
        try:
            gate = self.gates.get(token)
            await (gate.wait() if gate is not None else asyncio.sleep(0))
        finally:
            self._running -= 1
        return answer


def demote(access: FakeAccess, *tokens: str) -> None:
    for token in tokens:
        access.grants[token] = granted(token)


async def test_a_review_that_fails_or_takes_long_holds_up_nobody() -> None:
    access = SlowAccess()
    async with rtc_world(access=access) as world:
        sam, mia, ana = await joined(world, "sam"), await joined(world, "mia"), await joined(world, "ana")
        access.failing, access.gates = "sam", {"mia": asyncio.Event()}
        demote(access, "mia", "ana")
        with capture_logs() as lines:
            reviewed = asyncio.create_task(world.signalling.review())
            for name in ("Ana", "Mia"):
                changed = await ana.notification("participantChanged")
                assert (changed["participant"]["name"], changed["participant"]["role"]) == (name, "listener")
                access.gates["mia"].set()
            await reviewed
        assert [line["event"] for line in lines] == ["rtc_review_failed"]
        await sam.request("getStats")
        await mia.request("getStats")


async def test_who_is_not_answered_for_in_time_stays_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signalling_session, "AUTHORIZE_SECONDS", 0.05)
    access = SlowAccess()
    async with rtc_world(access=access) as world:
        _mia = await joined(world, "mia")
        access.gates = {"mia": asyncio.Event()}
        demote(access, "mia")
        await world.signalling.review()
        assert [one.role for one in world.directory.rooms[ROOM]] == ["co-host"]


async def test_only_a_few_are_reviewed_at_once() -> None:
    access = SlowAccess()
    async with rtc_world(access=access, options=SignallingOptions(reviews_at_once=2)) as world:
        clients = [await joined(world, token) for token in ("ana", "mia", "sam", "leo", "deaf")]
        access.gates = {"ana": asyncio.Event()}
        reviews = [asyncio.create_task(world.signalling.review())]
        await eventually(lambda: len(access.asked) == len(clients))
        reviews += [asyncio.create_task(world.signalling.review()) for _ in range(20)]
        await eventually(lambda: len(access.asked) >= 2 * len(clients) - 1)
        access.gates["ana"].set()
        await asyncio.gather(*reviews)
        assert access.asked.count("ana") == 2  # once for the first review, and once for all that came later
        assert max(access.at_once) == 2


async def test_the_answer_to_a_later_review_is_the_one_that_counts() -> None:
    access = SlowAccess()
    async with rtc_world(access=access) as world:
        _ana = await joined(world, "ana")
        access.gates = {"ana": asyncio.Event()}
        first = asyncio.create_task(world.signalling.review())
        await eventually(lambda: access.asked)
        demote(access, "ana")
        gate, access.gates = access.gates["ana"], {}
        second = asyncio.create_task(world.signalling.review())
        for _ in range(10):
            await asyncio.sleep(0)
        assert access.asked == ["ana"]
        gate.set()
        await asyncio.gather(first, second)
        assert [one.grants.is_host for one in world.directory.rooms[ROOM]] == [False]


class SlowDoor(FakeAccess):
    """Has its answer at once, and gives it when `opens` is set."""

    def __init__(self) -> None:
        like = everybody()
        super().__init__(like.grants, like.refused)
        self.opens = asyncio.Event()
        self.asked = 0

    async def authorize(self, room: str, token: str | None, principal: object) -> Grants:
        self.asked += 1
        grants = await super().authorize(room, token, principal)
        await self.opens.wait()
        return grants


@pytest.mark.parametrize("change", [{"identity": "user-sam"}, {"room_id": ROOM}, {}])
async def test_who_is_banned_while_being_let_in_stays_out(change: dict[str, str]) -> None:
    access = SlowDoor()
    async with rtc_world(access=access) as world:
        sam = await world.connect()
        answer = asyncio.create_task(sam.refused("join", room=ROOM, token="sam"))
        await eventually(lambda: access.asked)
        access.refused["sam"] = Refusal("banned", "You are banned from this room.")
        await world.signalling.review(**change)
        access.opens.set()
        assert await answer == "banned"
        assert not world.directory.rooms


@pytest.mark.parametrize(("others", "asked"), [(5, 1), (signalling_session.MAX_DOUBTS + 5, 2)])
async def test_what_concerns_others_is_asked_for_only_when_it_is_too_much_to_tell(
    others: int, asked: int
) -> None:
    access = SlowDoor()
    async with rtc_world(access=access) as world:
        sam = await world.connect()
        answer = asyncio.create_task(sam.join("sam"))
        await eventually(lambda: access.asked)
        for number in range(others):
            await world.signalling.review(identity=f"user-{number}")
            await world.signalling.review(room_id="another", identity="user-sam")
        access.opens.set()
        await answer
        assert access.asked == asked


async def test_a_review_knows_a_guest_who_came_back(world: RtcWorld) -> None:
    world.fake_access.grants[None] = replace(granted("guest"), is_guest=True)
    guest = await joined(world, None)
    again = await world.connect()
    world.fake_access.grants[None] = replace(granted("other"), is_guest=True)
    shown = await again.join(resumeToken=guest.info["resumeToken"])
    world.fake_access.grants["guest"] = replace(granted("third"), is_guest=True)
    await world.signalling.review()

    assert shown["resumed"] is True
    await again.request("getStats")


async def test_a_review_lets_moderators_step_down(world: RtcWorld) -> None:
    ana, mia = await joined(world, "ana"), await joined(world, "mia")
    world.fake_access.grants["mia"] = granted("mia")
    await world.signalling.review()

    changed = await ana.notification("participantChanged")
    assert (changed["participant"]["name"], changed["participant"]["role"]) == ("Mia", "listener")
    assert await mia.refused("muteParticipant", participantId=changed["participant"]["id"]) == "not_moderator"


async def test_who_may_watch_no_more_receives_nothing(world: RtcWorld) -> None:
    sam, leo = await joined(world, "sam"), await joined(world, "leo")
    producer_id = await produce(sam)
    transport = await leo.request("createWebRtcTransport")
    consumer = await leo.request("consume", transportId=transport["id"], producerId=producer_id)
    world.fake_access.grants["leo"] = granted("leo", can_subscribe=False)
    await world.signalling.review(room_id=ROOM)

    assert (await leo.notification("consumerClosed"))["consumerId"] == consumer["id"]
    assert await leo.refused("resumeConsumer", consumerId=consumer["id"]) == "not_found"
