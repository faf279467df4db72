"""ffmpeg publishes over WHIP; players of HTTP and RTMP get its pictures unchanged and its sound in step."""

import asyncio
import signal
import statistics
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from tests.helpers.camera import Camera
from tests.helpers.ffmpeg import NEW, OLD, QUIET, assert_is_part_of, packet_hashes, run
from tests.helpers.flv_viewer import AUDIO, FlvViewer
from tests.helpers.lip_sync import decode, make_sync_clip
from tests.helpers.server_process import ServerProcess
from tests.helpers.waiting import eventually

pytestmark = [pytest.mark.interop]

PLAY_SECONDS = 4
RECORD = ("-map", "0:v", "-map", "0:a", "-t", str(PLAY_SECONDS), "-c", "copy")
LIP_SYNC_SECONDS = 0.04
FRAME_SECONDS = 1 / 30
GOODBYE_SECONDS = 5
"""Less than what a publisher that is lost has to come back."""
DOORS = {
    "flv": "http://127.0.0.1:{http}/live/{room}.flv",
    "hls": "http://127.0.0.1:{http}/hls/{room}/index.m3u8",
    "rtmp": "rtmp://127.0.0.1:{rtmp}/live/{room}",
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sync_clip(tmp_path_factory.mktemp("clips") / "sync.mkv")


@contextmanager
def publishing(server: ServerProcess, clip: Path, room: str, key: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Publish over WHIP in real time, over and over, for as long as the block runs."""
    command = [NEW, *QUIET, "-re", "-stream_loop", "-1", "-i", str(clip), "-c", "copy"]
    command += ["-f", "whip", "-authorization", key, f"{server.base_url}/whip/{room}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        server.wait_live(room)
        yield process
    finally:
        process.kill()
        process.wait()


def test_players_get_it_unchanged_and_in_step(server: ServerProcess, clip: Path, tmp_path: Path) -> None:
    room, key = server.create_room("whip")
    urls = {
        name: url.format(http=server.http_port, rtmp=server.rtmp_port, room=room)
        for name, url in DOORS.items()
    }
    with publishing(server, clip, room, key), ThreadPoolExecutor(len(urls)) as players:
        files = {name: tmp_path / f"{name}.mkv" for name in urls}
        recording = [
            players.submit(run, OLD, "-i", url, *RECORD, str(files[name])) for name, url in urls.items()
        ]
        for one in recording:
            one.result()
    published = packet_hashes(str(clip), {"v": "h264"}, program=NEW)["v"]
    for name, path in files.items():
        assert_is_part_of(packet_hashes(str(path), {"v": "h264"})["v"], published, at_least=80)
        assert_in_step(name, path)


def assert_in_step(name: str, path: Path) -> None:
    """Pictures come at their pace, and each flash with its beep."""
    recording = decode(path)
    steps = [after - before for (before, _), (after, _) in pairwise(recording.pictures)]
    assert min(steps) > 0, f"{name}: out of order"
    assert max(abs(step - FRAME_SECONDS) for step in steps) < FRAME_SECONDS / 2, f"{name}: {steps}"
    assert len(recording.offsets) >= PLAY_SECONDS - 2, f"{name}: {recording.beeps} {recording.flashes}"
    assert abs(statistics.median(recording.offsets)) < LIP_SYNC_SECONDS, f"{name}: {recording.offsets}"


def test_it_ends_when_ffmpeg_ends(server: ServerProcess, clip: Path) -> None:
    room, key = server.create_room("whip-end")
    with publishing(server, clip, room, key) as process:
        process.send_signal(signal.SIGINT)
        process.wait(10)
        server.wait_not_live(room, GOODBYE_SECONDS)


async def test_who_was_killed_may_publish_again_at_once(
    server: ServerProcess, clip: Path, tmp_path: Path
) -> None:
    """The killed one's session would last until its consent lapses; viewers see a short stop."""
    room, key = server.create_room("whip-killed")
    with publishing(server, clip, room, key) as first:
        async with FlvViewer.watching(f"{server.base_url}/live/{room}.flv") as viewer:
            await viewer.more_pictures(30)
            first.kill()
            first.wait()
            with publishing(server, clip, room, key):
                await viewer.more_pictures(60)
                assert not viewer.is_over
        received = tmp_path / "received.flv"
        received.write_bytes(viewer.whole)
        await asyncio.to_thread(run, OLD, "-xerror", "-i", str(received), "-f", "null", "-")


async def test_who_watches_an_encoder_keeps_aac_when_whip_takes_over(
    server: ServerProcess, clip: Path, tmp_path: Path
) -> None:
    room, key = server.create_room("whip-takeover")
    async with Camera.publishing(f"{server.rtmp_url}/{key}") as camera:
        await asyncio.to_thread(server.wait_live, room)
        async with FlvViewer.watching(f"{server.base_url}/live/{room}.flv") as viewer:
            await viewer.more_pictures(30)
            headers = len(viewer.sequence_headers())
            with publishing(server, clip, room, key):
                await eventually(lambda: len(viewer.sequence_headers()) >= headers + 2)
                sent = camera.packets_sent
                await viewer.more_pictures(60)
                assert camera.packets_sent < sent + 30, "the camera was let go"
                assert not viewer.is_over
    sounds = [tag for tag in viewer.tags if tag.type == AUDIO]
    assert {tag.body[0] >> 4 for tag in sounds} == {10}, "AAC"
    received = tmp_path / "received.flv"
    received.write_bytes(viewer.whole)
    await asyncio.to_thread(run, OLD, "-xerror", "-i", str(received), "-f", "null", "-")


@pytest.mark.parametrize("bearer", ["none", "wrong"])
def test_nobody_publishes_without_the_key(server: ServerProcess, clip: Path, bearer: str) -> None:
    room, _ = server.create_room(f"whip-{bearer}")
    options = ["-authorization", "0" * 40] if bearer == "wrong" else []
    command = [NEW, *QUIET, "-re", "-i", str(clip), "-c", "copy", "-f", "whip", *options]
    done = subprocess.run(
        [*command, f"{server.base_url}/whip/{room}"], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode != 0 and "401" in done.stderr, done.stderr
