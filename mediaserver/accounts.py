"""Making users, rooms and stream keys: what the command line and the first start do."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from control_api.errors import ApiError
from control_api.room_schemas import NewRoom
from control_api.services.rooms import RoomsService
from mediaserver.errors import AccountError
from mediaserver.room_refs import parse_room_ref
from storage.database import Executor
from storage.errors import Conflict, InvalidValue
from storage.passwords import MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH, Passwords
from storage.repositories import Role, Room, Rooms, User, Users, Visibility
from storage.stream_keys import StreamKeyDigester

_MESSAGES: Final = {
    "users_username_unique": "the user name {username!r} is taken",
    "users_username_valid": "the user name {username!r} must be 3 to 30 letters, digits or underscores",
    "users_email_unique": "another user has the e-mail address {email!r}",
    "users_email_valid": "{email!r} is not an e-mail address",
}


@dataclass(frozen=True, slots=True)
class RoomKey:
    """A room and its stream key, which is known only at this moment: the database keeps a digest."""

    room: Room
    stream_key: str


class Accounts:
    """Every method raises AccountError with a line for the user, and DatabaseUnavailable."""

    def __init__(self, database: Executor, digester: StreamKeyDigester, passwords: Passwords) -> None:
        self._database = database
        # The operator may give a user as many rooms as he likes.
        self._rooms = RoomsService(database, digester, max_rooms=None)
        self._passwords = passwords

    async def create_user(self, username: str, email: str, password: str, role: Role) -> User:
        if not MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH:
            raise AccountError(
                f"the password must have {MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} characters"
            )
        password_hash = await self._passwords.hash(password)
        try:
            return await Users(self._database).add(username, email, password_hash, role)
        except (Conflict, InvalidValue) as error:
            raise _explained(error, username=username, email=email) from error

    async def create_room(
        self, username: str, title: str, slug: str | None, visibility: Visibility
    ) -> RoomKey:
        owner = await self._user(username)
        try:
            made = await self._rooms.create(owner.id, NewRoom(title=title, slug=slug, visibility=visibility))
        except ApiError as error:
            raise _room_refused(error, slug) from error
        return RoomKey(await self._room(str(made.room.id)), made.stream_key)

    async def rotate_key(self, room_ref: str) -> RoomKey:
        """A new stream key for the room; whoever publishes with the old one is dropped at once."""
        room = await self._room(room_ref)
        try:
            return RoomKey(room, await self._rooms.replace_key(room.id))
        except ApiError as error:
            raise AccountError(f"there is no room {room_ref!r}") from error

    async def grant(self, username: str, role: Role) -> User:
        user = await self._user(username)
        await Users(self._database).set_role(user.id, role)
        return user

    async def _user(self, username: str) -> User:
        user = await Users(self._database).find_by_name(username)
        if user is None:
            raise AccountError(f"there is no user {username!r}")
        return user

    async def _room(self, room_ref: str) -> Room:
        room = await find_room(self._database, room_ref)
        if room is None:
            raise AccountError(f"there is no room {room_ref!r}")
        return room


async def find_room(database: Executor, room_ref: str) -> Room | None:
    """The room with this id or slug."""
    match parse_room_ref(room_ref):
        case UUID() as room_id:
            return await Rooms(database).find_by_id(room_id)
        case str() as slug:
            return await Rooms(database).find_by_slug(slug)
    return None


def _explained(error: Conflict | InvalidValue, **values: str | None) -> AccountError:
    return AccountError(_MESSAGES.get(error.constraint, str(error)).format(**values))


def _room_refused(error: ApiError, slug: str | None) -> AccountError:
    if error.code == "slug_taken":
        return AccountError(f"another room has the slug {slug!r}")
    if not error.details:
        return AccountError(error.message)
    detail = error.details[0]
    value = f" {slug!r}" if detail.field == "slug" else ""
    return AccountError(f"the {detail.field}{value} {detail.message}")
