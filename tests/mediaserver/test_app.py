"""The life of the process: it starts or says in one line why not, reloads, drains, and survives a kill -9."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

import aiohttp
import asyncpg
import pytest

from rtmp.client import RtmpClient
from rtmp.protocol.errors import RequestRefusedError, RtmpError
from storage.embedded import EmbeddedPostgres
from tests.helpers.camera import Camera
from tests.helpers.flv import read_flv, read_tags
from tests.helpers.flv_viewer import FlvViewer
from tests.helpers.server_process import ServerProcess
from tests.helpers.waiting import eventually
from tests.helpers.whep_player import WhepPlayer

pytestmark = pytest.mark.slow

WRONG_KEY: Final = "f" * 40
LONG_SECONDS: Final = 600
RESTART_NEEDED: Final = "hls.playlist_segments = 12"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all, so that PostgreSQL is set up once. Every test starts and stops a server of its own."""
    return tmp_path_factory.mktemp("app") / "data"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


@pytest.fixture
def server(data_dir: Path, config: Path) -> Iterator[ServerProcess]:
    """Running with the settings in ``config``, where a test may write others and reload."""
    write_settings(config)
    settings = {"MEDIASERVER_CONFIG": str(config), "MEDIASERVER_LOG__FORMAT": "json"}
    with ServerProcess(data_dir, settings=settings) as server:
        yield server


def write_settings(
    config: Path, merge_window_ms: int = 0, drain_seconds: int = LONG_SECONDS, extra: str = ""
) -> None:
    settings = [f"broadcast.merge_window_ms = {merge_window_ms}", f"drain.timeout_seconds = {drain_seconds}"]
    config.write_text("\n".join((*settings, extra)))


def reload(server: ServerProcess, config: Path, *, merge_window_ms: int = 0, extra: str = "") -> None:
    write_settings(config, merge_window_ms, extra=extra)
    os.kill(server.pid, signal.SIGHUP)


def logged(server: ServerProcess, event: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in server.output if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


@asynccontextmanager
async def on_air(server: ServerProcess) -> AsyncIterator[tuple[Camera, str, str]]:
    """A camera in a new room: with it the room's id and the address of its FLV stream."""
    room, key = await asyncio.to_thread(server.create_room, "On air")
    async with Camera.publishing(f"{server.rtmp_url}/{key}") as camera:
        await asyncio.to_thread(server.wait_live, room)
        yield camera, room, f"{server.base_url}/live/{room}.flv"


# Stopping


async def test_sigterm_drains_and_ends_with_status_0(server: ServerProcess) -> None:
    async with on_air(server) as (camera, _, flv_url), FlvViewer.watching(flv_url) as viewer:
        await viewer.more_pictures(5)
        stopping = asyncio.create_task(asyncio.to_thread(server.stop))
        await eventually(lambda: logged(server, "draining"))
        await refuses_connections(server.http_port)
        await refuses_connections(server.rtmp_port)
        await viewer.more_pictures(5)  # those who are here are still served
        await camera.client.close()
        assert await stopping == 0
        await eventually(lambda: viewer.is_over)
        viewer.assert_decodes()


async def test_a_drain_ends_webrtc_at_once_and_lets_the_others_go_on(server: ServerProcess) -> None:
    async with (
        on_air(server) as (camera, room, flv_url),
        FlvViewer.watching(flv_url) as viewer,
        WhepPlayer.playing(f"{server.base_url}/whep/{room}") as player,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{server.base_url}/rtc") as rtc,
    ):
        await player.more(5)
        stopping = asyncio.create_task(asyncio.to_thread(server.stop))
        await eventually(lambda: player.peer.connectionState == "closed")
        assert (await rtc.receive(timeout=10)).data == aiohttp.WSCloseCode.GOING_AWAY
        await viewer.more_pictures(5)
        await camera.client.close()
        assert await stopping == 0


async def test_who_does_not_leave_is_closed_when_the_drain_is_over(
    server: ServerProcess, config: Path
) -> None:
    write_settings(config, drain_seconds=1)
    os.kill(server.pid, signal.SIGHUP)
    async with on_air(server) as (camera, _, flv_url), FlvViewer.watching(flv_url) as viewer:
        await viewer.more_pictures(5)
        assert await asyncio.to_thread(server.stop) == 0
        await eventually(lambda: viewer.is_over)
        with pytest.raises(RtmpError):
            await camera.client.drain()
    assert logged(server, "drained")[0]["publishers_left"] == 1


async def test_a_second_signal_stops_at_once(server: ServerProcess) -> None:
    async with on_air(server) as (_, _, flv_url), FlvViewer.watching(flv_url) as viewer:
        await viewer.more_pictures(5)
        stopping = asyncio.create_task(asyncio.to_thread(server.stop))
        await eventually(lambda: logged(server, "draining"))
        os.kill(server.pid, signal.SIGINT)
        assert await stopping == 0, "long before the drain of ten minutes is over"
        await eventually(lambda: viewer.is_over)


def test_sigterm_while_starting_ends_with_status_0_and_leaves_no_postgres(data_dir: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "mediaserver", "serve"],
        env=ServerProcess(data_dir).environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    status = Path(f"/proc/{process.pid}/status")
    asyncio.run(eventually(lambda: catches(status.read_text(), signal.SIGTERM)))
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    pid_file = data_dir / "postgres" / "postmaster.pid"
    asyncio.run(eventually(lambda: not pid_file.exists()))


def catches(process_status: str, number: signal.Signals) -> bool:
    """By the mask in /proc (proc_pid_status(5))."""
    [mask] = [line.split()[1] for line in process_status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(mask, 16) >> (number - 1) & 1)


async def refuses_connections(port: int) -> None:
    async with asyncio.timeout(10):
        while await is_open(port):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def is_open(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return False
    writer.close()
    return True


# Reloading


async def test_sighup_changes_the_merge_window_and_names_what_needs_a_restart(
    server: ServerProcess, config: Path
) -> None:
    async with (
        on_air(server) as (_, _, flv_url),
        aiohttp.ClientSession() as session,
        session.ws_connect(flv_url) as socket,
    ):
        read_flv(await socket.receive_bytes(timeout=10))  # the burst
        await unmerged_messages(socket, 20)
        reload(server, config, merge_window_ms=400, extra=RESTART_NEEDED)
        await merged_message(socket, 6)
        reload(server, config, merge_window_ms=0, extra=RESTART_NEEDED)
        await unmerged_messages(socket, 20)
    first, _ = logged(server, "reloaded")
    assert first["applied"] == ["broadcast.merge_window_ms"]
    assert first["needs_restart"] == ["hls.playlist_segments"]


async def test_a_reload_of_wrong_settings_changes_nothing(server: ServerProcess, config: Path) -> None:
    reload(server, config, merge_window_ms=-1)
    await eventually(lambda: logged(server, "reload_refused"))
    assert "broadcast.merge_window_ms" in str(logged(server, "reload_refused")[0]["reason"])
    assert server.get("/health")[0] == 200


async def tags_in_message(socket: aiohttp.ClientWebSocketResponse) -> int:
    return len(read_tags(await socket.receive_bytes(timeout=10)))


async def merged_message(socket: aiohttp.ClientWebSocketResponse, tags: int) -> None:
    """Until a message holds at least this many tags."""
    async with asyncio.timeout(10):
        while await tags_in_message(socket) < tags:
            pass


async def unmerged_messages(socket: aiohttp.ClientWebSocketResponse, count: int) -> None:
    """Until this many messages in a row held one tag each."""
    in_a_row = 0
    async with asyncio.timeout(10):
        while in_a_row < count:
            in_a_row = in_a_row + 1 if await tags_in_message(socket) == 1 else 0


# Crashing


async def test_after_a_kill_9_the_next_start_takes_over_and_closes_what_was_open(
    server: ServerProcess,
) -> None:
    async with on_air(server) as (_, room, _):
        await open_broadcast_of(server, room)
        postgres = postmaster_pid(server)
        await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    assert postmaster_pid(server) == postgres, "PostgreSQL survives and is used again"
    assert (await asyncio.to_thread(server.get, f"/live/{room}.flv"))[0] == 404
    await eventually(lambda: logged(server, "broadcasts_closed_after_crash"))
    [broadcast] = await broadcasts(server, room)
    assert broadcast["end_reason"] == "server lost"
    async with on_air(server) as (_, _, flv_url), FlvViewer.watching(flv_url) as viewer:
        await viewer.more_pictures(5)


async def open_broadcast_of(server: ServerProcess, room: str) -> None:
    async with asyncio.timeout(10):
        while not await broadcasts(server, room):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def broadcasts(server: ServerProcess, room: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(EmbeddedPostgres(server.data_dir / "postgres").url)
    try:
        rows: list[asyncpg.Record] = await connection.fetch(
            "SELECT * FROM broadcasts WHERE room_id = $1", UUID(room)
        )
        return rows
    finally:
        await connection.close()


def postmaster_pid(server: ServerProcess) -> int:
    return int((server.data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])


# Strangers


async def test_a_wrong_key_is_told_so_and_logged_once_without_the_key(server: ServerProcess) -> None:
    for _ in range(5):
        async with await RtmpClient.connect(f"{server.rtmp_url}/{WRONG_KEY}") as client:
            with pytest.raises(RequestRefusedError, match="no such stream key"):
                await client.publish()
    await eventually(lambda: logged(server, "rtmp_publish_refused"))
    await asyncio.to_thread(server.stop)
    assert len(logged(server, "rtmp_publish_refused")) == 1
    assert WRONG_KEY not in "".join(server.output)


# Not starting


def refusal(data_dir: Path, settings: dict[str, str]) -> tuple[int, str]:
    """Exit status and the one line on standard error of a server that does not start."""
    environment = ServerProcess(data_dir, settings=settings).environment
    command = [sys.executable, "-m", "mediaserver", "serve"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == ""
    [line] = [line for line in done.stderr.splitlines() if line.startswith("mediaserver: ")]
    assert "Traceback" not in done.stderr
    return done.returncode, line


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("MEDIASERVER_HTTP__PORT", "70000", "http.port"),
        ("MEDIASERVER_RTMP__PUBLISH_GRACE_SECONDS", "soon", "rtmp.publish_grace_seconds"),
        ("MEDIASERVER_LOG__FORMAT", "xml", "log.format"),
        ("MEDIASERVER_CONFIG", "/nonexistent/settings.toml", "/nonexistent/settings.toml"),
    ],
)
def test_a_wrong_setting_is_named_and_ends_with_status_2(
    tmp_path: Path, variable: str, value: str, name: str
) -> None:
    status, line = refusal(tmp_path / "data", {variable: value})
    assert status == 2
    assert name in line
    assert not (tmp_path / "data").exists(), "nothing was begun"


@pytest.mark.parametrize("door", ["http", "rtmp"])
def test_a_port_in_use_is_named_and_ends_with_status_1(data_dir: Path, door: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, line = refusal(data_dir, {f"MEDIASERVER_{door.upper()}__PORT": str(port)})
    assert status == 1
    assert line.startswith(f"mediaserver: {door}.port: cannot listen on 127.0.0.1 port {port}: ")
