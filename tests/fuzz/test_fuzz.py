"""Runs every ``fuzz_*.py`` of this folder on the corpus folder of the same name.

`make test` tries the same inputs each time, so that what it finds was brought by the change it runs on.
`make fuzz` looks for new ones: ``FUZZ_SECONDS`` for each target, from another seed every time.
New inputs go to a temporary folder; a crash is printed with its input and is to be added to the corpus.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
REPEATABLE_SECONDS = 5
SECONDS = int(os.environ.get("FUZZ_SECONDS", REPEATABLE_SECONDS))
REPEATABLE = ["-seed=1", "-runs=20000"] if "FUZZ_SECONDS" not in os.environ else []
TARGETS = sorted(HERE.glob("fuzz_*.py"))


@pytest.mark.fuzz
@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.stem)
def test_finds_nothing(target: Path, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris has no build for this platform")
    committed = HERE / "corpus" / target.stem.removeprefix("fuzz_")
    assert any(committed.iterdir()), f"{committed} holds no inputs"
    found = tmp_path / "found"
    found.mkdir()
    options = [
        *REPEATABLE,
        f"-max_total_time={SECONDS}",
        f"-artifact_prefix={tmp_path}/",
        "-timeout=10",
        "-rss_limit_mb=1024",
    ]
    finished = subprocess.run(
        [sys.executable, str(target), *options, str(found), str(committed)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    crashes = {path.name: path.read_bytes().hex() for path in tmp_path.glob("crash-*")}
    assert finished.returncode == 0, f"{finished.stdout[-3000:]}{finished.stderr[-3000:]}\n{crashes}"
