"""Clients of the chat: aiohttp's and the package websockets, in both encodings, with the same face.

What comes is kept in ``frames``. That entries of a room come in order and once is checked of every client.
"""

import asyncio
import itertools
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Protocol, Self

import aiohttp
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from chat.protocol.frames import EVENT_FIELDS, NEW_MESSAGE
from tests.helpers.waiting import eventually

JSON: Final = "chat.v1.json"
MSGPACK: Final = "chat.v1.msgpack"
IN_ORDER: Final = frozenset((NEW_MESSAGE, *EVENT_FIELDS))
PATIENCE_SECONDS: Final = 15.0
FRAMES_PER_SECOND: Final = 60
"""Well under what the server closes a connection for."""

Frame = dict[str, Any]


class Wire(Protocol):
    """A WebSocket of some library."""

    async def send(self, data: str | bytes) -> None: ...

    async def receive(self) -> str | bytes | None:
        """None when it is closed."""

    async def close(self) -> None: ...

    @property
    def close_code(self) -> int | None: ...

    @property
    def subprotocol(self) -> str | None: ...


Dial = Callable[[str, Mapping[str, str], str | None], Any]
"""Opens a Wire as an async context manager: to an address, with headers, offering a subprotocol."""


class _Aiohttp:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, data: str | bytes) -> None:
        with suppress(ConnectionError, aiohttp.ClientError):
            await (self._socket.send_str(data) if isinstance(data, str) else self._socket.send_bytes(data))

    async def receive(self) -> str | bytes | None:
        message = await self._socket.receive()
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            data: str | bytes = message.data
            return data
        return None

    async def close(self) -> None:
        await self._socket.close()

    @property
    def close_code(self) -> int | None:
        return self._socket.close_code

    @property
    def subprotocol(self) -> str | None:
        return self._socket.protocol


@asynccontextmanager
async def by_aiohttp(url: str, headers: Mapping[str, str], subprotocol: str | None) -> AsyncIterator[Wire]:
    protocols = (subprotocol,) if subprotocol else ()
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, headers=headers, protocols=protocols) as socket,
    ):
        yield _Aiohttp(socket)


class _Websockets:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, data: str | bytes) -> None:
        with suppress(ConnectionClosed):
            await self._socket.send(data)

    async def receive(self) -> str | bytes | None:
        try:
            return await self._socket.recv()
        except ConnectionClosed:
            return None

    async def close(self) -> None:
        await self._socket.close()

    @property
    def close_code(self) -> int | None:
        return self._socket.close_code

    @property
    def subprotocol(self) -> str | None:
        return self._socket.subprotocol


@asynccontextmanager
async def by_websockets(url: str, headers: Mapping[str, str], subprotocol: str | None) -> AsyncIterator[Wire]:
    protocols = [Subprotocol(subprotocol)] if subprotocol else None
    async with connect(
        url, subprotocols=protocols, additional_headers=headers, compression=None, proxy=None
    ) as socket:
        yield _Websockets(socket)


class Chat:
    """One connection. Get it from ``chatting``."""

    def __init__(self, wire: Wire, is_text: bool) -> None:
        self.wire = wire
        self.frames: list[Frame] = []
        self.faults: list[str] = []
        self.is_over = False
        self._is_text = is_text
        self._numbers = itertools.count(1)
        self._last: dict[str, int] = {}
        self._turn = asyncio.Lock()
        self._sent: deque[float] = deque(maxlen=FRAMES_PER_SECOND)
        self._reading = asyncio.create_task(self._read())

    # Saying

    async def tell(self, kind: str, **body: Any) -> None:
        await self.send({"t": kind, "d": body})

    async def send(self, frame: Any) -> None:
        """No faster than the server allows."""
        async with self._turn:
            now = asyncio.get_running_loop().time()
            if len(self._sent) == FRAMES_PER_SECOND:
                await asyncio.sleep(self._sent[0] + 1 - now)
            self._sent.append(asyncio.get_running_loop().time())
            await self.wire.send(
                json.dumps(frame, ensure_ascii=False) if self._is_text else msgspec.msgpack.encode(frame)
            )

    async def ask(self, kind: str, **body: Any) -> Frame:
        """The frame that answers this one."""
        number = next(self._numbers)
        await self.send({"t": kind, "id": number, "d": body})
        return await self.first(lambda frame: frame.get("id") == number)

    async def join(self, room: str, **more: Any) -> Frame:
        """The body of ``joined``."""
        answer = await self.ask("join-room", roomId=room, **more)
        assert answer["t"] == "joined", answer
        return dict(answer["d"])

    async def say(self, room: str, message: str, **more: Any) -> Frame:
        """The body of ``ack``."""
        answer = await self.ask("chat-message", roomId=room, message=message, **more)
        assert answer["t"] == "ack", answer
        return dict(answer["d"])

    async def refused(self, kind: str, **body: Any) -> str:
        """The code of the error that answers."""
        answer = await self.ask(kind, **body)
        assert answer["t"] == "error", answer
        return str(answer["d"]["code"])

    # Hearing

    async def first(self, is_it: Callable[[Frame], bool], seconds: float = PATIENCE_SECONDS) -> Frame:
        """The first frame of all that came or will come."""
        found: list[Frame] = []
        looked_at = 0

        def look() -> bool:
            nonlocal looked_at
            found.extend(filter(is_it, self.frames[looked_at:]))
            looked_at = len(self.frames)
            return bool(found) or self.is_over

        try:
            await eventually(look, seconds)
        except TimeoutError:
            raise TimeoutError(f"it did not come, but {self.frames[-10:]}") from None
        assert found, f"closed with {self.wire.close_code}; the last was {self.frames[-3:]}"
        return found[0]

    async def heard(self, kind: str, seconds: float = PATIENCE_SECONDS, **fields: Any) -> Frame:
        """The body of the first frame of this kind with these fields."""
        frame = await self.first(lambda each: _fits(each, kind, fields), seconds)
        return dict(frame["d"])

    def all(self, kind: str, **fields: Any) -> list[Frame]:
        """The bodies of all frames of this kind so far."""
        return [frame["d"] for frame in self.frames if _fits(frame, kind, fields)]

    def texts(self, room: str) -> list[str]:
        """What was said in ``room`` so far."""
        return [body["message"] for body in self.all(NEW_MESSAGE, roomId=room)]

    async def settle(self) -> None:
        """Everything that the server had to say before this has come when it returns."""
        answer = await self.ask("ping")
        assert answer["t"] == "pong"

    async def over(self, seconds: float = PATIENCE_SECONDS) -> int | None:
        """The close code, when the server has closed."""
        await eventually(lambda: self.is_over, seconds)
        return self.wire.close_code

    async def close(self) -> None:
        await self.wire.close()
        await self._reading

    async def _read(self) -> None:
        while (data := await self.wire.receive()) is not None:
            if isinstance(data, str) is not self._is_text:
                self.faults.append(f"the wrong kind of message: {data!r}")
            frame = json.loads(data) if isinstance(data, str) else msgspec.msgpack.decode(data)
            self._check_order(frame)
            self.frames.append(frame)
        self.is_over = True

    def _check_order(self, frame: Frame) -> None:
        body = frame["d"]
        if frame["t"] == "joined":
            missed = [each["d"]["offset"] for each in body["missed"]]
            if missed != sorted(set(missed)) or (missed and missed[-1] > body["offset"]):
                self.faults.append(f"missed frames out of order: {missed}, {body['offset']}")
            self._last[body["roomId"]] = body["offset"]
        elif frame["t"] in IN_ORDER:
            if body["offset"] <= self._last.get(body["roomId"], 0):
                self.faults.append(f"out of order after {self._last[body['roomId']]}: {frame}")
            self._last[body["roomId"]] = body["offset"]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        self._reading.cancel()
        results = await asyncio.gather(self._reading, return_exceptions=True)
        if kind is None:
            assert not self.faults, self.faults
            broken = [each for each in results if isinstance(each, Exception)]
            assert not broken, broken


@asynccontextmanager
async def chatting(
    url: str, headers: Mapping[str, str], dial: Dial = by_aiohttp, subprotocol: str | None = MSGPACK
) -> AsyncIterator[Chat]:
    """A connection to ``url``, such as http://127.0.0.1:80/ws."""
    async with (
        dial(url.replace("http", "ws", 1), headers, subprotocol) as wire,
        Chat(wire, is_text=subprotocol == JSON) as chat,
    ):
        yield chat


def _fits(frame: Frame, kind: str, fields: Mapping[str, Any]) -> bool:
    body = frame["d"]
    return frame["t"] == kind and all(name in body and body[name] == fields[name] for name in fields)
