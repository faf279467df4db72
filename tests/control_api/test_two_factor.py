"""The second factor: set up, used, guessed at, and turned off."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pyotp
import pytest

from control_api.errors import ApiError, forbidden
from control_api.identity.throttle import LoginLimits, LoginThrottle
from control_api.routes.two_factor import TwoFactorRoutes
from control_api.services.account_view import AccountViews
from control_api.services.auth import AuthParts, AuthService, Client, Login, Registration
from control_api.services.two_factor import SecretBox, TwoFactorOptions, TwoFactorService
from storage.database import Database
from storage.ids import new_id
from storage.repositories import User, Users
from storage.shared_state import LocalState
from tests.control_api.identity.house import PASSWORD, SECRET, House
from tests.control_api.sample import Sample
from tests.control_api.serving import serve

NOON = 1_800_000_000.0


@dataclass
class Postbox:
    mails: list[tuple[str, str, str]] = field(default_factory=list)

    async def send(self, to: str, subject: str, text: str) -> None:
        self.mails.append((to, subject, text))


class OnePassword:
    """Everybody's password is PASSWORD."""

    async def confirm_password(self, _user_id: UUID, password: str, _address: str) -> None:
        if password != PASSWORD:
            raise forbidden("wrong_password", "That is not your password.")


@dataclass
class Setting:
    """A user, the service, and a clock that stands still until it is set."""

    user: User
    service: TwoFactorService
    postbox: Postbox
    counter: LocalState
    now: float = NOON

    def code(self, secret: str, steps: int = 0) -> str:
        return pyotp.TOTP(secret).at(int(self.now) + 30 * steps)

    async def enabled(self) -> tuple[str, list[str]]:
        """(secret, backup codes) of a second factor in force; its step is over."""
        secret = (await self.service.set_up(self.user.id)).secret
        codes = await self.service.confirm(self.user.id, self.code(secret), "192.0.2.1")
        self.now += 30
        return secret, codes

    async def verify(self, code: str) -> bool:
        return await self.service.verify(self.user.id, code)


@pytest.fixture
async def setting(database: Database) -> Setting:
    postbox, counter = Postbox(), LocalState()
    user = await Users(database).add("alice", "alice@example.com", "hash")
    options = TwoFactorOptions("Stage", lambda: made.now)
    service = TwoFactorService(database, b"secret", OnePassword(), counter, postbox, options)
    made = Setting(user, service, postbox, counter)
    return made


@pytest.fixture
async def api(setting: Setting, database: Database, aiohttp_client: Callable[..., Awaitable[Any]]) -> Sample:
    return await serve(TwoFactorRoutes(setting.service), database, aiohttp_client, setting.user)


def wrong(code: str) -> str:
    return f"{(int(code) + 500_000) % 1_000_000:06}"


async def test_from_setup_to_off_over_http(setting: Setting, api: Sample, database: Database) -> None:
    status, body, _ = await api.call("POST", "/auth/2fa/setup", "alice")
    assert status == 200
    secret = body["data"]["secret"]
    assert body["data"]["otpauthUrl"] == f"otpauth://totp/Stage:alice?secret={secret}&issuer=Stage"
    assert body["data"]["qrCode"].startswith("data:image/svg+xml")
    assert not await setting.service.is_required(setting.user.id)

    code = {"code": setting.code(secret)}
    status, body, _ = await api.call("POST", "/auth/2fa/verify", "alice", json=code)
    assert status == 200 and len(set(body["data"]["backupCodes"])) == 10
    assert await setting.service.is_required(setting.user.id)

    status, body, _ = await api.call("POST", "/auth/2fa/disable", "alice", json={"password": PASSWORD})
    assert (status, body) == (200, {"success": True, "data": None})
    assert not await setting.service.is_required(setting.user.id)
    rows = await database.fetch("SELECT action, address FROM audit_log ORDER BY id")
    assert [row["action"] for row in rows] == ["two_factor.enabled", "two_factor.disabled"]
    assert [subject for _, subject, _ in setting.postbox.mails] == [
        "Two-factor authentication is on",
        "Two-factor authentication is off",
    ]


async def test_backup_codes_come_only_after_a_right_first_code(setting: Setting, api: Sample) -> None:
    secret = (await setting.service.set_up(setting.user.id)).secret
    given = {"code": wrong(setting.code(secret))}
    status, body, _ = await api.call("POST", "/auth/2fa/verify", "alice", json=given)
    assert (status, body["code"], body["details"][0]["field"]) == (400, "invalid_request", "code")
    assert not await setting.service.is_required(setting.user.id)


@pytest.mark.parametrize(("steps", "is_right"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
async def test_clocks_may_differ_by_one_step(setting: Setting, steps: int, is_right: bool) -> None:
    secret, _ = await setting.enabled()
    setting.now += 300
    assert await setting.verify(setting.code(secret, steps)) is is_right


async def test_a_step_is_good_once_and_none_before_it_later(setting: Setting) -> None:
    secret, _ = await setting.enabled()
    setting.now += 300
    code, older = setting.code(secret), setting.code(secret, -1)
    outcomes = await asyncio.gather(*(setting.verify(code) for _ in range(3)))
    assert outcomes.count(True) == 1
    assert not await setting.verify(older)
    assert await setting.verify(setting.code(secret, 1))


async def test_the_first_code_is_used_up(setting: Setting) -> None:
    secret = (await setting.service.set_up(setting.user.id)).secret
    code = setting.code(secret)
    await setting.service.confirm(setting.user.id, code, "192.0.2.1")
    assert not await setting.verify(code)


async def test_a_backup_code_is_good_once_however_it_is_typed(setting: Setting) -> None:
    _, codes = await setting.enabled()
    assert await setting.verify(codes[0].upper().replace("-", " "))
    assert not await setting.verify(codes[0])
    assert await setting.verify(codes[1])


async def test_guesses_end_even_for_a_right_code_until_the_window_is_over(setting: Setting) -> None:
    secret, codes = await setting.enabled()
    for _ in range(5):
        assert not await setting.verify(wrong(setting.code(secret)))
    for code in (setting.code(secret), codes[0]):
        with pytest.raises(ApiError) as refused:
            await setting.verify(code)
        assert (refused.value.status, refused.value.code) == (429, "rate_limited")
        assert int(refused.value.headers["Retry-After"]) > 0


async def test_a_right_code_makes_wrong_ones_forgotten(setting: Setting) -> None:
    secret, codes = await setting.enabled()
    for code in codes[:3]:
        for _ in range(4):
            assert not await setting.verify(wrong(setting.code(secret)))
        assert await setting.verify(code)


@pytest.mark.parametrize(
    "code", ["", "x", "123456789", "\uff11\uff12\uff13\uff14\uff15\uff16", "ü" * 10, "\0" * 6]
)
async def test_strange_codes_are_wrong(setting: Setting, code: str) -> None:
    await setting.enabled()
    assert not await setting.verify(code)


async def test_setup_is_good_for_ten_minutes(setting: Setting, api: Sample, database: Database) -> None:
    secret = (await setting.service.set_up(setting.user.id)).secret
    await database.execute("UPDATE totp_secrets SET created_at = created_at - interval '601 seconds'")
    given = {"code": setting.code(secret)}
    status, body, _ = await api.call("POST", "/auth/2fa/verify", "alice", json=given)
    assert (status, body["code"]) == (409, "two_factor_not_set_up")


async def test_a_second_setup_takes_the_place_of_the_first(setting: Setting) -> None:
    first = (await setting.service.set_up(setting.user.id)).secret
    second = (await setting.service.set_up(setting.user.id)).secret
    with pytest.raises(ApiError, match="wrong"):
        await setting.service.confirm(setting.user.id, setting.code(first), "192.0.2.1")
    assert await setting.service.confirm(setting.user.id, setting.code(second), "192.0.2.1")


async def test_what_is_on_is_not_set_up_again(setting: Setting, api: Sample) -> None:
    secret, _ = await setting.enabled()
    for path, options in (("setup", {}), ("verify", {"json": {"code": setting.code(secret)}})):
        status, body, _ = await api.call("POST", f"/auth/2fa/{path}", "alice", **options)
        assert (status, body["code"]) == (409, "two_factor_already_enabled")


async def test_what_is_off_is_not_verified_or_turned_off(setting: Setting, api: Sample) -> None:
    assert not await setting.verify("123456")
    status, body, _ = await api.call("POST", "/auth/2fa/verify", "alice", json={"code": "123456"})
    assert (status, body["code"]) == (409, "two_factor_not_set_up")
    for given in ({"code": "123456"}, {"password": PASSWORD}):
        status, body, _ = await api.call("POST", "/auth/2fa/disable", "alice", json=given)
        assert (status, body["code"]) == (409, "two_factor_not_enabled")


async def test_wrong_codes_are_written_down(setting: Setting, api: Sample, database: Database) -> None:
    secret = (await setting.service.set_up(setting.user.id)).secret
    for path, code in (("verify", wrong(setting.code(secret))), ("verify", setting.code(secret))):
        await api.call("POST", f"/auth/2fa/{path}", "alice", json={"code": code})
    await api.call("POST", "/auth/2fa/disable", "alice", json={"code": "zzzzz-zzzzz"})
    rows = await database.fetch("SELECT action, actor_id FROM audit_log ORDER BY id")
    actions = ("two_factor.refused", "two_factor.enabled", "two_factor.refused")
    assert [tuple(row) for row in rows] == [(action, setting.user.id) for action in actions]


async def test_off_needs_the_password_or_a_code(setting: Setting, api: Sample) -> None:
    secret, codes = await setting.enabled()
    status, body, _ = await api.call("POST", "/auth/2fa/disable", "alice", json={"password": "wrong horse"})
    assert (status, body["code"]) == (403, "wrong_password")
    status, body, _ = await api.call("POST", "/auth/2fa/disable", "alice", json={"code": "123456"})
    assert (status, body["details"][0]["field"]) == (400, "code")
    for given in ({}, {"password": PASSWORD, "code": setting.code(secret)}, {"password": None}):
        status, body, _ = await api.call("POST", "/auth/2fa/disable", "alice", json=given)
        assert (status, body["code"]) == (400, "invalid_request")
    assert await setting.service.is_required(setting.user.id)
    status, _, _ = await api.call("POST", "/auth/2fa/disable", "alice", json={"code": codes[3]})
    assert status == 200
    assert not await setting.verify(codes[4])


@pytest.mark.parametrize("path", ["setup", "verify", "disable"])
async def test_nobody_in_particular_is_refused(api: Sample, path: str) -> None:
    assert (await api.call("POST", f"/auth/2fa/{path}", json={"code": "123456"}))[0] == 401


@pytest.mark.parametrize("code", [123456, "12345", "1" * 33, None, ["123456"]])
async def test_a_wrong_request_names_the_field(api: Sample, code: Any) -> None:
    status, body, _ = await api.call("POST", "/auth/2fa/verify", "alice", json={"code": code})
    assert (status, body["details"][0]["field"]) == (400, "code")


async def test_the_tables_show_neither_secret_nor_codes(setting: Setting, database: Database) -> None:
    secret, codes = await setting.enabled()
    rows = str(await database.fetch("SELECT secret FROM totp_secrets"))
    rows += str(await database.fetch("SELECT code_hash FROM backup_codes"))
    assert secret not in rows and not any(code in rows for code in codes)


async def test_under_another_installations_secret_no_code_is_right(
    setting: Setting, database: Database
) -> None:
    secret, codes = await setting.enabled()
    options = TwoFactorOptions(clock=lambda: setting.now)
    other = TwoFactorService(database, b"other", OnePassword(), setting.counter, setting.postbox, options)
    for code in (setting.code(secret), codes[0]):
        assert not await other.verify(setting.user.id, code)


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    house = House(database)
    yield house
    await house.close()


async def test_signing_in_asks_for_it(house: House) -> None:
    now = [NOON]
    options = TwoFactorOptions(clock=lambda: now[0])
    two_factor = TwoFactorService(house.database, SECRET, house.recovery, house.state, house.mailbox, options)
    throttle = LoginThrottle(house.state, LoginLimits(account_and_address=20), house.naps)
    views = AccountViews()
    parts = AuthParts(
        house.passwords, house.sessions, house.recovery, two_factor, throttle, house.errands, views
    )
    auth, client = AuthService(house.database, parts), Client("192.0.2.1", "test")
    wanted = Registration("alice@example.com", "alice", PASSWORD, "Alice")
    user_id = (await auth.register(wanted, client)).user.id
    assert await auth.login(Login("alice", PASSWORD), client)

    totp = pyotp.TOTP((await two_factor.set_up(user_id)).secret)
    codes = await two_factor.confirm(user_id, totp.at(int(now[0])), client.address)
    assert await auth.login(Login("alice", PASSWORD), client) is None
    for wrong_code in (totp.at(int(now[0])), "not it"):
        with pytest.raises(ApiError) as refused:
            await auth.login(Login("alice", PASSWORD, wrong_code), client)
        assert refused.value.code == "invalid_two_factor_code"
    now[0] += 30
    assert await auth.login(Login("alice", PASSWORD, totp.at(int(now[0]))), client)
    assert await auth.login(Login("alice", PASSWORD, codes[0]), client)

    with pytest.raises(ApiError) as refused:
        await two_factor.disable_by_password(user_id, "wrong horse", client.address)
    assert refused.value.code == "wrong_password"
    await two_factor.disable_by_password(user_id, PASSWORD, client.address)
    assert await auth.login(Login("alice", PASSWORD), client)


def test_a_sealed_secret_is_the_users_own() -> None:
    box, user_id = SecretBox(b"secret"), new_id()
    sealed = box.seal(user_id, "text")
    assert box.open(user_id, sealed) == "text"
    assert box.open(new_id(), sealed) is None
    assert box.open(user_id, sealed[:-1] + bytes([sealed[-1] ^ 1])) is None
    assert box.seal(user_id, "text") != sealed
