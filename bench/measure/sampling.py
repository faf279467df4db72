"""CPU and memory of the server, of the load generator and of everything else, over the steady interval only.

Rules:

* CPU is in cores: 0.5 is half a core. Kernel time spent in the process's own system calls is part of it, so
  on loopback a sender also pays for most of the receiving side's TCP.
* PostgreSQL's processes are the server's children but told apart: they do another job.
* A load generator past ``OWN_CPU_LIMIT`` measures itself; such a run is invalid.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import psutil

from bench.errors import BenchError

OWN_CPU_LIMIT: Final = 0.9
SAMPLE_SECONDS: Final = 1.0


class Share(Enum):
    SERVER = "server"
    DATABASE = "database"


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds since each process began, by process id, and memory in bytes over all of them."""

    cpu_seconds: Mapping[int, float]
    memory_bytes: int


class ServerProbe:
    """The server's process and its children, looked up anew at each reading since children come and go."""

    def __init__(self, pid: int) -> None:
        try:
            self._process = psutil.Process(pid)
        except psutil.NoSuchProcess:
            raise BenchError(f"--server-pid: there is no process {pid}") from None

    def read(self) -> dict[Share, Usage]:
        """Usage by share. Raises BenchError when the server is gone."""
        try:
            processes = [self._process, *self._process.children(recursive=True)]
            is_over = self._process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            is_over = True
        if is_over:
            raise BenchError(f"the server, process {self._process.pid}, ended during the run")
        shares: dict[Share, list[psutil.Process]] = {share: [] for share in Share}
        for process in processes:
            shares[_share(process)].append(process)
        return {share: _usage(members) for share, members in shares.items()}


@dataclass(slots=True)
class IntervalFigures:
    """What happened between ``begin`` and ``end``. Server fields are None without ``--server-pid``."""

    seconds: float
    own_cores: float
    other_cores: float
    server_cores: float | None = None
    database_cores: float | None = None
    server_memory: int | None = None
    server_cpu_series: list[tuple[float, float]] = field(default_factory=list)
    server_memory_series: list[tuple[float, float]] = field(default_factory=list)

    @property
    def is_own_cpu_exhausted(self) -> bool:
        return self.own_cores > OWN_CPU_LIMIT


@dataclass(frozen=True, slots=True)
class _Reading:
    at: float
    machine: float
    own: Mapping[int, float]
    server: Mapping[Share, Usage]


class Sampler:
    """Reads at the beginning and at the end, and once a second between for the plots.

    ``own_pids`` are the load generator's processes; the busiest of them counts for validity, and all of them
    are taken off the machine's total to tell what others used (with the server, when known).
    """

    def __init__(self, server: ServerProbe | None, own_pids: Sequence[int] = ()) -> None:
        self._server = server
        self._own = [psutil.Process(pid) for pid in own_pids or (os.getpid(),)]

    async def run(self, seconds: float, tick: Callable[[float], object]) -> IntervalFigures:
        """Sample for ``seconds`` from now; ``tick`` is told about once a second how many are over."""
        first = previous = self._read()
        series: list[tuple[float, float]] = []
        memory: list[tuple[float, float]] = []
        end = first.at + seconds
        while (remaining := end - time.monotonic()) > 0:
            await asyncio.sleep(min(remaining, SAMPLE_SECONDS))
            reading = self._read()
            tick(reading.at - first.at)
            if self._server is not None:
                series.append((reading.at - first.at, _server_cores(previous, reading, Share.SERVER)))
                memory.append((reading.at - first.at, reading.server[Share.SERVER].memory_bytes / 1e6))
            previous = reading
        return self._figures(first, previous, series, memory)

    def _read(self) -> _Reading:
        machine = psutil.cpu_times()
        busy = sum(machine) - machine.idle - machine.iowait - machine.guest - machine.guest_nice
        own = {process.pid: _cpu_seconds(process) for process in self._own}
        return _Reading(time.monotonic(), busy, own, self._server.read() if self._server else {})

    def _figures(
        self,
        first: _Reading,
        last: _Reading,
        series: list[tuple[float, float]],
        memory: list[tuple[float, float]],
    ) -> IntervalFigures:
        seconds = last.at - first.at
        own = [(last.own[pid] - first.own[pid]) / seconds for pid in first.own]
        figures = IntervalFigures(seconds, max(own), 0.0)
        known = sum(own)
        if self._server is not None:
            figures.server_cores = _server_cores(first, last, Share.SERVER)
            figures.database_cores = _server_cores(first, last, Share.DATABASE)
            figures.server_memory = last.server[Share.SERVER].memory_bytes
            figures.server_cpu_series, figures.server_memory_series = series, memory
            known += figures.server_cores + figures.database_cores
        figures.other_cores = max(0.0, (last.machine - first.machine) / seconds - known)
        return figures


def _server_cores(first: _Reading, last: _Reading, share: Share) -> float:
    before = first.server[share].cpu_seconds
    spent = sum(now - before.get(pid, 0.0) for pid, now in last.server[share].cpu_seconds.items())
    return max(0.0, spent) / (last.at - first.at)


def _share(process: psutil.Process) -> Share:
    try:
        return Share.DATABASE if process.name().startswith("postgres") else Share.SERVER
    except psutil.NoSuchProcess:
        return Share.SERVER


def _usage(processes: Sequence[psutil.Process]) -> Usage:
    cpu, memory = {}, 0
    for process in processes:
        try:
            cpu[process.pid] = _cpu_seconds(process)
            memory += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return Usage(cpu, memory)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
