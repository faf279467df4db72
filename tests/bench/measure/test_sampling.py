import asyncio
import subprocess
import sys

import psutil
import pytest

from bench.errors import BenchError
from bench.measure.sampling import Sampler, ServerProbe, Share

BUSY_WITH_A_CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
print("ready", flush=True)
while True:
    pass
"""


def ignore(_seconds: float) -> None:
    pass


@pytest.fixture
def busy():
    process = subprocess.Popen([sys.executable, "-c", BUSY_WITH_A_CHILD], stdout=subprocess.PIPE)
    process.stdout.readline()
    yield process
    end(process)
    process.stdout.close()


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        for child in psutil.Process(process.pid).children():
            child.kill()
        process.kill()
        process.wait()


async def test_cpu_and_memory_of_the_server_are_told_apart_from_ours(busy):
    figures = await Sampler(ServerProbe(busy.pid)).run(0.5, ignore)
    assert figures.server_cores > figures.own_cores
    assert figures.database_cores == 0
    assert figures.server_memory > 1_000_000
    assert figures.server_cpu_series and figures.server_memory_series
    assert not figures.is_own_cpu_exhausted


def test_children_count(busy):
    usage = ServerProbe(busy.pid).read()[Share.SERVER]
    assert len(usage.cpu_seconds) == 2


async def test_without_a_server_only_the_generator_is_sampled():
    ticks: list[float] = []
    figures = await Sampler(None).run(0.05, ticks.append)
    assert figures.server_cores is None and figures.seconds >= 0.05
    assert ticks == [figures.seconds]


async def test_a_server_that_ends_during_the_run_is_told(busy):
    sampling = asyncio.create_task(Sampler(ServerProbe(busy.pid)).run(30, ignore))
    await asyncio.sleep(0)
    end(busy)
    with pytest.raises(BenchError, match="ended during the run"):
        await sampling


def test_a_process_that_is_not_there():
    with pytest.raises(BenchError, match="there is no process"):
        ServerProbe(2**22 - 1)
