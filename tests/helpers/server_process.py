"""The real server in a process of its own, as users run it, on free loopback ports."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from mediaserver.cli.admin import open_desk, perform
from mediaserver.cli.arguments import parse_arguments
from mediaserver.config import load_settings

START_SECONDS = 120.0
STOP_SECONDS = 20.0
_ADDRESSES = re.compile(r"watch page +http://127\.0\.0\.1:(\d+)/|publish to +rtmp://127\.0\.0\.1:(\d+)/")
_SECRETS = re.compile(r"stream key +(\S+)$")


class ServerProcess:
    """``python -m mediaserver serve`` (or ``demo``) with its data in ``data_dir``; a context manager.

    ``http_port`` and ``rtmp_port`` are read from what it prints and stay the same over restarts;
    ``stream_key`` (of the room ``demo``) is known only after the first start.
    """

    def __init__(
        self, data_dir: Path, command: str = "serve", settings: Mapping[str, str] | None = None
    ) -> None:
        self.data_dir = data_dir
        self.command = command
        self.settings = dict(settings or {})
        self.http_port = 0
        self.rtmp_port = 0
        self.stream_key = ""
        self.output: list[str] = []
        self._process: subprocess.Popen[str] | None = None

    @property
    def environment(self) -> dict[str, str]:
        own = {
            "MEDIASERVER_DATA_DIR": str(self.data_dir),
            "MEDIASERVER_HTTP__HOST": "127.0.0.1",
            "MEDIASERVER_HTTP__PORT": str(self.http_port),
            "MEDIASERVER_RTMP__HOST": "127.0.0.1",
            "MEDIASERVER_RTMP__PORT": str(self.rtmp_port),
            "MEDIASERVER_RTC__HOSTS": "127.0.0.1",
            "MEDIASERVER_RTC__PORT": "0",
        }
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("MEDIASERVER_")}
        return {**inherited, **own, **self.settings}

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def rtmp_url(self) -> str:
        return f"rtmp://127.0.0.1:{self.rtmp_port}/live"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mediaserver", self.command],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = []
        ready = threading.Event()
        threading.Thread(target=self._read, args=(self._process, ready), daemon=True).start()
        if not ready.wait(START_SECONDS) or self._process.poll() is not None:
            self.stop()
            raise RuntimeError("the server did not start:\n" + "".join(self.output))

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it, wait, and return its exit status."""
        process = self._process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        self._process = None
        return process.wait()

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def admin(self, *arguments: str) -> dict[str, Any]:
        """What ``mediaserver admin … --json`` does to this server's data, without the start of a process.

        Raises AccountError.
        """
        with ThreadPoolExecutor(1) as apart:
            return apart.submit(asyncio.run, self._administer(arguments)).result(START_SECONDS)

    async def _administer(self, arguments: Sequence[str]) -> dict[str, Any]:
        command = parse_arguments(["admin", *arguments])
        async with open_desk(load_settings(self.environment, {}, None)) as desk:
            return dict((await perform(desk, command)).as_json())

    def create_room(self, title: str) -> tuple[str, str]:
        """A new room of the administrator: (room id, stream key)."""
        made = self.admin("create-room", "--user", "admin", "--title", title)
        return made["roomId"], made["streamKey"]

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a GET."""
        try:
            with urllib.request.urlopen(self.base_url + path, timeout=10) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def wait_live(self, room: str, seconds: float = 20.0) -> None:
        """Until ``room`` can be watched."""
        request = urllib.request.Request(f"{self.base_url}/live/{room}.flv?wait={seconds:g}", method="HEAD")
        with urllib.request.urlopen(request, timeout=seconds + 5):
            return

    def wait_not_live(self, room: str, seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            request = urllib.request.Request(f"{self.base_url}/live/{room}.flv", method="HEAD")
            try:
                urllib.request.urlopen(request, timeout=5).close()
            except urllib.error.HTTPError as error:
                if error.code == 404:
                    return
            time.sleep(0.05)
        raise TimeoutError(f"{room} is still live")

    def _read(self, process: "subprocess.Popen[str]", ready: threading.Event) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.output.append(line)
            if match := _ADDRESSES.search(line):
                self.http_port = int(match[1] or self.http_port)
                self.rtmp_port = int(match[2] or self.rtmp_port)
            if (match := _SECRETS.search(line.rstrip())) and " " not in match[1]:
                self.stream_key = match[1]
            if "play as HLS" in line:
                ready.set()
        process.wait()  # who waits for it must see that it is gone
        ready.set()
