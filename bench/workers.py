"""Viewers in several processes, for machines where one cannot take in what the server gives out.

A worker is told what to do over a pipe, one word at a time: ``connect``, ``begin``, ``finish``. It ends when
the pipe does, so no worker outlives the bench.
"""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from multiprocessing.connection import Connection
from typing import Any, Final, Generic, Protocol, Self, TypeVar

import uvloop

from bench.measure.limits import reserve_descriptors

JOIN_SECONDS: Final = 5.0

Plan = TypeVar("Plan", bound="SharedPlan")
Figures = TypeVar("Figures")
FiguresOut = TypeVar("FiguresOut", covariant=True)


class AnyFleet(Protocol[FiguresOut]):
    """What a run does with viewers, wherever they are."""

    async def connect(self, startup_seconds: float) -> None: ...

    async def begin(self) -> None: ...

    async def finish(self) -> Sequence[FiguresOut]: ...

    async def close(self) -> None: ...


class SharedPlan(Protocol):
    """What the viewers are to do; goes to the workers, so it can be pickled."""

    @property
    def viewers(self) -> int: ...

    def split(self, processes: int) -> Sequence[Self]:
        """The same plan as ``processes`` plans that make it up together."""


class WorkerFleets(Generic[Figures]):
    """One fleet per worker process, driven in step."""

    def __init__(self, plans: Sequence[Plan], make: Callable[[Plan], AnyFleet[Figures]]) -> None:
        context = multiprocessing.get_context("spawn")
        self._connections: list[Connection] = []
        self._processes = []
        for plan in plans:
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, plan, make), daemon=True)
            process.start()
            theirs.close()
            self._connections.append(ours)
            self._processes.append(process)

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes if process.pid is not None]

    async def connect(self, startup_seconds: float) -> None:
        await self._all("connect", startup_seconds)

    async def begin(self) -> None:
        await self._all("begin")

    async def finish(self) -> list[Figures]:
        answers = await self._all("finish")
        return [figures for answer in answers for figures in answer]

    async def close(self) -> None:
        """Let the workers say goodbye, which ending the pipes asks for, and see that they do."""
        for connection in self._connections:
            connection.close()
        await asyncio.gather(*(asyncio.to_thread(each.join, JOIN_SECONDS) for each in self._processes))
        for process in self._processes:
            process.kill()

    async def _all(self, word: str, *arguments: float) -> list[Any]:
        for connection in self._connections:
            connection.send((word, arguments))
        return list(await asyncio.gather(*(asyncio.to_thread(c.recv) for c in self._connections)))


def make_fleet(
    plan: Plan, processes: int, make: Callable[[Plan], AnyFleet[Figures]]
) -> tuple[AnyFleet[Figures], list[int]]:
    """The viewers of ``plan`` and the ids of the processes that the load comes from.

    ``make`` goes to the workers, too.
    """
    if processes == 1:
        return make(plan), [os.getpid()]
    workers = WorkerFleets(plan.split(processes), make)
    return workers, [os.getpid(), *workers.pids]


def _work(connection: Connection, plan: Plan, make: Callable[[Plan], AnyFleet[object]]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    reserve_descriptors(plan.viewers)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_obey(connection, plan, make))


async def _obey(connection: Connection, plan: Plan, make: Callable[[Plan], AnyFleet[object]]) -> None:
    fleet = make(plan)
    actions: dict[str, Callable[..., Coroutine[Any, Any, object]]] = {
        "connect": fleet.connect,
        "begin": fleet.begin,
        "finish": fleet.finish,
    }
    try:
        while True:
            word, arguments = await asyncio.to_thread(connection.recv)
            connection.send(await actions[word](*arguments))
    except (EOFError, OSError):
        pass
    finally:
        await fleet.close()
