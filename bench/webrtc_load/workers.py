"""Viewers in processes of their own: decrypting and counting for hundreds takes more than a part of a core.

A worker is told what to do over a pipe, one word at a time, and ends when the pipe does.
"""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from multiprocessing.connection import Connection
from typing import Any, Final, Protocol

import uvloop

from bench.measure.limits import reserve_descriptors
from bench.webrtc_load.figures import SubscriberFigures
from bench.webrtc_load.fleets import SubscriberFleet
from bench.webrtc_load.plan import RtcPlan

JOIN_SECONDS: Final = 5.0


class AnyFleet(Protocol):
    """What a run does with viewers, wherever they are."""

    async def connect(self, startup_seconds: float) -> None: ...

    async def begin(self) -> None: ...

    async def finish(self) -> list[SubscriberFigures]: ...

    async def close(self) -> None: ...


class WorkerFleets:
    """One fleet per worker process, driven in step."""

    def __init__(self, plans: Sequence[RtcPlan]) -> None:
        context = multiprocessing.get_context("spawn")
        self._connections: list[Connection] = []
        self._processes = []
        for plan in plans:
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, plan), daemon=True)
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

    async def finish(self) -> list[SubscriberFigures]:
        answers = await self._all("finish")
        return [figures for answer in answers for figures in answer]

    async def close(self) -> None:
        """Let the workers say goodbye, which ending the pipe asks for, and see that they do."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            await asyncio.to_thread(process.join, JOIN_SECONDS)
            process.kill()

    async def _all(self, word: str, *arguments: float) -> list[Any]:
        for connection in self._connections:
            connection.send((word, arguments))
        return list(await asyncio.gather(*(asyncio.to_thread(c.recv) for c in self._connections)))


def make_fleet(plan: RtcPlan, processes: int) -> tuple[AnyFleet, list[int]]:
    """The viewers of ``plan`` and the ids of the processes that the load comes from."""
    if processes == 1:
        return SubscriberFleet(plan), [os.getpid()]
    workers = WorkerFleets(plan.split(processes))
    return workers, [os.getpid(), *workers.pids]


def _work(connection: Connection, plan: RtcPlan) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    reserve_descriptors(plan.subscribers)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_obey(connection, plan))


async def _obey(connection: Connection, plan: RtcPlan) -> None:
    fleet = SubscriberFleet(plan)
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
