"""Every command, in the order of the help text."""

from typing import Final

from bench.commands import api, chat, compare, fanout, gifts, ingest, ladder, quick, seed, sfu
from bench.commands.command import Command

COMMANDS: Final[tuple[Command, ...]] = (
    ingest.COMMAND,
    fanout.COMMAND,
    ladder.COMMAND,
    api.COMMAND,
    chat.COMMAND,
    gifts.COMMAND,
    sfu.COMMAND,
    quick.COMMAND,
    compare.COMMAND,
    seed.COMMAND,
)
