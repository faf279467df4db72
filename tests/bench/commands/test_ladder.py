import pytest

from bench.commands import ladder
from bench.commands.ladder import broken_levels
from bench.errors import BenchError
from tests.bench.tiny_server import tiny_server

GOOD = {
    "viewers served": 100.0,
    "viewers lost": 0.0,
    "start-up p99": 50.0,
    "bitrate per viewer, least": 2.0,
    "bitrate per viewer, median": 2.0,
    "stalls": 0.0,
    "timestamp gaps": 0.0,
    "frames lost": 0.0,
    "latency p99": 150.0,
}


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({}, ()),
        ({"latency p99": None}, ()),
        ({"start-up p99": 1001.0}, ("p99 start-up 1001 ms over 1000 ms",)),
        ({"latency p99": 300.4}, ("p99 latency 300 ms over 200 ms",)),
        ({"stalls": 3.0, "frames lost": 2.0}, ("3 stalls", "2 frames lost")),
        ({"viewers served": 98.0}, ("2 viewers refused",)),
        ({"bitrate per viewer, least": 1.0}, ("a viewer got only 50% of the bitrate",)),
        ({"bitrate per viewer, least": 1.0, "hold-back": 1500.0}, ()),
    ],
)
def test_what_breaks_is_named(change, broken):
    assert broken_levels(100, GOOD | change, max_latency_ms=200) == broken


async def test_the_ladder_climbs_by_two_and_names_its_end():
    async with tiny_server() as server:
        words = ["--url", server.http_url(), "--publish", server.rtmp_url("key"), "--seconds", "1"]
        words += ["--viewers", "2", "--max-viewers", "5", "--max-latency-ms", "60000"]
        *steps, summary = await ladder.COMMAND.run_words(words)
    assert [step.label for step in steps] == ["2 viewers", "4 viewers"]
    assert {metric.name: metric.value for metric in summary.metrics}["capacity"] == 4
    assert summary.notes == ("nothing gave out",)
    assert [x for x, _ in summary.series[1].points] == [2.0, 4.0]


async def test_a_ladder_needs_room_to_climb():
    with pytest.raises(BenchError, match="--max-viewers"):
        await ladder.COMMAND.run_words(["--url", "http://127.0.0.1/", "--viewers", "9", "--max-viewers", "8"])
