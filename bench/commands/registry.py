"""Every command, in the order of the help text."""

from typing import Final

from bench.commands import compare, fanout, ingest, quick
from bench.commands.command import Command

COMMANDS: Final[tuple[Command, ...]] = (ingest.COMMAND, fanout.COMMAND, quick.COMMAND, compare.COMMAND)
