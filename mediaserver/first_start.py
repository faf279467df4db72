"""The first start: an administrator, a room, and what to tell whoever started the server."""

import secrets
from dataclasses import dataclass
from typing import Final

from control_api.errors import ApiError
from control_api.room_schemas import NewRoom
from control_api.services.admin_users import NewUser
from mediaserver.accounts import Accounts
from mediaserver.addresses import Addresses
from mediaserver.errors import AccountError
from mediaserver.version import VERSION
from storage.database import Executor
from storage.passwords import Passwords
from storage.repositories import Role, Users
from storage.repositories.rooms import RoomDetails, Rooms
from storage.stream_keys import StreamKeyDigester

ADMINISTRATOR: Final = "admin"
ADMINISTRATOR_EMAIL: Final = "admin@localhost"
PASSWORD_BYTES: Final = 12
DEMO_SLUG: Final = "demo"
DEMO_TITLE: Final = "Demo"

_DEMO_ROOM: Final = NewRoom(title=DEMO_TITLE, slug=DEMO_SLUG)
_SOURCE: Final = "first start"


@dataclass(frozen=True, slots=True)
class FirstStart:
    """The secrets of the first start. They are kept nowhere in clear and can be shown only now."""

    username: str
    password: str
    stream_key: str


async def prepare_first_start(
    database: Executor, digester: StreamKeyDigester, passwords: Passwords
) -> FirstStart | None:
    """Make the administrator and the room ``demo``, both or neither; None if there is an administrator.

    None, too, where somebody else has taken one of the names: then the installation is no new one.
    """
    if await Users(database).find_administrator() is not None:
        return None
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    try:
        async with database.transaction() as transaction:
            accounts = Accounts(transaction, digester, passwords, _SOURCE)
            administrator = await accounts.create_user(
                NewUser(ADMINISTRATOR, ADMINISTRATOR_EMAIL, password, Role.SUPERADMIN)
            )
            made = await accounts.create_room(administrator, _DEMO_ROOM)
    except ApiError:
        return None
    return FirstStart(ADMINISTRATOR, password, made.stream_key)


async def demo_room(database: Executor, accounts: Accounts) -> RoomDetails:
    """The room ``demo``, made again if it was deleted. Raises AccountError when nobody can own it."""
    room = await Rooms(database).details_by_slug(DEMO_SLUG)
    if room is not None:
        return room
    owner = await Users(database).find_administrator()
    if owner is None:
        raise AccountError(
            f"there is no room {DEMO_SLUG}; make one: "
            f"mediaserver admin create-room --user NAME --title {DEMO_TITLE} --slug {DEMO_SLUG}"
        )
    return (await accounts.create_room(owner, _DEMO_ROOM)).room


def welcome(addresses: Addresses, first_start: FirstStart | None, is_demo: bool) -> str:
    """What to print when the server is ready: where to watch and publish, and the secrets if they are new."""
    lines = [f"mediaserver {VERSION} is running", ""]
    if is_demo:
        lines += [f"A test pattern is being published to the room {DEMO_SLUG!r}.", ""]
    lines += [
        f"  watch page     {addresses.watch(DEMO_SLUG)}",
        f"  live rooms     {addresses.base_url}/",
        f"  publish to     {addresses.rtmp_url}",
        f"  or by WHIP to  {addresses.whip(DEMO_SLUG)}",
    ]
    lines += _secrets(first_start) if first_start else _reminder()
    lines += [
        f"  play as FLV    {addresses.flv(DEMO_SLUG)}",
        f"  play as HLS    {addresses.hls(DEMO_SLUG)}",
    ]
    return "\n".join(lines)


def _secrets(first_start: FirstStart) -> list[str]:
    return [
        f"  stream key     {first_start.stream_key}",
        f"  administrator  {first_start.username}",
        f"  password       {first_start.password}",
        "  (the stream key and the password are shown this once; keep them)",
    ]


def _reminder() -> list[str]:
    return ["  stream key     as shown when the room was made; mediaserver admin rotate-key gives a new one"]
