"""``bench sfu`` as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.commands import sfu
from bench.errors import BenchError
from bench.reporting.model import Report
from bench.webrtc_load.core_server import core_server


def value(report: Report, name: str) -> float:
    found = next(metric.value for metric in report.metrics if metric.name == name)
    assert found is not None, name
    return found


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A measurement takes its time to settle; whether it is done at all does not depend on that."""
    for name in ("WARM_UP_SECONDS", "SETTLE_SECONDS"):
        monkeypatch.setattr(sfu, name, 0.1)


@pytest.mark.slow
async def test_the_sfu_alone_is_loaded() -> None:
    """Slow: starts a server and measures for a second."""
    [report] = await sfu.COMMAND.run_words(
        ["--core", "--subscribers", "4", "--publishers", "2", "--seconds", "1"]
    )
    assert value(report, "viewers served") == 4
    assert value(report, "packets out") == pytest.approx(2 * value(report, "packets in"), rel=0.3)
    assert value(report, "lost") == 0
    assert value(report, "latency p99") > 0
    assert value(report, "server CPU per packet") == value(report, "server CPU per 1,000 packets")


@pytest.mark.slow
async def test_a_server_is_loaded_from_several_processes(tmp_path: Path) -> None:
    """Slow: starts three processes and measures for a second."""
    rooms = tmp_path / "rooms"
    rooms.write_text("one key\n\ntwo\n")
    async with core_server() as server:
        words = ["--url", f"http://127.0.0.1:{server.port}", "--rooms", str(rooms), "--processes", "2"]
        words += ["--subscribers", "3", "--publishers", "2", "--seconds", "1", "--no-feedback"]
        [report] = await sfu.COMMAND.run_words(words)
    assert value(report, "viewers served") == 3
    assert value(report, "packets out") > 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--server-pid", "1"], "--url"),
        (["--url", "http://127.0.0.1:1"], "--rooms"),
        (["--url", "http://127.0.0.1:1", "--rooms", "none", "--core"], "--core"),
        (["--url", "http://127.0.0.1:1", "--rooms", "/nowhere"], "/nowhere"),
        (["--url", "rtmp://127.0.0.1", "--rooms", "none"], "http://"),
    ],
)
async def test_what_does_not_go_together_is_refused(words: list[str], reason: str) -> None:
    with pytest.raises(BenchError, match=reason):
        await sfu.COMMAND.run_words(words)


async def test_a_server_that_refuses_is_named_with_its_reason(tmp_path: Path) -> None:
    rooms = tmp_path / "rooms"
    rooms.write_text("one key")
    async with core_server() as server:
        url = f"http://127.0.0.1:{server.port}"
        with pytest.raises(BenchError, match="publisher of one: answered 404"):
            await sfu.COMMAND.run_words(["--url", url, "--rooms", str(rooms), "--whip", "/nothing"])
        with pytest.raises(BenchError, match="no viewer got any media: answered 404"):
            await sfu.COMMAND.run_words(
                ["--url", url, "--rooms", str(rooms), "--whep", "/nothing", "--subscribers", "2"]
            )
        with pytest.raises(BenchError, match="--rooms: 2 publishers"):
            await sfu.COMMAND.run_words(["--url", url, "--rooms", str(rooms), "--publishers", "2"])
