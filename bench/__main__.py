"""The command line: ``python -m bench COMMAND …``."""

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from bench.commands.registry import COMMANDS
from bench.errors import BenchError
from bench.reporting.html import render_page
from bench.reporting.model import Report, serialize_reports
from bench.reporting.table import render_reports

EXIT_INVALID: Final = 1
EXIT_ERROR: Final = 2
EXIT_INTERRUPTED: Final = 130


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 1 for an invalid run, 2 for an error, 130 after Ctrl-C."""
    arguments = _parser().parse_args(words)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            reports = runner.run(arguments.command.run(arguments))
        _deliver(reports, arguments)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("\nbench: stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0 if all(report.is_valid for report in reports) else EXIT_INVALID


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m bench", description="Load tests of live streaming servers.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        sub = commands.add_parser(command.name, help=command.summary, description=command.summary)
        command.add_arguments(sub)
        sub.set_defaults(command=command, json=None, html=None)
    return parser


def _deliver(reports: Sequence[Report], arguments: Namespace) -> None:
    """JSON on standard output takes the table's place, so that it can be piped."""
    if arguments.json == "-":
        print(serialize_reports(reports), end="")
    elif reports:
        print(render_reports(reports), end="")
        if arguments.json is not None:
            _write(Path(arguments.json), serialize_reports(reports))
    if arguments.html is not None:
        _write(arguments.html, render_page(reports))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise BenchError(f"{path}: {os.strerror(error.errno or 0)}") from None


if __name__ == "__main__":
    sys.exit(main())
