import pytest

from bench.__main__ import main
from bench.commands.compare import render_comparison
from bench.errors import BenchError
from bench.reporting.model import Better, Metric, Report, serialize_reports


def report(command: str, *metrics: Metric, **more) -> Report:
    return Report(command, "server", "", "", {}, metrics, **more)


OLD = report("fanout", Metric("latency", 10.0, "ms", Better.LOWER), Metric("rate", 2.0, "Mb/s"))


@pytest.mark.parametrize(
    ("value", "better", "ending"),
    [
        (5.0, Better.LOWER, ["0.50", "ms", "better"]),
        (5.0, Better.HIGHER, ["0.50", "ms", "worse"]),
        (20.0, Better.LOWER, ["2.00", "ms", "worse"]),
        (10.01, Better.LOWER, ["1.00", "ms"]),
        (5.0, Better.NEITHER, ["0.50", "ms"]),
        (None, Better.LOWER, ["-", "ms"]),
    ],
)
def test_ratio_and_verdict(value, better, ending):
    before = [report("fanout", Metric("latency", 10.0, "ms", better))]
    after = [report("fanout", Metric("latency", value, "ms", better))]
    row = render_comparison(before, after).splitlines()[2].split()
    assert row[3:] == ending


def test_only_common_commands_and_figures_are_compared():
    new = report("fanout", Metric("latency", 10.0, "ms"), problems=("slow",))
    text = render_comparison([OLD, report("ingest")], [new])
    assert "rate" not in text and "ingest" not in text
    assert "INVALID (server)" in text


def test_nothing_in_common_is_an_error():
    with pytest.raises(BenchError, match="no command in common"):
        render_comparison([OLD], [report("ingest")])


def test_the_command_line_reads_files_and_names_a_broken_one(tmp_path, capsys):
    good, bad = tmp_path / "a.json", tmp_path / "b.json"
    good.write_text(serialize_reports([OLD]))
    bad.write_text("{")
    assert main(["compare", str(good), str(good)]) == 0
    assert "1.00" in capsys.readouterr().out
    assert main(["compare", str(good), str(bad)]) == 2
    assert capsys.readouterr().err.startswith(f"bench: {bad}: not a bench report")
    assert main(["compare", str(good), str(tmp_path / "none.json")]) == 2
