"""``mediaserver admin …``: what administrators do, from a shell, also while the server runs.

The API's services do the work, as the operator: their rules, their audit log. What a running server must know
at once it hears from the database, whoever changed it.
"""

import argparse
import getpass
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from control_api.errors import ApiError
from mediaserver.cli.admin_actions import ACTIONS
from mediaserver.cli.admin_desk import Desk
from mediaserver.cli.arguments import EXIT_FAILED
from mediaserver.cli.output import Result, quiet_logs, show
from mediaserver.config import Settings
from mediaserver.data_directory import DataDirectory
from mediaserver.errors import AccountError
from mediaserver.persistence import COMMAND_PATIENCE_SECONDS, open_database
from storage.passwords import MAX_PASSWORD_LENGTH, Passwords

_SUBJECTS: Final = ("user", "room", "report", "category", "actor")
"""The options that say what a command is about: what a refusal without a field is about, too."""


async def run_admin(settings: Settings, arguments: argparse.Namespace) -> int:
    """Do one admin command and print its result. Raises AccountError, StartError, StorageError."""
    quiet_logs()
    if arguments.admin_command == "create-user":
        arguments.password = read_password(arguments)
    async with open_desk(settings) as desk:
        result = await perform(desk, arguments)
    show(result, arguments.json)
    return 0 if result.is_good else EXIT_FAILED


async def perform(desk: Desk, arguments: argparse.Namespace) -> Result:
    """Do one admin command. Raises AccountError, StorageError."""
    try:
        return await ACTIONS[arguments.admin_command](desk, arguments)
    except ApiError as error:
        raise AccountError(_explained(error, arguments)) from error


@asynccontextmanager
async def open_desk(settings: Settings) -> AsyncIterator[Desk]:
    """The services on the database of these settings. Raises StartError when it cannot be reached."""
    data = DataDirectory(settings.data_dir)
    secret = data.secret_key(settings)
    passwords = Passwords(settings.passwords.threads, settings.passwords.waiting)
    try:
        async with open_database(settings, data, COMMAND_PATIENCE_SECONDS) as database:
            yield Desk.of(settings, database, secret, passwords)
    finally:
        passwords.close()


def read_password(arguments: argparse.Namespace) -> str:
    """From the flag, from standard input, or asked for twice."""
    if arguments.password is not None:
        return str(arguments.password)
    if arguments.password_stdin:
        # One character more than allowed shows that it is too long, however much follows.
        return sys.stdin.readline(MAX_PASSWORD_LENGTH + 2).rstrip("\r\n")
    if not sys.stdin.isatty():
        raise AccountError("give the password with --password or --password-stdin")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise AccountError("the two passwords differ")
    return password


def _explained(error: ApiError, arguments: argparse.Namespace) -> str:
    """What was refused, after the option that it was refused for. A password is not shown."""
    given = vars(arguments)
    if error.details:
        field, message = error.details[0].field, error.details[0].message
    else:
        field, message = next((name for name in _SUBJECTS if given.get(name)), ""), error.message
    if given.get(field) is None:
        return message
    value = "" if field == "password" else f" {str(given[field])!r}"
    return f"--{field}{value}: {message}"
