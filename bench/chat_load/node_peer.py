"""The broadcast server of ``bench/peers/ws`` as a subprocess, installed into a cache folder at first."""

import asyncio
import contextlib
import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.errors import BenchError

SOURCE: Final = Path(__file__).parent.parent / "peers" / "ws"
FILES: Final = ("package.json", "package-lock.json", "server.mjs")
INSTALL_SECONDS: Final = 120.0
START_SECONDS: Final = 20.0
STOP_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class NodePeer:
    pid: int
    port: int


@contextlib.asynccontextmanager
async def node_peer() -> AsyncIterator[NodePeer]:
    """Raises BenchError when Node is missing, or the package cannot be fetched."""
    folder = cache_folder()
    if not (folder / "node_modules" / "ws").exists():
        await _install(folder)
    process = await _start("node", str(folder / "server.mjs"), folder=folder)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            line = await process.stdout.readline()
        if not line.strip().isdigit():
            raise BenchError("--peer ws: the server did not start")
        yield NodePeer(process.pid, int(line))
    except TimeoutError:
        raise BenchError(f"--peer ws: the server was not ready after {START_SECONDS:g} s") from None
    finally:
        await _stop(process)


def cache_folder() -> Path:
    """Of this version of the peer: another one is installed anew."""
    version = hashlib.sha256(b"".join((SOURCE / name).read_bytes() for name in FILES)).hexdigest()[:16]
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "mediaserver-bench" / f"ws-{version}"


def _copy(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(SOURCE / name, folder / name)


async def _install(folder: Path) -> None:
    await asyncio.to_thread(_copy, folder)
    words = ("npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund")
    process = await _start(*words, folder=folder)
    try:
        async with asyncio.timeout(INSTALL_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        raise BenchError(f"--peer ws: npm ci did not end within {INSTALL_SECONDS:g} s") from None
    finally:
        await _stop(process)
    if process.returncode:
        lines = output.decode(errors="replace").strip().splitlines()
        raise BenchError(f"--peer ws: npm ci: {lines[-1] if lines else process.returncode}")


async def _start(*words: str, folder: Path) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *words, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    except FileNotFoundError:
        raise BenchError(f"--peer ws: there is no {words[0]}; install Node.js") from None


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
