"""What can be typed. Every setting is a flag of every command, too."""

import argparse
from pathlib import Path
from typing import Final, NoReturn

from mediaserver.cli.admin_arguments import add_admin_commands
from mediaserver.config import flag_names
from mediaserver.version import VERSION

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

SETTING_PREFIX: Final = "setting:"
_EPILOG: Final = (
    "Every setting is also a flag, such as --http.port 8081 or --data-dir /srv/live; "
    "docs/settings.md lists them."
)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line instead of printing the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: {message} (try {self.prog} --help)\n")


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """The command in ``command`` (and ``admin_command``), its options, settings under ``setting:`` names.

    Exits with status 2 and one line on standard error for anything that makes no sense.
    """
    settings = _settings_parent()
    parser = _Parser(prog="mediaserver", description="Self-hosted live streaming.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"mediaserver {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, help_text: str) -> _Parser:
        return commands.add_parser(
            name,
            help=help_text,
            description=help_text,
            parents=[settings],
            epilog=_EPILOG,
            allow_abbrev=False,
        )

    add("serve", "Run the server.")
    add("demo", "Run the server and publish a test pattern to the room demo.")
    add("migrate", "Bring the database schema up to date.")
    _add_json(add("doctor", "Check what the server needs and say what to do about it."))
    commands.add_parser("settings-reference", help="Print docs/settings.md.", allow_abbrev=False)
    admin_help = "Manage users, rooms, streams, reports and categories; read the audit log."
    admin = commands.add_parser("admin", help=admin_help, description=admin_help, allow_abbrev=False)
    admin_commands = admin.add_subparsers(dest="admin_command", required=True, metavar="COMMAND")

    def add_admin(name: str, help_text: str, *aliases: str) -> _Parser:
        command = admin_commands.add_parser(
            name,
            aliases=aliases,
            help=help_text,
            description=help_text,
            parents=[settings],
            epilog=_EPILOG,
            allow_abbrev=False,
        )
        _add_json(command)
        return command

    add_admin_commands(add_admin)
    return _readable(parser, parser.parse_args(arguments))


def given_settings(arguments: argparse.Namespace) -> dict[str, str]:
    """The settings given as flags, by dotted name."""
    return {
        name.removeprefix(SETTING_PREFIX): value
        for name, value in vars(arguments).items()
        if name.startswith(SETTING_PREFIX)
    }


def _readable(parser: _Parser, arguments: argparse.Namespace) -> argparse.Namespace:
    """Bytes that are no text would fail far from here, where nobody knows which argument they were in.

    Settings look after themselves: a path may be any bytes.
    """
    for name, value in vars(arguments).items():
        if isinstance(value, str) and not name.startswith(SETTING_PREFIX) and not _is_text(value):
            parser.error(f"argument --{name.replace('_', '-')}: is not UTF-8")
    return arguments


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _settings_parent() -> _Parser:
    parent = _Parser(add_help=False, allow_abbrev=False)
    parent.add_argument(
        "--config", type=Path, metavar="FILE", help="settings file (default: mediaserver.toml)"
    )
    for name, _ in flag_names():
        # Dashes are what one types, underscores what stands in the reference: both are taken.
        spellings = dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}"))
        parent.add_argument(
            *spellings,
            dest=f"{SETTING_PREFIX}{name}",
            default=argparse.SUPPRESS,
            help=argparse.SUPPRESS,
        )
    return parent


def _add_json(parser: _Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")
