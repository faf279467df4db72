"""The examples of docs/chat-protocol.md do what the page says, on a server of their own."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from chat.protocol.frames import EVENT_FIELDS, NEW_MESSAGE
from tests.chat.protocol.document import Called, Said, Step, blocks, differences, filled, page
from tests.control_api.live_api import UNLIMITED
from tests.control_api.people_online import Caller, registered
from tests.helpers.server_process import ServerProcess

pytestmark = [pytest.mark.interop, pytest.mark.slow]

PATIENCE_SECONDS = 15.0
MEMBERS = ("ana", "ben", "mia")
IN_ORDER = {NEW_MESSAGE, *EVENT_FIELDS}


@dataclass(frozen=True)
class Codec:
    """``kind`` is what the frames travel as."""

    subprotocol: str
    kind: type[str] | type[bytes]
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


def json_codec() -> Codec:
    return Codec("chat.v1.json", str, json.dumps, json.loads)


def msgpack_codec() -> Codec:
    """By an encoder that is not the server's."""
    msgpack = pytest.importorskip("msgpack")
    return Codec("chat.v1.msgpack", bytes, msgpack.packb, msgpack.unpackb)


@dataclass
class Client:
    """One connection. What nobody has asked for yet is kept, since frames without order may come between."""

    name: str
    socket: ClientConnection
    codec: Codec
    unread: list[dict[str, Any]] = field(default_factory=list)
    last_offset: int = 0

    def say(self, frame: dict[str, Any]) -> None:
        self.socket.send(self.codec.encode(frame))

    def read(self, seconds: float) -> bool:
        """Take one more frame; False if none comes."""
        try:
            data = self.socket.recv(timeout=max(0.0, seconds))
        except TimeoutError:
            return False
        assert isinstance(data, self.codec.kind), f"{self.name} got {data!r}"
        frame = self.codec.decode(data)
        if frame["t"] in IN_ORDER:
            assert frame["d"]["offset"] > self.last_offset, f"out of order for {self.name}: {frame}"
            self.last_offset = frame["d"]["offset"]
        self.unread.append(frame)
        return True


class Play:
    """Plays the blocks. ``names`` are what the page's ``$names`` stand for so far."""

    def __init__(self, server: ServerProcess, codec: Codec, stack: ExitStack) -> None:
        self._server = server
        self._codec = codec
        self._stack = stack
        self._clients: dict[str, Client] = {}
        suffix = codec.subprotocol.rpartition(".")[2]
        self._callers = {name: registered(server.base_url, f"{name}_{suffix}") for name in MEMBERS}
        self.names: dict[str, Any] = {"slug": f"bread-{suffix}"}
        for name, caller in self._callers.items():
            self.names |= {name: f"{name}_{suffix}", f"{name}Id": caller.get("GET", "/users/me")["id"]}
        room = {"title": "Bread at midnight", "slug": self.names["slug"]}
        self.names["roomId"] = self._callers["ana"].get("POST", "/rooms", room)["id"]

    def take(self, step: Step) -> None:
        if isinstance(step, Called):
            body = filled(step.body, self.names)
            self._callers[step.name].get(step.method, filled(step.path, self.names), body)
        elif step.is_from_client:
            self.client(step.name).say(filled(step.frame, self.names))
        else:
            self._expect(step)

    def client(self, name: str) -> Client:
        """Somebody's connection. Ben comes with a ticket, as from a browser; other members with a token."""
        if name not in self._clients:
            address = self._server.base_url.replace("http", "ws", 1) + "/ws"
            caller = self._callers.get(name, Caller(self._server.base_url))
            headers = {"Authorization": f"Bearer {caller.token}"} if caller.token else {}
            if name == "ben":
                address += f"?ticket={caller.get('POST', '/chat/tickets')['ticket']}"
                headers = {}
            protocols = [Subprotocol(self._codec.subprotocol)]
            socket = connect(address, subprotocols=protocols, additional_headers=headers, compression=None)
            self._clients[name] = Client(name, self._stack.enter_context(socket), self._codec)
        return self._clients[name]

    def _expect(self, step: Said) -> None:
        client = self.client(step.name)
        deadline = time.monotonic() + PATIENCE_SECONDS
        looked_at = 0
        while not any(self._is_match(step, frame) for frame in client.unread[looked_at:]):
            looked_at = len(client.unread)
            if not client.read(deadline - time.monotonic()):
                pytest.fail(self._complaint(step, client), pytrace=False)

    def _is_match(self, step: Said, frame: dict[str, Any]) -> bool:
        found = dict(self.names)
        if list(differences(step.frame, frame, found)):
            return False
        self.names = found
        self._clients[step.name].unread.remove(frame)
        return True

    def _complaint(self, step: Said, client: Client) -> str:
        shown = json.dumps(filled(step.frame, self.names), ensure_ascii=False)
        lines = [f"{step.name} did not get {shown}, but"]
        for frame in client.unread:
            if frame["t"] == step.frame["t"]:
                found = "; ".join(differences(step.frame, frame, dict(self.names)))
                lines.append(f"  {json.dumps(frame, ensure_ascii=False)}\n    {found}")
            else:
                lines.append(f"  {frame['t']}")
        return "\n".join(lines)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    data: Path = tmp_path_factory.mktemp("chat") / "data"
    with ServerProcess(data, settings=UNLIMITED) as running:
        yield running


@pytest.mark.parametrize("make_codec", [json_codec, msgpack_codec])
def test_the_examples_are_as_the_page_says(server: ServerProcess, make_codec: Callable[[], Codec]) -> None:
    codec = make_codec()
    with ExitStack() as stack:
        play = Play(server, codec, stack)
        for block in blocks(page()):
            for step in block:
                play.take(step)
