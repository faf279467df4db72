"""Schemathesis reads the document and tries everything that it says, and the opposite."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.control_api.live_api import LiveApi, live_api

BUDGETS_SECONDS = (5, 20, 60)
"""For a phase that tries operations one by one; longer ones are for machines too busy to begin in less."""
SEQUENCES = 40
PATIENCE_SECONDS = 120
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
)
ENDS_THE_SESSION = "^(auth_logout|session_revoke|user_delete)$"
"""Tried by tests of their own: here they would make strangers of all the requests that follow."""

NEVER_SIGN_UP = "[auth]\nauto-signup = false\n"
"""Without it, Schemathesis registers an account for itself when it has none."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(PATIENCE_SECONDS * 3)]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with live_api(tmp_path_factory.mktemp("schemathesis")) as api:
        yield api


@pytest.fixture(params=["chief", "member", "nobody"])
def token(api: LiveApi, request: pytest.FixtureRequest) -> str | None:
    tokens: dict[str, str | None] = {"chief": api.token, "member": api.member_token, "nobody": None}
    return tokens[request.param]


@pytest.mark.parametrize("phase", ["coverage", "fuzzing"])
def test_each_operation_does_what_the_document_says(api, token, phase, tmp_path):
    """With the values that its schema names, and with random ones."""
    for seconds in BUDGETS_SECONDS:
        options = (f"--phases={phase}", f"--max-time={seconds}", "--max-examples=20")
        if tried := cases(schemathesis(api, token, tmp_path, *options), phase):
            break
    assert tried


def test_sequences_of_operations_do_what_the_document_says(api, token, tmp_path):
    """What one answer names is used in the next request."""
    run = schemathesis(api, token, tmp_path, "--phases=stateful", f"--max-examples={SEQUENCES}")
    assert len(cases(run, "stateful")) > SEQUENCES
    assert [case for case in cases(run, "stateful") if case.get("parent_id")], (
        "nothing followed from an answer"
    )


def schemathesis(api: LiveApi, token: str | None, folder: Path, *options: str) -> list[dict[str, Any]]:
    """The events of a run that found nothing."""
    (folder / "schemathesis.toml").write_text(NEVER_SIGN_UP)
    report = folder / "events.ndjson"
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{api.url}/openapi.json"),
            *(("--header", f"Authorization: Bearer {token}") if token else ()),
            *("--checks", ",".join(CHECKS), "--exclude-operation-id-regex", ENDS_THE_SESSION),
            *("--mode", "all", "--seed", "1", "--continue-on-failure", "--generation-allow-x00=true"),
            *("--warnings", "off", "--no-color", "--report-ndjson-path", str(report)),
            *options,
        ],
        cwd=folder,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2000:]
    return [json.loads(line) for line in report.read_text().splitlines()]


def cases(events: list[dict[str, Any]], phase: str) -> list[dict[str, Any]]:
    """The requests that were made in ``phase``."""
    ends = [event["ScenarioFinished"] for event in events if "ScenarioFinished" in event]
    recorders = [end["recorder"] for end in ends if end["phase"] == phase]
    return [case for recorder in recorders for case in recorder.get("cases", {}).values()]
