import asyncio
import signal
import sys

import psutil
import pytest

from bench.__main__ import main
from bench.reporting.model import parse_reports
from tests.bench.tiny_server import TinyServer, tiny_server
from tests.helpers.waiting import eventually


async def start(*words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # Where the tests run in the background, interrupts are ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def fanout(server: TinyServer, *words: str) -> tuple[str, ...]:
    publish = ("--publish", server.rtmp_url("key"))
    return ("fanout", "--url", server.http_url(), *publish, "--viewers", "4", *words)


@pytest.mark.parametrize("processes", ["1", "2"])
async def test_interrupting_stops_cleanly(processes):
    async with tiny_server() as server:
        process = await start(*fanout(server, "--seconds", "600", "--processes", processes))
        await eventually(lambda: server.viewers == 4, seconds=30)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        _, errors = await asyncio.wait_for(process.communicate(), 30)
        await eventually(lambda: server.viewers == 0 and server.clean_ends == 1)
    assert process.returncode == 130
    assert b"bench: stopped" in errors and b"Traceback" not in errors
    await eventually(lambda: not any(child.is_running() for child in children))


async def test_json_goes_to_standard_output_and_plots_to_a_file(tmp_path):
    page = tmp_path / "report.html"
    async with tiny_server() as server:
        process = await start(*fanout(server, "--seconds", "1", "--json", "-", "--html", str(page)))
        output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    (report,) = parse_reports(output.decode())
    assert report.command == "fanout flv"
    assert page.read_text().count("<svg") == 2


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["fanout", "--url", "http://192.0.2.1/x"], "bench: http://192.0.2.1/x: 192.0.2.1 is not a loopback"),
        (
            ["ingest", "--url", "rtmp://127.0.0.1/live/k", "--publishers", "1", "--file", "none"],
            "--file none",
        ),
        (["ingest", "--url", "rtmp://127.0.0.1/live/{key}", "--keys", "none"], "bench: --keys none"),
        (["fanout", "--url", "http://127.0.0.1:9/x", "--viewers", "1"], "ConnectionRefusedError"),
        (["quick", "--peer-url", "http://127.0.0.1/x"], "--peer-url needs --peer-publish"),
    ],
)
def test_errors_are_one_line(words, complaint, capsys):
    assert main(words) == 2
    (line,) = [text for text in capsys.readouterr().err.splitlines() if text.startswith("bench:")]
    assert complaint in line


@pytest.mark.parametrize("words", [["--viewers", "0"], ["--seconds", "nan"], ["--protocol", "gopher"]])
def test_options_out_of_bounds_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        main(["fanout", "--url", "http://127.0.0.1/x", *words])
    assert words[1] in capsys.readouterr().err
