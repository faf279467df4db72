"""``python -m bench.webrtc_load.core_server``: the SFU with WHIP and WHEP and nothing else around it.

No database, no accounts, no bridges to other protocols: what it costs is what forwarding costs. Every room
exists, and everybody may do everything; it listens on the loopback only.
"""

import asyncio
import contextlib
import logging
import sys
from argparse import ArgumentParser
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from typing import Final

import structlog
import uvloop
from aiohttp import web

from bench.errors import BenchError
from sfu.http_door import DoorOptions
from sfu.ports import PublishGrant, ViewGrant
from sfu.protocol.parameters import Kind
from sfu.router import Router
from sfu.webrtc_server import WebRtcOptions, WebRtcServer
from sfu.whep import Whep
from sfu.whip import Whip

HOST: Final = "127.0.0.1"
MAX_SESSIONS: Final = 20_000
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 10.0
_UNLIMITED: Final = DoorOptions(most_sessions=MAX_SESSIONS, posts_per_second=1e6, post_burst=1e6)


class OpenDoors:
    """Lets everybody in everywhere, and makes rooms on demand."""

    def __init__(self, server: WebRtcServer) -> None:
        self._server = server
        self._routers: dict[str, Router] = {}

    async def authorize_publish(self, room: str, bearer: str | None, address: str) -> PublishGrant:
        return PublishGrant(room)

    async def may_still_publish(self, grant: PublishGrant) -> bool:
        return True

    async def authorize_view(self, room: str, token: str | None, address: str) -> ViewGrant:
        return ViewGrant(room)

    def joined(self, grant: ViewGrant, leave: Callable[[], None], *, is_program: bool) -> Callable[[], None]:
        return lambda: None

    def connected(self, grant: ViewGrant) -> Callable[[], None]:
        return lambda: None

    async def router(self, room_id: str) -> Router:
        if room_id not in self._routers:
            self._routers[room_id] = self._server.create_router(room_id)
        return self._routers[room_id]

    def release(self, room_id: str) -> None:
        """Rooms stay."""

    def program_kinds(self, room_id: str) -> Collection[Kind] | None:
        return None

    def program_refusal(self, room_id: str) -> str | None:
        return None

    def participant_producers(self, room_id: str, participant_id: str) -> Collection[str] | None:
        return None


@contextlib.asynccontextmanager
async def serving(port: int = 0) -> AsyncIterator[int]:
    """Serve in this process until the block ends; the value is the port of HTTP."""
    server = WebRtcServer((HOST,), WebRtcOptions(max_transports_per_router=MAX_SESSIONS))
    await server.start((HOST,), 0)
    rooms = OpenDoors(server)
    whip = Whip(rooms, rooms, lambda _: HOST, _UNLIMITED)
    whep = Whep(rooms, rooms, lambda _: HOST, _UNLIMITED)
    application = web.Application()
    application.add_routes([*whip.routes(), *whep.routes()])
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
        whip.close()
        whep.close()
        await server.close()


@dataclass(frozen=True, slots=True)
class CoreServer:
    """One in a process of its own."""

    pid: int
    port: int


@contextlib.asynccontextmanager
async def core_server() -> AsyncIterator[CoreServer]:
    """Start one in a process of its own, and stop it in the end. Raises BenchError when it does not start."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.webrtc_load.core_server"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None and process.stdin is not None
    try:
        line = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                line = await process.stdout.readline()
        if not line.strip().isdigit():
            raise BenchError("the SFU did not start")
        yield CoreServer(process.pid, int(line))
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _serve_until_left_alone(port: int) -> None:
    """It ends with its standard input, so that it does not outlive who started it."""
    async with serving(port) as bound:
        print(bound, flush=True)
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        await reader.read()


def main() -> None:
    """Print the port, and serve."""
    parser = ArgumentParser(prog="python -m bench.webrtc_load.core_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port of HTTP (default: a free one)")
    port = parser.parse_args().port
    # standard output is for the port
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_until_left_alone(port))


if __name__ == "__main__":
    main()
