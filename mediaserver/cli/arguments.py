"""What can be typed. Every setting is a flag of every command, too."""

import argparse
from pathlib import Path
from typing import Final, NoReturn

from mediaserver.config import flag_names
from mediaserver.version import VERSION

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

SETTING_PREFIX: Final = "setting:"
ROLES: Final = ("user", "moderator", "admin", "superadmin")
VISIBILITIES: Final = ("public", "unlisted", "followers", "subscribers", "private")

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
    admin = commands.add_parser("admin", help="Manage users, rooms and stream keys.", allow_abbrev=False)
    _add_admin(admin, settings)
    return parser.parse_args(arguments)


def given_settings(arguments: argparse.Namespace) -> dict[str, str]:
    """The settings given as flags, by dotted name."""
    return {
        name.removeprefix(SETTING_PREFIX): value
        for name, value in vars(arguments).items()
        if name.startswith(SETTING_PREFIX)
    }


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


def _add_admin(admin: _Parser, settings: _Parser) -> None:
    commands = admin.add_subparsers(dest="admin_command", required=True, metavar="COMMAND")

    def add(name: str, help_text: str) -> _Parser:
        command = commands.add_parser(
            name,
            help=help_text,
            description=help_text,
            parents=[settings],
            epilog=_EPILOG,
            allow_abbrev=False,
        )
        _add_json(command)
        return command

    create_user = add("create-user", "Make a user.")
    create_user.add_argument("--username", required=True)
    create_user.add_argument("--email", required=True)
    password = create_user.add_mutually_exclusive_group()
    password.add_argument(
        "--password", help="visible to other users of this machine; asked for when left out"
    )
    password.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input"
    )
    create_user.add_argument("--role", choices=ROLES, default="user")

    create_room = add("create-room", "Make a room and its stream key.")
    create_room.add_argument("--user", required=True, help="name of the owner")
    create_room.add_argument("--title", required=True)
    create_room.add_argument("--slug", help="name of the room in addresses, beside its id")
    create_room.add_argument("--visibility", choices=VISIBILITIES, default="public")

    rotate_key = add("rotate-key", "Give a room a new stream key; the old one stops working at once.")
    rotate_key.add_argument("--room", required=True, help="id or slug")

    grant = add("grant", "Change the role of a user.")
    grant.add_argument("--user", required=True, help="name of the user")
    grant.add_argument("--role", choices=ROLES, required=True)
