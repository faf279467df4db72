"""Whoever was away gets exactly what they missed, or is told that they cannot; also after a kill -9."""

import asyncio
from pathlib import Path

import pytest

from chat.protocol.frames import MAX_MISSED
from tests.chat.clients import Chat, Frame
from tests.chat.live_chat import FREE, Live, unique
from tests.helpers.server_process import ServerProcess

pytestmark = pytest.mark.slow

AT_ONCE = 25
MOST_JOINS = 30
TALKERS = 8


async def talk(chat: Chat, room: str, count: int) -> list[Frame]:
    """Many messages, each acknowledged, in order."""
    acks: list[Frame] = []
    for first in range(0, count, AT_ONCE):
        texts = [unique() for _ in range(min(AT_ONCE, count - first))]
        acks += await asyncio.gather(*(chat.say(room, text) for text in texts))
    return acks


def missed_ids(joined: Frame) -> list[str]:
    return [frame["d"]["id"] for frame in joined["missed"] if frame["t"] == "new-message"]


async def test_exactly_what_was_missed(live: Live) -> None:
    room = await live.room()
    async with live.inside("ana", room) as ana:
        async with live.inside("ben", room) as ben:
            seen = await ana.say(room, unique())
            await ben.heard("new-message", id=seen["messageId"])
            epoch = (await ben.join(room))["epoch"]
        missed = await talk(ana, room, 40)
        async with live.chat(await live.person("ben")) as ben:
            joined = await ben.join(room, epoch=epoch, offset=seen["offset"], history=5)
            assert joined["recovered"]
            assert missed_ids(joined) == [ack["messageId"] for ack in missed]
            assert joined["history"] == []
            assert joined["offset"] == missed[-1]["offset"]
            later = await ana.say(room, unique())
            await ben.heard("new-message", id=later["messageId"], offset=joined["offset"] + 1)


async def test_nothing_missed_is_recovered_too(live: Live) -> None:
    room = await live.room()
    async with live.inside("ben", room) as ben:
        said = await ben.say(room, unique())
        epoch = (await ben.join(room))["epoch"]
        joined = await ben.join(room, epoch=epoch, offset=said["offset"])
        assert (joined["recovered"], joined["missed"]) == (True, [])


@pytest.mark.parametrize("what", ["epoch", "future", "half"])
async def test_what_cannot_be_recovered_is_said_so(live: Live, what: str) -> None:
    room = await live.room()
    async with live.inside("ben", room) as ben:
        said = await ben.say(room, unique())
        await ben.heard("new-message", id=said["messageId"])
        now = await ben.join(room)
        known = {
            "epoch": {"epoch": "another", "offset": 0},
            "future": {"epoch": now["epoch"], "offset": now["offset"] + 1},
            "half": {"epoch": now["epoch"]},
        }[what]
        joined = await ben.join(room, history=10, **known)
        assert (joined["recovered"], joined["missed"]) == (False, [])
        assert [frame["d"]["message"] for frame in joined["history"]] == ben.texts(room)


async def test_three_hundred_are_recovered_and_one_more_is_not(live: Live) -> None:
    room = await live.room()
    async with live.inside("ben", room) as ben, live.inside("ana", room) as ana:
        start = await ben.join(room)
        acks = await talk(ana, room, 300)
        joined = await ben.join(room, epoch=start["epoch"], offset=start["offset"])
        assert missed_ids(joined) == [ack["messageId"] for ack in acks]
        await ana.say(room, unique())
        joined = await ben.join(room, epoch=start["epoch"], offset=start["offset"], history=100)
        assert (joined["recovered"], joined["missed"]) == (False, [])
        assert len(joined["history"]) == 100


async def test_what_was_deleted_is_not_missed_but_its_deletion_is(live: Live) -> None:
    room = await live.room()
    async with live.inside("ana", room) as ana, live.inside("ben", room) as ben:
        start = await ben.join(room)
        acks = await talk(ana, room, 3)
        await ana.ask("delete-message", roomId=room, messageId=acks[1]["messageId"])
        joined = await ben.join(room, epoch=start["epoch"], offset=start["offset"])
        left = [acks[0]["messageId"], acks[2]["messageId"]]
        assert missed_ids(joined) == left
        assert joined["missed"][-1]["t"] == "message-deleted"
        assert [frame["d"]["id"] for frame in (await ben.join(room, history=10))["history"]] == left
        await ana.ask("clear-chat", roomId=room)
        joined = await ben.join(room, epoch=start["epoch"], offset=start["offset"])
        assert missed_ids(joined) == []
        assert (await ben.join(room, history=10))["history"] == []
        assert [frame["t"] for frame in joined["missed"]] == ["message-deleted", "chat-cleared"]


async def test_shadow_bans_and_terms_are_not_missed(live: Live) -> None:
    room = await live.room()
    ana = await live.person("ana")
    async with live.inside("ana", room) as chat:
        start = await chat.join(room)
        await ana.get(
            "POST", f"/rooms/{room}/bans", {"username": (await live.person("eve")).name, "shadow": True}
        )
        await ana.get(
            "PUT", f"/rooms/{room}/blocked-terms", {"terms": [{"text": "plum", "action": "refuse"}]}
        )
        said = await chat.say(room, unique())
        joined = await chat.join(room, epoch=start["epoch"], offset=start["offset"])
        assert [frame["t"] for frame in joined["missed"]] == ["new-message"]
        assert missed_ids(joined) == [said["messageId"]]


async def test_joining_while_others_write_leaves_no_gap(live: Live) -> None:
    """Frames that come after ``joined`` follow it, however fast the room is."""
    room = await live.room()
    async with live.inside("ana", room) as ana, live.inside("ben", room) as ben:
        start = await ben.join(room)
        writing = asyncio.create_task(talk(ana, room, 200))
        for _ in range(MOST_JOINS):
            await ben.join(room, epoch=start["epoch"], offset=start["offset"])
        acks = await writing
        await ben.heard("new-message", id=acks[-1]["messageId"])
        known: list[str] = []
        for frame in ben.frames:
            if frame["t"] == "joined" and frame["d"]["recovered"]:
                known = missed_ids(frame["d"])
            elif frame["t"] == "new-message":
                known.append(frame["d"]["id"])
        assert known == [ack["messageId"] for ack in acks]


async def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    live = Live(await asyncio.to_thread(ServerProcess(tmp_path / "data", settings=FREE).__enter__))
    try:
        room = await live.room()
        acks: list[Frame] = []
        sent: list[str] = []
        async with live.inside("ana", room) as ana, live.inside("ben", room) as ben:
            start = await ben.join(room)

            async def keep_talking() -> None:
                for _ in range(MAX_MISSED // TALKERS):
                    sent.append(unique())
                    acks.append(await ana.say(room, sent[-1]))

            talkers = [asyncio.create_task(keep_talking()) for _ in range(TALKERS)]
            await ben.first(lambda _: len(acks) >= 60)
            await asyncio.to_thread(live.server.kill)
            await ana.over()
            await ben.over()
            await asyncio.gather(*talkers, return_exceptions=True)
            shown = [body["id"] for body in ben.all("new-message")]
        await asyncio.to_thread(live.server.start)
        async with live.chat(await live.person("ben")) as ben:
            joined = await ben.join(room, epoch=start["epoch"], offset=start["offset"], history=100)
            assert joined["recovered"]
            ids = missed_ids(joined)
            texts = [frame["d"]["message"] for frame in joined["missed"]]
            assert {ack["messageId"] for ack in acks} <= set(ids)
            assert ids[: len(shown)] == shown
            assert len(set(texts)) == len(texts)
            assert set(texts) <= set(sent)
            assert [frame["d"]["offset"] for frame in joined["missed"]] == list(range(1, len(ids) + 1))
            await ben.say(room, unique())
    finally:
        await asyncio.to_thread(live.server.stop)
