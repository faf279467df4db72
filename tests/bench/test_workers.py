"""Viewers are dealt out to processes, driven in step, and say goodbye in the end."""

import asyncio
import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path

from bench.workers import make_fleet


@dataclass(frozen=True)
class Plan:
    viewers: int
    folder: Path

    def split(self, processes: int) -> list["Plan"]:
        return [replace(self, viewers=self.viewers // processes) for _ in range(processes)]


class Fleet:
    """Notes what it was told; ``begin`` tells where it runs."""

    def __init__(self, plan: Plan) -> None:
        asyncio.get_running_loop()  # which fleets may need from the beginning
        self._plan = plan
        self._told: list[str] = []

    async def connect(self, startup_seconds: float) -> None:
        self._told.append(f"connect {startup_seconds:g}")

    async def begin(self) -> None:
        self._told.append("begin")

    async def finish(self) -> list[tuple[int, str]]:
        return [(os.getpid(), ", ".join(self._told))] * self._plan.viewers

    async def close(self) -> None:
        (self._plan.folder / str(os.getpid())).touch()


def said_goodbye(folder: Path) -> set[int]:
    return {int(path.name) for path in folder.iterdir()}


async def test_workers_are_driven_in_step_and_say_goodbye(tmp_path: Path) -> None:
    fleet, pids = make_fleet(Plan(4, tmp_path), 2, Fleet)
    try:
        await fleet.connect(2.5)
        await fleet.begin()
        figures = await fleet.finish()
    finally:
        await fleet.close()
    own, *workers = pids
    assert own == os.getpid()
    assert sorted(figures) == sorted((pid, "connect 2.5, begin") for pid in workers for _ in range(2))
    assert said_goodbye(tmp_path) == set(workers)


async def test_a_worker_that_is_gone_ends_the_run_and_not_the_goodbye(tmp_path: Path) -> None:
    fleet, [_, first, second] = make_fleet(Plan(2, tmp_path), 2, Fleet)
    try:
        await fleet.connect(1)
        os.kill(first, signal.SIGKILL)
    finally:
        await fleet.close()
    assert said_goodbye(tmp_path) == {second}


async def test_one_process_needs_no_workers(tmp_path: Path) -> None:
    fleet, pids = make_fleet(Plan(3, tmp_path), 1, Fleet)
    assert pids == [os.getpid()]
    assert len(await fleet.finish()) == 3
