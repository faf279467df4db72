"""Schemathesis reads the document and tries everything that it says, and the opposite."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.control_api.live_api import LiveApi, live_api

SECONDS = 40
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

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS * 5)]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with live_api(tmp_path_factory.mktemp("schemathesis")) as api:
        yield api


@pytest.mark.parametrize("role", ["chief", "member"])
def test_nothing_that_the_document_does_not_say(api, role, tmp_path):
    token = api.token if role == "chief" else api.member_token
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{api.url}/openapi.json"),
            *("--header", f"Authorization: Bearer {token}"),
            *("--checks", ",".join(CHECKS), "--exclude-operation-id-regex", ENDS_THE_SESSION),
            *("--mode", "all", "--max-examples", "20", "--max-time", str(SECONDS), "--seed", "1"),
            *("--continue-on-failure", "--warnings", "off", "--no-color", "--report-dir", str(tmp_path)),
            "--generation-allow-x00=true",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=SECONDS * 4,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2000:]
