"""GStreamer's webrtcbin publishes over WHIP and plays over WHEP. It connects by ICE-TCP where it likes to."""

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Final

import pytest

from tests.helpers.ffmpeg import OLD, run
from tests.helpers.ffmpeg import publishing as publishing_rtmp
from tests.helpers.server_process import ServerProcess

PYTHON: Final = "/usr/bin/python3"
"""The system's: GStreamer's bindings are packages of its own."""
PROGRAM: Final = Path(__file__).parent / "programs" / "gstreamer_webrtc.py"
NEEDED: Final = """
import gi
gi.require_version("GstWebRTC", "1.0")
from gi.repository import Gst, GstWebRTC
Gst.init(None)
for name in ("webrtcbin", "nicesrc", "x264enc", "opusenc", "avdec_h264"):
    assert Gst.ElementFactory.find(name), name
"""
LINE_SECONDS: Final = 30.0
ENVIRONMENT: Final = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}


def _missing() -> bool:
    if not Path(PYTHON).exists():
        return True
    command = [PYTHON, "-c", NEEDED]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=False).returncode != 0


pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.skipif(_missing(), reason="GStreamer's webrtcbin or its bindings are not installed"),
]


class Program:
    """The running program, and what it says."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._lines: Queue[str] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def wait_line(self, pattern: str) -> str:
        """Return the next line that matches; raises queue.Empty when none comes."""
        while True:
            line = self._lines.get(timeout=LINE_SECONDS)
            assert not line.startswith("refused"), line
            if re.fullmatch(pattern, line):
                return line

    def finish(self) -> int:
        """Let it say goodbye; return its exit status."""
        self._process.communicate("\n", timeout=LINE_SECONDS)
        return self._process.returncode

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip())


@contextmanager
def running(*arguments: str) -> Iterator[Program]:
    process = subprocess.Popen(
        [PYTHON, str(PROGRAM), *arguments],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield Program(process)
    finally:
        process.kill()
        process.wait()


def test_it_publishes_and_leaves(server: ServerProcess, tmp_path: Path) -> None:
    room, key = server.create_room("gstreamer-whip")
    with running("publish", f"{server.base_url}/whip/{room}", key) as program:
        program.wait_line("connected")
        server.wait_live(room)
        recorded = tmp_path / "recorded.mkv"
        streams = ("-map", "0:v", "-map", "0:a", "-t", "3", "-c", "copy")
        run(OLD, "-i", f"{server.base_url}/live/{room}.flv", *streams, str(recorded))
        run(OLD, "-xerror", "-i", str(recorded), "-f", "null", "-")
        assert program.finish() == 0
        server.wait_not_live(room, 5)


def test_it_plays_what_comes_by_rtmp(server: ServerProcess, clips) -> None:
    room, key = server.create_room("gstreamer-whep")
    with publishing_rtmp(clips["h264"], f"{server.rtmp_url}/{key}"):
        server.wait_live(room)
        with running("play", f"{server.base_url}/whep/{room}") as program:
            program.wait_line("connected")
            for _ in range(3):
                decoded = program.wait_line(r"decoded \d+ pictures and \d+ sounds")
            pictures, sounds = map(int, re.findall(r"\d+", decoded))
            assert pictures > 15 and sounds > 25
            assert program.finish() == 0
