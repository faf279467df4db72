"""What clients say, right and wrong: it drives the decoder's tests and the fuzz seeds."""

from typing import Any

ROOM = "0199a1b2-0000-7000-8000-000000000001"
MESSAGE = "0199a1b2-0000-7000-8000-000000000002"

CLIENT_FRAMES: tuple[dict[str, Any], ...] = (
    {"t": "join-room", "id": 1, "d": {"roomId": ROOM}},
    {"t": "join-room", "id": 2, "d": {"roomId": "my-room", "epoch": "Zm9v", "offset": 17, "history": 50}},
    {"t": "leave-room", "id": 3, "d": {"roomId": ROOM}},
    {"t": "chat-message", "id": 4, "d": {"roomId": ROOM, "message": "Hello @ann €"}},
    {"t": "chat-message", "id": 5, "d": {"roomId": ROOM, "message": "Hello", "replyTo": MESSAGE}},
    {"t": "delete-message", "id": 6, "d": {"roomId": ROOM, "messageId": MESSAGE}},
    {"t": "clear-chat", "id": 7, "d": {"roomId": ROOM}},
    {"t": "react", "d": {"roomId": ROOM, "reaction": "🎉"}},
    {"t": "typing", "d": {"roomId": ROOM}},
    {"t": "ping"},
    {"t": "ping", "id": 2**53 - 1, "d": {}},
)

BAD_FRAMES: tuple[Any, ...] = (
    None,
    7,
    "join-room",
    [],
    {},
    {"d": {}},
    {"t": None, "d": {}},
    {"t": 1, "d": {}},
    {"t": "", "d": {}},
    {"t": "no-such-frame", "d": {}},
    {"t": "new-message", "d": {}},
    {"t": "ping", "d": None},
    {"t": "ping", "d": []},
    {"t": "ping", "d": {"more": 1}},
    {"t": "ping", "more": 1},
    {"t": "ping", "id": -1},
    {"t": "ping", "id": 2**53},
    {"t": "ping", "id": "1"},
    {"t": "ping", "id": 1.5},
    {"t": "join-room"},
    {"t": "join-room", "d": {}},
    {"t": "join-room", "d": {"roomId": ""}},
    {"t": "join-room", "d": {"roomId": "r" * 65}},
    {"t": "join-room", "d": {"roomId": 5}},
    {"t": "join-room", "d": {"roomId": ROOM, "offset": -1}},
    {"t": "join-room", "d": {"roomId": ROOM, "epoch": "e" * 65}},
    {"t": "join-room", "d": {"roomId": ROOM, "history": 101}},
    {"t": "leave-room", "d": {"roomId": "my-room"}},
    {"t": "chat-message", "d": {"roomId": ROOM}},
    {"t": "chat-message", "d": {"roomId": ROOM, "message": None}},
    {"t": "chat-message", "d": {"roomId": ROOM, "message": "m" * 65_537}},
    {"t": "chat-message", "d": {"roomId": ROOM, "message": "Hello", "replyTo": "latest"}},
    {"t": "delete-message", "d": {"roomId": ROOM}},
    {"t": "delete-message", "d": {"roomId": ROOM, "messageId": 1}},
    {"t": "react", "d": {"roomId": ROOM, "reaction": ""}},
    {"t": "react", "d": {"roomId": ROOM, "reaction": "r" * 17}},
    {"t": "typing", "d": {"roomId": [ROOM]}},
)

BAD_JSON: tuple[bytes, ...] = (
    b"",
    b"{",
    b'{"t": "ping"',
    b'{"t": "ping"} {"t": "ping"}',
    b"\xff",
    b'{"t": "ping", "d": {"a": \xff}}',
    b'{"t": "\\ud800"}',
    b'{"t": "ping", "d": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    b"[" * 5000,
)

BAD_MSGPACK: tuple[bytes, ...] = (
    b"",
    b"\xc1",
    b"\x81",
    b"\x82\xa1t\xa4ping",
    b"\x81\xa1t\xa4ping\xc0",
    b"\x81\xa1t\xa4\xff\xff\xff\xff",
    b"\x81\xa1t\xdb\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\x82\xa1t\xa4ping\xa1d" + b"\x91" * 5000,
    b"\x82\xa1t\xa4ping\xa1d\xc7\x01\x05a",
)
