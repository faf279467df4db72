"""``bench gifts`` on a server of its own, and on the service alone."""

import json

import pytest

from bench.__main__ import main

FEW = ["gifts", "--rate", "20", "--rooms", "2", "--senders", "4", "--seconds", "1"]


@pytest.mark.slow
@pytest.mark.parametrize("where", [[], ["--core"]], ids=["over HTTP", "core"])
def test_gifts_are_given_and_counted(where, tmp_path):
    """Slow: it starts a server, or at least a database."""
    path = tmp_path / "report.json"
    assert main([*FEW, *where, "--json", str(path)]) == 0
    (report,) = json.loads(path.read_text())["reports"]
    figures = {metric["name"]: metric["value"] for metric in report["metrics"]}
    assert (figures["gifts"], figures["errors"], figures["differences in the ledger"]) == (20, 0, 0)
    assert figures["latency p50"] > 0
