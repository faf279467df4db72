"""The load commands end to end, against a tiny server in this process."""

import os
import re

import pytest

from bench.commands import fanout, ingest
from bench.errors import BenchError
from bench.reporting.model import Report
from tests.bench.tiny_server import tiny_server
from tests.helpers.waiting import eventually


def values(report: Report) -> dict[str, float | None]:
    return {metric.name: metric.value for metric in report.metrics}


async def test_publishers_replay_in_real_time_and_say_goodbye(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("one\nwrong\n\nthree\n")
    async with tiny_server() as server:
        words = ["--url", server.rtmp_url("{key}"), "--keys", str(keys), "--publishers", "3", "--rate", "100"]
        words += ["--seconds", "1", "--server-pid", str(os.getpid())]
        (report,) = await ingest.COMMAND.run_words(words)
        await eventually(lambda: server.clean_ends == 2)
        assert server.published > 100
    figures = values(report)
    assert (figures["accepted"], figures["refused"], figures["ended early"]) == (2, 1, 0)
    assert figures["bitrate per publisher"] == pytest.approx(2.0, rel=0.5)
    assert figures["server CPU per publisher"] > 0
    assert any("BadName" in note for note in report.notes)
    assert "one" not in str(report.parameters)


@pytest.mark.parametrize("protocol", ["flv", "ws-flv", "rtmp"])
async def test_viewers_see_the_stream_and_its_latency(protocol):
    async with tiny_server() as server:
        url = server.rtmp_url("room") if protocol == "rtmp" else server.http_url()
        words = ["--url", url, "--protocol", protocol, "--publish", server.rtmp_url("key")]
        words += ["--viewers", "4", "--parse-every", "2", "--seconds", "1"]
        (report,) = await fanout.COMMAND.run_words(words)
    figures = values(report)
    assert (figures["viewers served"], figures["viewers lost"]) == (4, 0)
    assert figures["bitrate per viewer, least"] > 1
    assert (figures["timestamp gaps"], figures["frames lost"]) == (0, 0)
    assert figures["latency p50"] is not None
    assert report.command == f"fanout {protocol}"
    assert all(series.points for series in report.series)


async def test_viewers_may_be_shared_among_processes():
    async with tiny_server() as server:
        words = ["--url", server.http_url(), "--publish", server.rtmp_url("key")]
        words += ["--viewers", "5", "--processes", "2", "--seconds", "1"]
        (report,) = await fanout.COMMAND.run_words(words)
    assert values(report)["viewers served"] == 5
    assert values(report)["latency p50"] is not None


async def test_a_load_that_nobody_takes_is_one_clear_error():
    async with tiny_server() as server:
        with pytest.raises(BenchError, match=re.escape("no viewer got any media: HTTP status 404")):
            url = server.http_url().replace("x.flv", "y.flv")
            await fanout.COMMAND.run_words(["--url", url, "--viewers", "2"])
        with pytest.raises(BenchError, match=r"no publisher was accepted: NetStream\.Publish\.BadName"):
            await ingest.COMMAND.run_words(["--url", server.rtmp_url("wrong"), "--publishers", "1"])
        with pytest.raises(BenchError, match=r"--publish .*BadName"):
            await fanout.COMMAND.run_words(
                ["--url", server.http_url(), "--publish", server.rtmp_url("wrong")]
            )


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--url", "rtmp://127.0.0.1/live/same", "--publishers", "2"], "need {key} or {n}"),
        (["--url", "rtmp://127.0.0.1/live/{key}"], "need as many --keys"),
        (["--url", "http://127.0.0.1/live/{n}"], "must begin with rtmp://"),
        (["--url", "rtmp://192.0.2.1/live/{n}"], "not a loopback address"),
        (["--url", "rtmp://127.0.0.1/live/{n}", "--server-pid", "4194303"], "there is no process"),
    ],
)
async def test_wrong_options_are_told_before_anything_is_loaded(words, complaint):
    with pytest.raises(BenchError, match=complaint):
        await ingest.COMMAND.run_words(words)
