"""What a command of the bench is, and the options that several of them take.

A new command is one module with a ``COMMAND``, and its place in ``registry.py``; ``compare.py`` is the
smallest of them.
"""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.reporting.model import Report

MAX_SECONDS: Final = 3600
MAX_CONNECTIONS: Final = 20_000

Run = Callable[[Namespace], Awaitable[Sequence[Report]]]


@dataclass(frozen=True, slots=True)
class Command:
    """``run`` does the work and returns reports, which are printed and written by whoever called it."""

    name: str
    summary: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Run

    async def run_words(self, words: Sequence[str]) -> Sequence[Report]:
        """Run as if ``words`` had been typed after the command's name."""
        parser = ArgumentParser(prog=self.name)
        self.add_arguments(parser)
        return await self.run(parser.parse_args(words))


def bounded(kind: type[int] | type[float], minimum: float, maximum: float) -> Callable[[str], float]:
    """An argparse type: a number within bounds, both included."""

    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not minimum <= value <= maximum:
            raise ArgumentTypeError(f"{text!r} is not a number from {minimum:g} to {maximum:g}")
        return value

    return convert


def add_output_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", metavar="FILE", help="write the report as JSON; - for standard output")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write the report as a page with plots")


def add_load_arguments(parser: ArgumentParser, seconds: float) -> None:
    """Options of every command that loads a server."""
    add_output_arguments(parser)
    parser.add_argument(
        "--seconds",
        type=bounded(float, 1, MAX_SECONDS),
        default=seconds,
        help=f"length of the steady interval that is measured (default {seconds:g})",
    )
    parser.add_argument("--label", help="name of the server in the report (default: its address)")
    parser.add_argument("--server-pid", type=int, metavar="PID", help="sample this process and its children")
    parser.add_argument("--allow-remote", action="store_true", help="load machines other than this one")
