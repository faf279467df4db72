"""docs/chat-protocol.md and the code say the same."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chat import connection, frame_handler, keepalive, server
from chat.moderation import screening
from chat.protocol import frames, websocket
from chat.protocol.frames import (
    CLIENT_BODIES,
    EPHEMERAL_BODIES,
    EVENT_FIELDS,
    NEW_MESSAGE,
    Encoding,
    MessageBody,
    Person,
    SettingsBody,
    You,
    decode,
)
from control_api.services.playback import Denial
from tests.chat.protocol.document import (
    ANY,
    Section,
    chapter,
    differences,
    field_table,
    filled,
    page,
    rows,
    sections,
    sent_frames,
    shown_frames,
)

ROOT = Path(__file__).parents[3]
TEXT = page()
FROM_CLIENTS = "What clients say"
TO_ONE = "What the server says to one client"
IN_ORDER = "What the server says to a room, in order"
IN_NO_ORDER = "What the server says to a room, in no order"
LEFT_OUT = {TO_ONE: set(), IN_ORDER: {"roomId", "offset"}, IN_NO_ORDER: {"roomId"}}
"""Fields that a chapter's tables do not repeat."""
SECTIONS = sections(TEXT)
FAULTY_EXAMPLES = {"dance", "colour"}
ENCODE = {Encoding.JSON: msgspec.json.encode, Encoding.MSGPACK: msgspec.msgpack.encode}
ID = "0199a1b2-0000-7000-8000-000000000001"
CODE_OF = ("chat", "mediaserver", "control_api")


def titled(section: Section) -> str:
    return f"{section.kind} in {section.chapter}"


def kinds(*chapters: str) -> set[str]:
    return {section.kind for section in SECTIONS if section.chapter in chapters}


def struct_fields(body: type[msgspec.Struct]) -> dict[str, bool]:
    """The fields as they go over the wire: whether one may be missing."""
    return {field.encode_name: not field.required for field in msgspec.structs.fields(body)}


def server_fields(kind: str) -> dict[str, bool]:
    if kind == NEW_MESSAGE:
        return struct_fields(MessageBody)
    if kind in EPHEMERAL_BODIES:
        return struct_fields(EPHEMERAL_BODIES[kind])
    return dict.fromkeys(("roomId", "offset", *EVENT_FIELDS[kind]), False)


def test_every_frame_has_a_section_and_every_section_a_frame() -> None:
    assert kinds(FROM_CLIENTS) == set(CLIENT_BODIES)
    assert kinds(IN_ORDER) == {NEW_MESSAGE, *EVENT_FIELDS}
    assert kinds(TO_ONE, IN_NO_ORDER) == set(EPHEMERAL_BODIES)
    assert len(SECTIONS) == len(CLIENT_BODIES) + len(EVENT_FIELDS) + 1 + len(EPHEMERAL_BODIES)


@pytest.mark.parametrize("section", [s for s in SECTIONS if s.chapter == FROM_CLIENTS], ids=titled)
def test_what_clients_may_say_is_as_written(section: Section) -> None:
    assert section.fields == struct_fields(CLIENT_BODIES[section.kind])


@pytest.mark.parametrize("section", [s for s in SECTIONS if s.chapter != FROM_CLIENTS], ids=titled)
def test_what_the_server_says_is_as_written(section: Section) -> None:
    left_out = dict.fromkeys(LEFT_OUT[section.chapter], False)
    assert left_out | section.fields == server_fields(section.kind)


def test_settings_are_as_written() -> None:
    assert [row[0].strip("`") for row in rows(TEXT, "setting")] == list(struct_fields(SettingsBody))


@pytest.mark.parametrize("frame", shown_frames(TEXT), ids=lambda frame: str(frame)[:60])
def test_an_example_of_the_server_has_the_right_fields(frame: dict[str, Any]) -> None:
    assert frame.keys() <= {"t", "id", "d"}
    fields, body = server_fields(frame["t"]), frame["d"]
    assert {name for name, may_miss in fields.items() if not may_miss} <= body.keys() <= fields.keys()
    for name, of in (("settings", SettingsBody), ("you", You), ("from", Person)):
        if body.get(name, ANY) != ANY:
            assert body[name].keys() == struct_fields(of).keys()


def test_every_frame_of_the_server_has_an_example() -> None:
    assert {frame["t"] for frame in shown_frames(TEXT)} == kinds(TO_ONE, IN_ORDER, IN_NO_ORDER)


def test_every_frame_of_clients_has_an_example() -> None:
    assert {frame["t"] for frame in sent_frames(TEXT)} - FAULTY_EXAMPLES == set(CLIENT_BODIES)


@pytest.mark.parametrize("encoding", Encoding, ids=lambda encoding: encoding.name.lower())
@pytest.mark.parametrize("frame", sent_frames(TEXT), ids=lambda frame: str(frame)[:60])
def test_an_example_of_a_client_is_understood(encoding: Encoding, frame: dict[str, Any]) -> None:
    if FAULTY_EXAMPLES & {frame["t"], *frame["d"]} if "d" in frame else False:
        return
    names = dict.fromkeys(("roomId", "hello", "welcome", "epoch", "slug"), ID) | {"helloOffset": 1}
    incoming = decode(encoding, ENCODE[encoding](filled(frame, names)))
    assert (type(incoming.body), incoming.id) == (CLIENT_BODIES[frame["t"]], frame.get("id"))


# Codes


def parsed(*packages: str) -> Iterator[ast.AST]:
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def documented_codes() -> set[str]:
    return {row[0].strip("`") for row in rows(chapter(TEXT, "Error codes"), "code")}


def handshake_codes() -> set[str]:
    return {row[1].strip("`") for row in rows(TEXT, "status")}


def refused_with() -> set[str]:
    """The codes that the chat's refusals are made with, where they are written out."""
    return {
        node.args[0].value
        for node in parsed("chat")
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"Refusal", "BadFrame"}
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }


def test_every_code_of_a_refusal_is_documented() -> None:
    assert refused_with() - documented_codes() - handshake_codes() == set()


def test_every_reason_why_a_room_is_closed_is_documented() -> None:
    # A full room can still be read about: the limit is on its viewers.
    assert {each.value for each in Denial if each is not Denial.ROOM_FULL} <= documented_codes()


def test_every_documented_code_exists() -> None:
    texts = {node.value for node in parsed(*CODE_OF) if isinstance(node, ast.Constant)}
    assert (documented_codes() | handshake_codes()) - texts == set()


def test_the_codes_of_the_handshake_are_as_written() -> None:
    written: dict[int, set[str]] = {int(row[0]): set() for row in rows(TEXT, "status")}
    for status, code, _ in rows(TEXT, "status"):
        written[int(status)].add(code.strip("`"))
    answered: dict[int, set[str]] = {}
    for code, status in server._STATUS.items():
        answered.setdefault(int(status), set()).add(code)
    assert written == answered


def test_close_codes_are_as_written() -> None:
    written = {int(row[0]) for row in rows(TEXT, "code") if row[0].isdigit()}
    closing = {value for name, value in vars(connection).items() if name.startswith("CLOSE_")}
    assert written == closing | set(websocket.CloseCode)


# Limits


@pytest.mark.parametrize(
    ("what", "limit"),
    [
        ("WebSocket message", frames.MAX_FRAME_BYTES),
        ("fragments of one message", websocket.MAX_FRAGMENTS),
        ("frames a second from one client, pings included", connection.FRAMES_PER_SECOND),
        ("bytes that you have not taken", connection.BUDGET_BYTES),
        ("rooms of one connection", frame_handler.MAX_ROOMS),
        ("joins of one user", frame_handler.JOINS_PER_WINDOW),
        ("reactions of one user", frame_handler.REACTIONS_PER_WINDOW),
        ("`typing` of one user", frame_handler.TYPING_PER_WINDOW),
        ("mentions in one message", frame_handler.MAX_MENTIONS),
        ("messages of one user", screening.MESSAGES_PER_WINDOW),
        ("characters of a message", frames.MAX_MESSAGE_CHARACTERS),
        ("history at joining", frames.MAX_HISTORY),
        ("entries that are recovered", frames.MAX_MISSED),
    ],
)
def test_limits_are_as_written(what: str, limit: int) -> None:
    [written] = [row[1] for row in rows(TEXT, "what") if row[0] == what]
    assert written.split()[0] == str(limit)


def test_how_the_connection_is_kept_is_as_written() -> None:
    written = " ".join(chapter(TEXT, "Keeping the connection").split())
    assert f"every {keepalive.PING_SECONDS} seconds" in written
    assert f"nothing has come from you {keepalive.PONG_SECONDS} seconds later" in written
    assert f"More than {server.ServerOptions().connections_per_minute} connections a minute" in TEXT


def test_sizes_of_fields_are_as_written() -> None:
    written = {row[0].strip("`?"): row[1] for row in rows(chapter(TEXT, FROM_CLIENTS), "field")}
    assert written["reaction"] == f"string, 1 to {frames.MAX_REACTION_CHARACTERS}"
    assert written["history"] == f"integer, 0 to {frames.MAX_HISTORY}"
    [room, *_] = [row[1] for row in rows(chapter(TEXT, FROM_CLIENTS), "field")]
    assert room == f"string, 1 to {frames.MAX_ROOM_CHARACTERS}"


@pytest.mark.parametrize("encoding", Encoding, ids=lambda encoding: encoding.name.lower())
def test_subprotocols_are_as_written(encoding: Encoding) -> None:
    [row] = [row for row in rows(TEXT, "subprotocol") if row[0] == f"`{encoding.value}`"]
    assert row[2] == ("text" if encoding.is_text else "binary")


# The reading of the document itself


def test_fields_are_read_from_tables() -> None:
    assert field_table("| field | type | |\n|---|---|---|\n| `a` | id | |\n| `b`? | id | |\n") == {
        "a": False,
        "b": True,
    }


@pytest.mark.parametrize(
    ("shown", "given", "found"),
    [
        ({"a": "…"}, {"a": [1]}, []),
        ({"a": "$known"}, {"a": 7}, []),
        ({"a": "$known"}, {"a": 8}, [".a is 8, not 7"]),
        ({"a": "for $known"}, {"a": "for 7"}, []),
        ({"a": 1}, {}, [".a is missing"]),
        ({}, {"a": 1}, [".a is not shown"]),
        ({"a": [1, 2]}, {"a": [1]}, [".a is [1], not [1, 2]"]),
        ({"a": [1, 2]}, {"a": [1, 3]}, [".a[1] is 3, not 2"]),
        ({"a": 1}, {"a": True}, [".a is True, not 1"]),
    ],
)
def test_differences_are_found(shown: Any, given: Any, found: list[str]) -> None:
    assert list(differences(shown, given, {"known": 7})) == found


def test_a_new_name_stands_for_what_is_found() -> None:
    names: dict[str, Any] = {}
    assert list(differences(["$new", "$new"], [5, 6], names)) == ["[1] is 6, not 5"]
    assert names == {"new": 5}
