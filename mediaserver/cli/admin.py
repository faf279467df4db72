"""``mediaserver admin …``: users, rooms and keys from a shell, also while the server runs."""

import argparse
import getpass
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from mediaserver.accounts import Accounts, RoomKey
from mediaserver.addresses import Addresses
from mediaserver.cli.output import quiet_logs, show
from mediaserver.config import Settings
from mediaserver.data_directory import DataDirectory
from mediaserver.errors import AccountError
from mediaserver.persistence import COMMAND_PATIENCE_SECONDS, open_database
from storage.passwords import MAX_PASSWORD_LENGTH, Passwords
from storage.repositories import Role, Visibility
from storage.stream_keys import StreamKeyDigester

Result = dict[str, object]

_USER_LABELS: Final = {"userId": "user id", "username": "name", "role": "role"}
_KEY_LABELS: Final = {
    "roomId": "room id",
    "streamKey": "stream key",
    "rtmpUrl": "publish to",
    "watchUrl": "watch page",
}
_LABELS: Final = {
    "create-user": _USER_LABELS,
    "create-room": _KEY_LABELS,
    "rotate-key": _KEY_LABELS,
    "grant": _USER_LABELS,
}


async def run_admin(settings: Settings, arguments: argparse.Namespace) -> int:
    """Do one admin command and print its result. Raises AccountError, StartError, StorageError."""
    quiet_logs()
    if arguments.admin_command == "create-user":
        arguments.password = read_password(arguments)
    data = DataDirectory(settings.data_dir)
    digester = StreamKeyDigester(data.secret_key(settings))
    passwords = Passwords(settings.passwords.threads, settings.passwords.waiting)
    try:
        async with open_database(settings, data, COMMAND_PATIENCE_SECONDS) as database:
            accounts = Accounts(database, digester, passwords)
            result = await _ACTIONS[arguments.admin_command](accounts, arguments, Addresses.of(settings))
    finally:
        passwords.close()
    show(result, _LABELS[arguments.admin_command], arguments.json)
    return 0


async def _create_user(accounts: Accounts, arguments: argparse.Namespace, _: Addresses) -> Result:
    user = await accounts.create_user(
        arguments.username, arguments.email, arguments.password, Role(arguments.role)
    )
    return {"userId": str(user.id), "username": user.username, "role": user.role.value}


async def _create_room(accounts: Accounts, arguments: argparse.Namespace, addresses: Addresses) -> Result:
    visibility = Visibility(arguments.visibility)
    made = await accounts.create_room(arguments.user, arguments.title, arguments.slug, visibility)
    return _room_key(made, addresses)


async def _rotate_key(accounts: Accounts, arguments: argparse.Namespace, addresses: Addresses) -> Result:
    return _room_key(await accounts.rotate_key(arguments.room), addresses)


async def _grant(accounts: Accounts, arguments: argparse.Namespace, _: Addresses) -> Result:
    role = Role(arguments.role)
    user = await accounts.grant(arguments.user, role)
    return {"userId": str(user.id), "username": user.username, "role": role.value}


_ACTIONS: Final[dict[str, Callable[[Accounts, argparse.Namespace, Addresses], Awaitable[Result]]]] = {
    "create-user": _create_user,
    "create-room": _create_room,
    "rotate-key": _rotate_key,
    "grant": _grant,
}


def _room_key(made: RoomKey, addresses: Addresses) -> Result:
    room_id = str(made.room.id)
    return {
        "roomId": room_id,
        "slug": made.room.slug,
        "streamKey": made.stream_key,
        "rtmpUrl": addresses.publish(made.stream_key),
        "watchUrl": addresses.watch(made.room.slug or room_id),
        "flvUrl": addresses.flv(room_id),
        "hlsUrl": addresses.hls(room_id),
    }


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
