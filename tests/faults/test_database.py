"""PostgreSQL dies or hangs under a running server, and keys change: media flows on."""

import asyncio
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final
from uuid import UUID

import asyncpg
import psutil
import pytest

from rtmp.client import RtmpClient
from rtmp.protocol.errors import RequestRefusedError
from storage.embedded import EmbeddedPostgres
from tests.helpers.camera import Camera
from tests.helpers.flv_viewer import FlvViewer
from tests.helpers.server_process import ServerProcess
from tests.helpers.waiting import eventually

pytestmark = pytest.mark.slow

HEAL_SECONDS: Final = 30.0
PAUSE_SECONDS: Final = 0.05


def postmaster(server: ServerProcess) -> psutil.Process:
    pid_file = server.data_dir / "postgres" / "postmaster.pid"
    return psutil.Process(int(pid_file.read_text().splitlines()[0]))


@contextmanager
def frozen(server: ServerProcess) -> Iterator[None]:
    """PostgreSQL takes connections and answers nothing."""
    parent = postmaster(server)
    parent.suspend()  # first, so that there are no more children after these
    processes = [parent, *parent.children(recursive=True)]
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield
    finally:
        for process in reversed(processes):
            with suppress(psutil.NoSuchProcess):
                process.resume()


def wait_ready(server: ServerProcess, wanted: int) -> dict[str, str]:
    """Until readiness answers ``wanted``; the checks by name."""
    deadline = time.monotonic() + HEAL_SECONDS
    while True:
        status, body = server.get("/health/ready")
        if status == wanted:
            checks: dict[str, str] = json.loads(body)["checks"]
            return checks
        assert time.monotonic() < deadline, f"still {status}: {body!r}"
        time.sleep(PAUSE_SECONDS)


async def test_a_killed_database_is_started_again_while_media_flows(
    server: ServerProcess, room: str, publish_url: str, flv_url: str
) -> None:
    async with Camera.publishing(publish_url), FlvViewer.watching(flv_url) as viewer:
        await viewer.more_pictures(5)
        killed = postmaster(server)
        killed.send_signal(signal.SIGQUIT)
        await viewer.more_pictures(10)
        async with FlvViewer.watching(flv_url) as newcomer:
            await newcomer.more_pictures(10)
        await eventually(lambda: not killed.is_running() or killed.status() == psutil.STATUS_ZOMBIE)
        checks = await asyncio.to_thread(wait_ready, server, 200)
        assert checks == {"database": "ok", "objects": "ok", "rtmp": "ok"}
        assert postmaster(server).pid != killed.pid
        await viewer.more_pictures(5)
        viewer.assert_decodes()
        assert not viewer.is_over


async def test_a_database_that_hangs_is_seen_and_costs_no_viewer(
    server: ServerProcess, room: str, publish_url: str, flv_url: str
) -> None:
    async with Camera.publishing(publish_url), FlvViewer.watching(flv_url) as viewer:
        await viewer.more_pictures(5)
        with frozen(server):
            checks = await asyncio.to_thread(wait_ready, server, 503)
            assert checks["database"] != "ok"
            assert checks["rtmp"] == "ok"
            async with FlvViewer.watching(flv_url) as newcomer:
                await newcomer.more_pictures(10)
            await viewer.more_pictures(10)
        await asyncio.to_thread(wait_ready, server, 200)
        assert not viewer.is_over
        viewer.assert_decodes()


async def test_a_broadcast_that_began_and_ended_without_a_database_is_recorded(
    server: ServerProcess, room: str, publish_url: str, flv_url: str
) -> None:
    before = await recorded(server, room)
    with frozen(server):
        async with Camera.publishing(publish_url), FlvViewer.watching(flv_url) as viewer:
            await viewer.more_pictures(10)
        await asyncio.to_thread(server.wait_not_live, room)
    async with asyncio.timeout(HEAL_SECONDS):
        while len(after := await recorded(server, room)) <= len(before):  # noqa: ASYNC110
            await asyncio.sleep(PAUSE_SECONDS)
    assert after[-1]["end_reason"] == "publisher stopped"
    assert after[-1]["ended_at"] > after[-1]["started_at"]


async def test_a_rotated_key_drops_its_publisher_at_once_and_only_the_new_one_counts(
    server: ServerProcess,
) -> None:
    room, old_key = await asyncio.to_thread(server.create_room, "Rotated")
    flv_url = f"{server.base_url}/live/{room}.flv?wait=15"
    async with Camera.publishing(f"{server.rtmp_url}/{old_key}") as camera:
        async with FlvViewer.watching(flv_url) as viewer:
            await viewer.more_pictures(5)
            rotated = await asyncio.to_thread(server.admin, "rotate-key", "--room", room)
            await eventually(lambda: viewer.is_over)
        with pytest.raises(RequestRefusedError, match="stream key changed"):
            await camera.client.drain()
    async with await RtmpClient.connect(f"{server.rtmp_url}/{old_key}") as client:
        with pytest.raises(RequestRefusedError, match="no such stream key"):
            await client.publish()
    new_url = f"{server.rtmp_url}/{rotated['streamKey']}"
    async with Camera.publishing(new_url), FlvViewer.watching(flv_url) as viewer:
        await viewer.more_pictures(5)


async def recorded(server: ServerProcess, room: str) -> list[asyncpg.Record]:
    """The broadcasts of ``room`` that are over, as they stand in the database."""
    connection = await asyncpg.connect(EmbeddedPostgres(server.data_dir / "postgres").url)
    try:
        rows: list[asyncpg.Record] = await connection.fetch(
            "SELECT * FROM broadcasts WHERE room_id = $1 AND ended_at IS NOT NULL ORDER BY started_at",
            UUID(room),
        )
        return rows
    finally:
        await connection.close()
