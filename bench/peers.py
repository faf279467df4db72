"""Our own server as a subprocess, for runs that need nothing but this machine.

Everything lives in a temporary folder and on free loopback ports, and is stopped by process id.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.errors import BenchError
from bench.targets import parse_target
from bench.viewers.http_connection import HttpConnection

HOST: Final = "127.0.0.1"
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 20.0
COMMAND_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.1
LOG_TAIL_BYTES: Final = 2000
CONNECTIONS_PER_ADDRESS: Final = 10_000


@dataclass(frozen=True, slots=True)
class BenchRoom:
    room_id: str
    stream_key: str


@dataclass(frozen=True, slots=True)
class OwnServer:
    """A running server; ``flags`` are those that its admin commands need, too."""

    pid: int
    http_port: int
    rtmp_port: int
    flags: tuple[str, ...]

    @property
    def data_dir(self) -> Path:
        return Path(self.flags[1])

    async def create_room(self, title: str) -> BenchRoom:
        """Make a room by the command line, as any script would."""
        words = ("admin", "create-room", "--json", "--user", "admin", "--title", title, *self.flags)
        made = await _call(words)
        return BenchRoom(made["roomId"], made["streamKey"])

    def publish_url(self, name: str) -> str:
        return f"rtmp://{HOST}:{self.rtmp_port}/live/{name}"

    def http_url(self, path: str) -> str:
        return f"http://{HOST}:{self.http_port}{path}"


@contextlib.asynccontextmanager
async def own_server(settings: Sequence[str] = ()) -> AsyncIterator[OwnServer]:
    """Start ``mediaserver serve`` with ``settings`` as further flags, and stop it in the end.

    Raises BenchError with the last line of its log when it does not become ready.
    """
    with tempfile.TemporaryDirectory(prefix="mediaserver-bench-") as name:
        folder = Path(name)
        http_port, rtmp_port = _free_ports(2)
        flags = ("--data-dir", str(folder / "data"))
        words = (*flags, *_listening_flags(http_port, rtmp_port), *settings)
        log_path = folder / "server.log"
        with log_path.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *_program("serve", *words), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        server = OwnServer(process.pid, http_port, rtmp_port, flags)
        try:
            await _wait_ready(process, server.http_url("/health/ready"), log_path)
            yield server
        finally:
            await _stop(process)
            _stop_database(folder)


def _listening_flags(http_port: int, rtmp_port: int) -> tuple[str, ...]:
    return (
        *("--http.host", HOST, "--http.port", str(http_port)),
        *("--rtmp.host", HOST, "--rtmp.port", str(rtmp_port)),
        *("--rtmp.max-connections-per-address", str(CONNECTIONS_PER_ADDRESS)),
        *("--rtc.hosts", HOST, "--rtc.port", "0"),
        *("--log.level", "warning"),
    )


def _program(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "mediaserver", *words)


async def _call(words: Sequence[str]) -> dict[str, Any]:
    """Run one of our server's commands and return the JSON object it prints."""
    process = await asyncio.create_subprocess_exec(
        *_program(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            output, errors = await process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    if process.returncode:
        raise BenchError(f"mediaserver {words[0]} {words[1]}: {_last_line_of(errors)}")
    answer: dict[str, Any] = json.loads(output)
    return answer


async def _wait_ready(process: asyncio.subprocess.Process, url: str, log_path: Path) -> None:
    target = parse_target(url, ("http",))
    deadline = time.monotonic() + START_SECONDS
    while process.returncode is None and time.monotonic() < deadline:
        with (
            contextlib.suppress(BenchError, OSError, TimeoutError),
            contextlib.closing(HttpConnection(target)) as connection,
        ):
            if (await connection.get(target.path, len, START_SECONDS)).status == 200:
                return
        await asyncio.sleep(POLL_SECONDS)
    how = "ended" if process.returncode is not None else f"was not ready after {START_SECONDS:g} s"
    raise BenchError(f"the server {how}: {_last_line(log_path)}")


def _last_line(log: Path) -> str:
    return _last_line_of(log.read_bytes())


def _last_line_of(output: bytes) -> str:
    lines = output[-LOG_TAIL_BYTES:].decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _stop_database(folder: Path) -> None:
    """An embedded PostgreSQL that outlived its server names its process in the data directory."""
    for path in folder.rglob("postmaster.pid"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            os.kill(int(path.read_text().splitlines()[0]), signal.SIGINT)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        return [listening.getsockname()[1] for listening in sockets]
