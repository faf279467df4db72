"""docs/rtc-protocol.md and the code say the same; its examples run on the real core."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from sfu import errors, room_messages, signalling_bodies
from sfu.room_messages import Message
from sfu.signalling_protocol import Encoding
from sfu.signalling_visit import METHODS
from tests.chat.protocol.document import differences, filled
from tests.sfu.rtc_world import RtcClient, RtcWorld, real_routers, rtc_world

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "rtc-protocol.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```rtc\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FRAME = re.compile(r"(?P<name>\w+) (?P<arrow>->|<-) (?P<frame>\{.*\})")
_REQUEST = re.compile(r"(?P<name>\w+): (?P<method>\w+)(?: (?P<data>\{.*?\}))? =(?P<kind>[>/]) (?P<answer>.+)")
_NOTIFICATION = re.compile(r"(?P<name>\w+)! (?P<method>\w+) (?P<data>\{.*\})")
_CLOSING = re.compile(r"(?P<name>\w+) closes")


def steps() -> Iterator[str]:
    for body in _BLOCK.findall(PAGE):
        yield from re.sub(r"\n\s+", " ", body).splitlines()


class Play:
    """Takes the steps one after the other; what a client was told and nobody asked for is kept."""

    def __init__(self, world: RtcWorld, encoding: Encoding) -> None:
        self._world = world
        self._encoding = encoding
        self._clients: dict[str, RtcClient] = {}
        self._names: dict[str, Any] = {}

    async def take(self, step: str) -> None:
        if match := _FRAME.fullmatch(step):
            await self._frame(match)
        elif match := _REQUEST.fullmatch(step):
            await self._request(match)
        elif match := _NOTIFICATION.fullmatch(step):
            client = await self._client(match["name"])
            expected = {"notification": True, "method": match["method"], "data": json.loads(match["data"])}
            await self._expect(client, expected, step)
        elif match := _CLOSING.fullmatch(step):
            await self._clients.pop(match["name"]).socket.close()
        else:
            raise ValueError(f"not a step: {step}")

    async def _client(self, name: str) -> RtcClient:
        if name not in self._clients:
            self._clients[name] = await self._world.connect(self._encoding)
        return self._clients[name]

    async def _frame(self, match: re.Match[str]) -> None:
        client, frame = await self._client(match["name"]), json.loads(match["frame"])
        if match["arrow"] == "->":
            await client.send(filled(frame, self._names))
        else:
            await self._expect(client, frame, match[0])

    async def _request(self, match: re.Match[str]) -> None:
        client = await self._client(match["name"])
        data = filled(json.loads(match["data"] or "{}"), self._names)
        answer = await client.response(client.frame(match["method"], data))
        if match["kind"] == "/":
            assert (answer["ok"], answer.get("errorCode")) == (False, match["answer"]), match[0]
        else:
            assert answer["ok"], (match[0], answer)
            expected = json.loads(match["answer"])
            assert not list(differences(expected, answer["data"], self._names)), (match[0], answer)

    async def _expect(self, client: RtcClient, expected: dict[str, Any], step: str) -> None:
        while True:
            for frame in client.told:
                found = dict(self._names)
                if not list(differences(expected, frame, found)):
                    self._names = found
                    client.told.remove(frame)
                    return
            try:
                client.told.append(await client.receive())
            except TimeoutError:
                pytest.fail(f"{step}\nwas not told, but {client.told}", pytrace=False)


@pytest.mark.parametrize("encoding", Encoding)
async def test_the_examples_are_as_the_page_says(encoding: Encoding) -> None:
    async with real_routers() as routers, rtc_world(routers=routers) as world:
        play = Play(world, encoding)
        for step in steps():
            await play.take(step)


def table(heading: str) -> Iterator[list[str]]:
    """The cells of the tables whose heading begins with these columns."""
    end = "" if heading.endswith("|") else r" \|.*"
    pattern = rf"^\| {re.escape(heading)}{end}\n\|[-|]+\|\n((?:\|.*\|\n)*)"
    for rows in re.findall(pattern, PAGE, re.MULTILINE):
        for row in rows.splitlines():
            yield [cell.strip() for cell in row.strip("|").split("|")]


def names_in(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def names_of(body: type[Struct]) -> set[str]:
    return {
        each.encode_name
        + ("?" if each.default is not NODEFAULT or each.default_factory is not NODEFAULT else "")
        for each in fields(body)
    }


def test_the_page_names_every_method_with_its_data() -> None:
    shown = {row[0].strip("`"): names_in(row[1]) for heading in METHOD_TABLES for row in table(heading)}
    bodies = {name: method.body for name, method in METHODS.items()}
    bodies |= {"join": signalling_bodies.Join, "leave": signalling_bodies.Nothing}

    assert shown == {name: names_of(body) for name, body in bodies.items()}


METHOD_TABLES = ("method | data | response", "method | data | who")


def test_the_page_names_every_notification_with_its_data() -> None:
    shown = {row[0].strip("`"): names_in(row[1]) for row in table("method | data | |")}
    kinds = [kind for kind in vars(room_messages).values() if _is_message(kind)]

    assert shown == {kind.method: names_of(kind) for kind in kinds}


def _is_message(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Message) and value is not Message


def test_the_page_names_every_code() -> None:
    shown = {name for row in table("code") for name in names_in(row[0])}
    sources = [
        *ROOT.glob("sfu/room*.py"),
        *ROOT.glob("sfu/signalling*.py"),
        *ROOT.glob("sfu/participant*.py"),
    ]
    raised = {
        code
        for source in sources
        for code in re.findall(r'Refusal\(\s*"(\w+)"', source.read_text(encoding="utf-8"))
    }
    raised -= {"not_websocket", "unknown_subprotocol"}
    raised |= {kind.code for kind in errors.SfuError.__subclasses__()}

    assert raised - shown == set()


def test_the_page_shows_the_limits() -> None:
    for cell in ("64 KiB", "50 frames", "30 seconds", "16 places", "60 seconds", "128 consumers"):
        assert cell in PAGE
