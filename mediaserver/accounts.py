"""What the operator makes without asking anybody: users and rooms, by the API's services and rules."""

from control_api.room_schemas import NewRoom
from control_api.services.admin_users import OPERATOR, NewUser, UserCreation
from control_api.services.rooms import RoomKey, RoomsService
from storage.database import Executor
from storage.passwords import Passwords
from storage.repositories import User
from storage.repositories.audit import AuditLog
from storage.stream_keys import StreamKeyDigester

COMMAND_LINE = "command line"
"""Where a change came from, in the audit log, instead of an address."""


class Accounts:
    """Every method raises ApiError and DatabaseUnavailable. ``source`` is for the audit log."""

    def __init__(
        self,
        database: Executor,
        digester: StreamKeyDigester,
        passwords: Passwords,
        source: str = COMMAND_LINE,
    ) -> None:
        self._database = database
        self._digester = digester
        self._users = UserCreation(database, passwords)
        self._source = source

    async def create_user(self, new: NewUser) -> User:
        return await self._users.create(new, self._source)

    async def create_room(self, owner: User, new: NewRoom) -> RoomKey:
        """As many as the operator likes."""
        async with self._database.transaction() as transaction:
            made = await RoomsService(transaction, self._digester, max_rooms=None).create(owner.id, new)
            await AuditLog(transaction).add(
                OPERATOR.user_id, "room.created", "room", str(made.room.id), self._source
            )
        return made
