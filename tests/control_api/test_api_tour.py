"""The commands of docs/api-tour.md do what the page says, on a server of their own."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.server_process import ServerProcess

PAGE = Path(__file__).parents[2] / "docs" / "api-tour.md"
END = "@@end"
PATIENCE_SECONDS = 15.0
ANY = "…"

pytestmark = [pytest.mark.interop, pytest.mark.slow]


@dataclass(frozen=True)
class Step:
    """A block of commands, and the block after it that shows what they print."""

    commands: str
    expected: str | None

    @property
    def is_repeatable(self) -> bool:
        """Whether it only asks: what happens a moment later may be waited for."""
        return not re.search(r"--json|-X|\$\(|&$", self.commands, re.MULTILINE)


def steps(text: str) -> Iterator[Step]:
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for number, (kind, commands) in enumerate(blocks):
        if kind == "bash":
            shown = blocks[number + 1] if number + 1 < len(blocks) else ("bash", "")
            yield Step(commands, shown[1] if shown[0] != "bash" else None)


class Shell:
    """One bash for all the steps, as one person's terminal."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            ["bash", "-euo", "pipefail"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, commands: str) -> str:
        """What ``commands`` print; fails when one of them does."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{commands}\nprintf '\\n{END}\\n'\n")
        self._process.stdin.flush()
        printed = ""
        for line in self._process.stdout:
            if line == f"{END}\n":
                return printed
            printed += line
        pytest.fail(f"a command failed:\n{commands}\nafter printing:\n{printed}")

    def close(self) -> None:
        """Ends the encoder that still publishes, too."""
        assert self._process.stdin is not None
        self._process.stdin.write("kill $(jobs -p) 2>&1 || true\n")
        self._process.stdin.close()
        self._process.wait(timeout=20)


def differences(expected: Any, printed: Any, where: str = "") -> Iterator[str]:
    """Where ``printed`` is not as shown; it may have fields that are not shown."""
    if expected == ANY:
        return
    if isinstance(expected, dict) and isinstance(printed, dict):
        for name, value in expected.items():
            yield from differences(value, printed.get(name, "is missing"), f"{where}.{name}")
    elif isinstance(expected, list) and isinstance(printed, list) and len(expected) == len(printed):
        for number, value in enumerate(expected):
            yield from differences(value, printed[number], f"{where}[{number}]")
    elif expected != printed:
        yield f"{where} is {printed!r}, not {expected!r}"


def complaint(expected: str, printed: str) -> str:
    """How ``printed`` differs from what the page shows, or nothing."""
    try:
        shown, given = json.loads(expected), json.loads(printed)
    except ValueError:
        return "" if expected.strip() == printed.strip() else f"shown:\n{expected}\nprinted:\n{printed}"
    found = "; ".join(differences(shown, given))
    return f"{found}\nprinted: {printed}" if found else ""


def test_the_tour_is_as_the_page_says(tmp_path):
    with ServerProcess(tmp_path / "data") as server:
        text = PAGE.read_text().replace("http://localhost:8080", server.base_url)
        text = text.replace("rtmp://localhost:1935/live", server.rtmp_url)
        shell = Shell(tmp_path)
        try:
            for step in steps(text):
                take(shell, step)
        finally:
            shell.close()


def take(shell: Shell, step: Step) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        printed = shell.run(step.commands)
        problem = complaint(step.expected, printed) if step.expected else ""
        if not problem:
            return
        if not step.is_repeatable or time.monotonic() > deadline:
            pytest.fail(f"{step.commands}\n{problem}", pytrace=False)
        time.sleep(0.1)


def test_what_differs_is_found():
    assert not complaint('{"a": "…", "b": [1]}', '{"a": 5, "b": [1], "c": 2}')
    assert "a is 5" in complaint('{"a": 6}', '{"a": 5}')
