"""People: what they show of themselves, their picture, and how they leave.

Who is suspended, banned or deleted is not there for others.
"""

import re
import secrets
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol
from uuid import UUID

import structlog

from control_api.errors import ApiError, conflict, not_found, unauthorized, unavailable, version_mismatch
from control_api.identity.throttle import LoginThrottle, confirmation_of
from control_api.texts import clean_line, clean_text
from storage.bus import Bus, RoomDeleted, UserChanged
from storage.database import Database
from storage.objects import Objects, ObjectsUnavailable
from storage.passwords import TooManyHashes
from storage.repositories import Role, Users, UserState
from storage.repositories.account_data import AccountData, RemovedAccount
from storage.repositories.audit import AuditLog
from storage.repositories.credentials import Credential, Credentials
from storage.repositories.follows import Follows
from storage.repositories.users import Profile
from storage.shared_state import LocalState

logger = structlog.get_logger("mediaserver.api")

AVATAR_SIDE: Final = 512
MAX_DISPLAY_NAME: Final = 50
MAX_BIO: Final = 500

_AVATAR_NAME: Final = re.compile(r"[0-9a-f]{32}\.webp")
_USERNAME: Final = re.compile(r"[A-Za-z0-9_]{3,30}")


class PictureConverter(Protocol):
    async def convert(self, data: bytes, width: int, height: int) -> bytes:
        """The picture as a WebP of this size, pixels only. Raises ApiError."""


class PasswordCheck(Protocol):
    async def is_correct(self, password: str, password_hash: str | None) -> bool:
        """Raises TooManyHashes."""


@dataclass(frozen=True, slots=True)
class PublicProfile:
    """``is_following`` is None for those who have not signed in, and of oneself."""

    profile: Profile
    is_following: bool | None


class UserService:
    def __init__(
        self,
        database: Database,
        bus: Bus,
        objects: Objects,
        pictures: PictureConverter,
        passwords: PasswordCheck,
        throttle: LoginThrottle | None = None,
    ) -> None:
        """``throttle`` bounds guesses at the password of an account whose session somebody stole."""
        self._database = database
        self._bus = bus
        self._objects = objects
        self._pictures = pictures
        self._passwords = passwords
        self._throttle = throttle or LoginThrottle(LocalState())

    async def own(self, user_id: UUID) -> Credential:
        """What the user sees of the own account."""
        user = await Credentials(self._database).find_by_id(user_id)
        if user is None or user.state is not UserState.ACTIVE:
            raise unauthorized()
        return user

    async def find(self, id_or_name: str, viewer_id: UUID | None) -> PublicProfile:
        """Raises ApiError 404 ``user_not_found``."""
        profile = await self._profile(id_or_name)
        if profile is None or profile.user.state is not UserState.ACTIVE:
            raise not_found("user")
        is_following = None
        if viewer_id is not None and viewer_id != profile.user.id:
            is_following = await Follows(self._database).is_following(viewer_id, profile.user.id)
        return PublicProfile(profile, is_following)

    async def change(
        self, user_id: UUID, display_name: str | None, bio: str | None, version: int | None = None
    ) -> Credential:
        """None leaves a value as it is. ``version`` is the one that the client has seen, if it cares.

        Raises ApiError: 400, 412 ``version_mismatch``.
        """
        if display_name is not None:
            display_name = clean_line("displayName", display_name, MAX_DISPLAY_NAME)
        if bio is not None:
            bio = clean_text("bio", bio, MAX_BIO)
        is_changed = await Users(self._database).change_profile(user_id, display_name, bio, version)
        changed = await self.own(user_id)
        if not is_changed:
            raise version_mismatch("profile")
        return changed

    async def set_avatar(self, user_id: UUID, picture: bytes) -> Credential:
        """Raises ApiError: 400 for what is no picture, 503 when pictures cannot be read or stored now."""
        encoded = await self._pictures.convert(picture, AVATAR_SIDE, AVATAR_SIDE)
        name = f"{secrets.token_hex(16)}.webp"
        try:
            await self._objects.put(f"avatars/{name}", encoded)
        except ObjectsUnavailable as error:
            logger.warning("avatar_not_stored", error=str(error))
            raise unavailable("Pictures cannot be stored now; try again shortly.") from error
        before = await Users(self._database).set_avatar(user_id, name)
        if before is not None:
            await self._forget_objects([f"avatars/{before}"])
        try:
            return await self.own(user_id)
        except ApiError:  # the account was closed meanwhile
            await self._forget_objects([f"avatars/{name}"])
            raise

    async def avatar(self, name: str) -> bytes:
        """The picture as WebP. Raises ApiError 404 ``avatar_not_found``."""
        if _AVATAR_NAME.fullmatch(name) is None:
            raise not_found("avatar")
        try:
            data = await self._objects.get(f"avatars/{name}")
        except ObjectsUnavailable as error:
            raise unavailable("Pictures cannot be read now; try again shortly.") from error
        if data is None:
            raise not_found("avatar")
        return data

    async def delete(self, user_id: UUID, password: str, address: str) -> None:
        """Remove the account and what belongs to it; its name stays taken.

        Raises ApiError: 403 ``wrong_password``, 409 ``last_superadmin``.
        """
        await self._check_password(user_id, password, address)
        async with self._database.transaction() as transaction:
            await _check_may_leave(Users(transaction), user_id)
            removed = await AccountData(transaction).remove(user_id)
            await AuditLog(transaction).add(user_id, "user.deleted", "user", str(user_id), address)
        await self._announce(user_id, removed)

    async def _check_password(self, user_id: UUID, password: str, address: str) -> None:
        attempt = await self._throttle.begin(confirmation_of(user_id), address)
        stored = await Users(self._database).password_hash(user_id)
        try:
            is_correct = await self._passwords.is_correct(password, stored)
        except TooManyHashes as error:
            raise unavailable("Too many are signing in at the moment; try again shortly.") from error
        if not is_correct:
            await AuditLog(self._database).add(user_id, "password.refused", "user", str(user_id), address)
            await self._throttle.failed(attempt)
            raise ApiError(HTTPStatus.FORBIDDEN, "wrong_password", "The password is wrong.")
        await self._throttle.succeeded(attempt)

    async def _announce(self, user_id: UUID, removed: RemovedAccount) -> None:
        self._bus.publish(UserChanged(str(user_id)))
        for room_id in removed.room_ids:
            self._bus.publish(RoomDeleted(str(room_id)))
        names = [f"thumbnails/{thumbnail}" for thumbnail in removed.thumbnails]
        if removed.avatar is not None:
            names.append(f"avatars/{removed.avatar}")
        await self._forget_objects(names)

    async def _forget_objects(self, names: list[str]) -> None:
        """An object that nothing points to does no harm; that it stays must not fail what is done already."""
        for name in names:
            try:
                await self._objects.delete(name)
            except (ObjectsUnavailable, ValueError) as error:
                logger.warning("object_not_deleted", object_name=name, error=str(error))

    async def _profile(self, id_or_name: str) -> Profile | None:
        users = Users(self._database)
        if _USERNAME.fullmatch(id_or_name) is not None:
            return await users.profile_by_name(id_or_name)
        try:
            user_id = UUID(id_or_name)
        except ValueError:
            return None
        return await users.profile(user_id) if str(user_id) == id_or_name.lower() else None


async def _check_may_leave(users: Users, user_id: UUID) -> None:
    """Until the transaction ends, it stays true."""
    user = await users.find_by_id(user_id)
    if user is not None and user.role is Role.SUPERADMIN and await users.count_superadmins() <= 1:
        raise conflict("last_superadmin", "Make somebody else superadmin first.")
    user = await users.lock(user_id)
    if user is None or user.state is not UserState.ACTIVE:
        raise unauthorized()
