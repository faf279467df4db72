"""Making users, rooms and stream keys: what the command line and the first start do."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from mediaserver.errors import AccountError
from mediaserver.room_refs import parse_room_ref
from storage.database import Executor
from storage.errors import Conflict, InvalidValue
from storage.passwords import MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH, Passwords
from storage.repositories import Role, Room, Rooms, StreamKeys, User, Users, Visibility
from storage.stream_keys import StreamKeyDigester, new_stream_key

_MESSAGES: Final = {
    "users_username_unique": "the user name {username!r} is taken",
    "users_username_valid": "the user name {username!r} must be 3 to 30 letters, digits or underscores",
    "users_email_unique": "another user has the e-mail address {email!r}",
    "users_email_valid": "{email!r} is not an e-mail address",
    "rooms_slug_unique": "another room has the slug {slug!r}",
    "rooms_slug_valid": "the slug {slug!r} must be 1 to 63 of a-z, 0-9 and '-', and look like no id",
    "rooms_title_valid": "the title must have 1 to 100 characters",
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
        self._digester = digester
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
        stream_key = new_stream_key()
        try:
            async with self._database.transaction() as transaction:
                room_id = await Rooms(transaction).add(owner.id, title, slug, visibility)
                await StreamKeys(transaction).set(room_id, self._digester.digest(stream_key))
        except (Conflict, InvalidValue) as error:
            raise _explained(error, slug=slug) from error
        return RoomKey(await self._room(str(room_id)), stream_key)

    async def rotate_key(self, room_ref: str) -> RoomKey:
        """A new stream key for the room; whoever publishes with the old one is dropped at once."""
        room = await self._room(room_ref)
        stream_key = new_stream_key()
        await StreamKeys(self._database).set(room.id, self._digester.digest(stream_key))
        return RoomKey(room, stream_key)

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
