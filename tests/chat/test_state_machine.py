"""Clients come, go, lose their connections and talk at once, in any order; all end up with the same room.

A witness never goes away. What it was told is the truth that everybody else, the API and the answers to who
spoke are held against.
"""

import asyncio
import itertools
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.chat.clients import JSON, MSGPACK, Chat, Frame
from tests.chat.live_chat import Live, Person, unique
from tests.helpers.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

EXAMPLES = 15
STEPS = 25
SLOTS = 4
PEOPLE = 6
"""More than slots, so that most come back as somebody else."""
HISTORY = 100
MOST_MESSAGES = 90
"""All that was said fits into the history, so that a client that begins anew sees it all."""

slots = st.integers(0, SLOTS - 1)


@dataclass
class View:
    """What a client shows, as docs/chat-protocol.md tells it to."""

    shown: dict[str, str] = field(default_factory=dict)
    epoch: str | None = None
    offset: int = 0

    def take(self, frame: Frame) -> None:
        body = frame["d"]
        if frame["t"] == "joined":
            if not body["recovered"]:
                self.shown.clear()
            for each in body["history"]:
                self._show(each)
            for each in body["missed"]:
                # Who joins again where they are may have seen some between asking and the answer.
                if each["d"]["offset"] > self.offset:
                    self._show(each)
            self.epoch, self.offset = body["epoch"], body["offset"]
        elif "offset" in body and frame["t"] != "ack":
            self._show(frame)
            self.offset = body["offset"]

    def _show(self, frame: Frame) -> None:
        body = frame["d"]
        if frame["t"] == "new-message":
            assert body["id"] not in self.shown, f"twice: {body}"
            self.shown[body["id"]] = body["message"]
        elif frame["t"] == "message-deleted":
            self.shown.pop(body["messageId"], None)
        elif frame["t"] == "chat-cleared":
            self.shown.clear()


@dataclass
class Client:
    """``chat`` is None without a connection; the view stays."""

    view: View = field(default_factory=View)
    chat: Chat | None = None
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    is_inside: bool = False
    taken: int = 0

    @property
    def position(self) -> dict[str, Any]:
        return {"epoch": self.view.epoch, "offset": self.view.offset} if self.view.epoch else {}

    def read(self) -> None:
        if self.chat is not None:
            for frame in self.chat.frames[self.taken :]:
                self.view.take(frame)
            self.taken = len(self.chat.frames)

    async def drop(self) -> None:
        """Lose the connection, and what was under way."""
        self.read()
        await self.stack.aclose()
        self.chat, self.is_inside, self.taken = None, False, 0


class ChatMachine(RuleBasedStateMachine):
    def __init__(self, live: Live, people: list[Person], runner: asyncio.Runner) -> None:
        super().__init__()
        self._live = live
        self._people = itertools.cycle(people)
        self._run = runner.run
        self._room = ""
        self._witness = Client()
        self._clients = [Client() for _ in range(SLOTS)]
        self._acked: dict[str, int] = {}
        self._removed: set[str] = set()
        self._unsure: set[str] = set()
        self._said = 0

    @initialize()
    def begin(self) -> None:
        self._run(self._begin())

    async def _begin(self) -> None:
        self._room = await self._live.room()
        await self._connect(self._witness, await self._live.person("ana"), MSGPACK)

    async def _connect(self, client: Client, person: Person, subprotocol: str) -> None:
        chat = self._live.chat(person, subprotocol=subprotocol)
        client.chat = await client.stack.enter_async_context(chat)
        await self._join(client)

    async def _join(self, client: Client, is_new: bool = False) -> None:
        assert client.chat is not None
        client.read()
        known = {} if is_new else client.position
        joined = await client.chat.join(self._room, history=HISTORY, **known)
        assert joined["recovered"] is bool(known)
        client.is_inside = True

    # Coming and going

    @rule(slot=slots, subprotocol=st.sampled_from((JSON, MSGPACK)))
    def connect(self, slot: int, subprotocol: str) -> None:
        client = self._clients[slot]
        if client.chat is None:
            self._run(self._connect(client, next(self._people), subprotocol))

    @rule(slot=slots, is_new=st.booleans())
    def join_again(self, slot: int, is_new: bool) -> None:
        if self._clients[slot].chat is not None:
            self._run(self._join(self._clients[slot], is_new))

    @rule(slot=slots)
    def leave(self, slot: int) -> None:
        self._run(self._leave(self._clients[slot]))

    async def _leave(self, client: Client) -> None:
        if client.chat is not None and client.is_inside:
            answer = await client.chat.ask("leave-room", roomId=self._room)
            assert answer["t"] == "left"
            client.is_inside = False

    @rule(slot=slots)
    def drop(self, slot: int) -> None:
        self._run(self._clients[slot].drop())

    # Saying

    @precondition(lambda self: self._said < MOST_MESSAGES)
    @rule(who=st.sets(slots, min_size=1), count=st.integers(1, 3))
    def talk(self, who: set[int], count: int) -> None:
        """All of these at once, and the witness too."""
        self._run(self._talk([self._clients[slot] for slot in who], count))

    @precondition(lambda self: self._said < MOST_MESSAGES)
    @rule(who=st.sets(slots, min_size=1), gone=slots, subprotocol=st.sampled_from((JSON, MSGPACK)))
    def talk_while_one_comes_back(self, who: set[int], gone: int, subprotocol: str) -> None:
        speakers = [self._clients[slot] for slot in who - {gone}]
        self._run(self._talk_and_come_back(speakers, self._clients[gone], subprotocol))

    async def _talk_and_come_back(self, speakers: list[Client], gone: Client, subprotocol: str) -> None:
        async def come_back() -> None:
            await gone.drop()
            await self._connect(gone, next(self._people), subprotocol)

        await asyncio.gather(self._talk(speakers, 2), come_back())

    async def _talk(self, clients: list[Client], count: int) -> None:
        speaking = [each.chat for each in (*clients, self._witness) if each.chat and each.is_inside]
        speaking = speaking[: MOST_MESSAGES - self._said]
        await asyncio.gather(*(self._say(chat, count) for chat in speaking))

    async def _say(self, chat: Chat, count: int) -> None:
        self._said += count
        for _ in range(count):
            ack = await chat.say(self._room, unique())
            self._acked[ack["messageId"]] = ack["offset"]

    @precondition(lambda self: self._said < MOST_MESSAGES)
    @rule(slot=slots)
    def drop_in_mid_sentence(self, slot: int) -> None:
        """Whether it was stored is not known to the one who said it."""
        self._run(self._drop_in_mid_sentence(self._clients[slot]))

    async def _drop_in_mid_sentence(self, client: Client) -> None:
        if client.chat is not None and client.is_inside:
            text = unique("unsure")
            self._said += 1
            self._unsure.add(text)
            await client.chat.tell("chat-message", roomId=self._room, message=text)
            await client.drop()

    # Removing

    @rule(index=st.integers(0, MOST_MESSAGES))
    def delete(self, index: int) -> None:
        ids = [each for each in self._acked if each not in self._removed]
        if ids:
            self._run(self._delete(ids[index % len(ids)]))

    async def _delete(self, message_id: str) -> None:
        assert self._witness.chat is not None
        answer = await self._witness.chat.ask("delete-message", roomId=self._room, messageId=message_id)
        assert answer["t"] == "ack", answer
        self._removed.add(message_id)

    @rule()
    def clear(self) -> None:
        self._run(self._clear())

    async def _clear(self) -> None:
        assert self._witness.chat is not None
        answer = await self._witness.chat.ask("clear-chat", roomId=self._room)
        assert answer["t"] == "ack", answer
        self._removed |= set(self._acked)

    # What must always hold

    @invariant()
    def all_agree(self) -> None:
        if self._witness.chat is not None:
            self._run(self._all_agree())

    async def _all_agree(self) -> None:
        due = {each for each in self._acked if each not in self._removed}
        inside = [client for client in (self._witness, *self._clients) if client.is_inside]

        def is_settled() -> bool:
            for client in inside:
                client.read()
            shown = self._witness.view.shown
            return due <= set(shown) and all(each.view.shown == shown for each in inside)

        try:
            await eventually(is_settled)
        except TimeoutError:
            pytest.fail(f"{due}\n" + "\n".join(str(each.view) for each in inside))
        shown = self._witness.view.shown
        assert all(list(each.view.shown) == list(shown) for each in inside)
        assert {text for each, text in shown.items() if each not in self._acked} <= self._unsure
        offsets = [self._acked[each] for each in shown if each in self._acked]
        assert offsets == sorted(offsets)
        for client in inside:
            assert client.chat is not None
            assert not client.chat.faults, client.chat.faults

    def teardown(self) -> None:
        if self._witness.chat is not None:
            self._run(self._end())

    async def _end(self) -> None:
        """The API tells the same."""
        page = f"/rooms/{self._room}/messages?limit=100"
        messages = await (await self._live.person("ana")).get("GET", page)
        stored = {each["id"]: each["message"] for each in reversed(messages)}
        await eventually(lambda: (self._witness.read(), self._witness.view.shown == stored)[1])
        assert list(stored) == list(self._witness.view.shown)
        for client in (self._witness, *self._clients):
            await client.stack.aclose()


def test_everybody_sees_the_same_room(live: Live) -> None:
    with asyncio.Runner() as runner:

        async def people() -> list[Person]:
            return [await live.newcomer() for _ in range(PEOPLE)]

        crowd = runner.run(people())
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            lambda: ChatMachine(live, crowd, runner),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
