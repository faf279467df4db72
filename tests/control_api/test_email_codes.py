"""Mailed codes, and logging in with one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from control_api.errors import ApiError
from control_api.identity.throttle import LoginLimits, LoginThrottle
from control_api.routes.email_codes import EmailCodeRoutes
from control_api.services.auth import Client
from control_api.services.email_codes import CodeLogin, EmailLogin, EmailLoginParts, OneTimeCodes
from storage.database import Database
from storage.repositories import User, Users, UserState
from tests.control_api.identity.house import SECRET, House, Naps
from tests.control_api.sample import Sample
from tests.control_api.serving import serve

HOUR = timedelta(hours=1)


@pytest.fixture
async def alice(database: Database) -> User:
    return await Users(database).add("alice", "alice@example.com", "hash")


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


async def test_a_code_is_six_digits_and_good_once(database: Database, alice: User) -> None:
    codes = OneTimeCodes(database, b"secret")
    code = await codes.issue(alice.id, "login_otp", HOUR)
    assert len(code) == 6 and code.isdecimal()
    assert not await codes.redeem(alice.id, "login_otp", wrong(code))
    assert await codes.redeem(alice.id, "login_otp", code)
    assert not await codes.redeem(alice.id, "login_otp", code)


async def test_a_code_bears_five_tries(database: Database, alice: User) -> None:
    codes = OneTimeCodes(database, b"secret")
    code = await codes.issue(alice.id, "login_otp", HOUR)
    for _ in range(5):
        assert not await codes.redeem(alice.id, "login_otp", wrong(code))
    assert not await codes.redeem(alice.id, "login_otp", code)


async def test_a_right_code_may_be_looked_at_first(database: Database, alice: User) -> None:
    codes = OneTimeCodes(database, b"secret")
    code = await codes.issue(alice.id, "login_otp", HOUR)
    for _ in range(6):
        assert await codes.is_right(alice.id, "login_otp", code)
    assert not await codes.is_right(alice.id, "login_otp", wrong(code))
    assert await database.fetch_value("SELECT tries_left FROM one_time_codes") == 4
    assert await codes.redeem(alice.id, "login_otp", code)


async def test_the_table_shows_no_code(database: Database, alice: User) -> None:
    code = await OneTimeCodes(database, b"secret").issue(alice.id, "login_otp", HOUR)
    assert not await OneTimeCodes(database, b"another secret").redeem(alice.id, "login_otp", code)


EMAIL = "alice@example.com"
SUBJECT = "Your code for signing in"


@dataclass
class Doorway:
    """Signing in by mailed code over HTTP, with identity's own parts behind it."""

    house: House
    api: Sample
    alice: User

    async def ask(self, email: str = EMAIL) -> tuple[int, Any]:
        status, body, _ = await self.api.call("POST", "/auth/otp/send", json={"email": email})
        await self.house.errands.finished()
        return status, body

    async def code(self) -> str:
        """A code as it came by mail."""
        await self.ask()
        return self.house.mailbox.code(SUBJECT)

    async def login(self, code: str, email: str = EMAIL, **more: Any) -> tuple[int, Any, Any]:
        return await self.api.call("POST", "/auth/otp/login", json={"email": email, "code": code, **more})


def door_parts(house: House, limits: LoginLimits | None = None) -> EmailLoginParts:
    throttle = LoginThrottle(house.state, limits, Naps())
    codes = OneTimeCodes(house.database, SECRET)
    return EmailLoginParts(
        codes, house.auth, house.factor, throttle, house.state, house.errands, house.mailbox
    )


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    house = House(database)
    yield house
    await house.close()


@pytest.fixture
async def door(
    house: House, alice: User, database: Database, aiohttp_client: Callable[..., Awaitable[Any]]
) -> Doorway:
    # Wide enough that the tries of a code run out first.
    limits = LoginLimits(account_and_address=20)
    routes = EmailCodeRoutes(EmailLogin(database, door_parts(house, limits), refusal_seconds=0))
    return Doorway(house, await serve(routes, database, aiohttp_client), alice)


async def test_a_mailed_code_signs_in(door: Doorway) -> None:
    status, body, headers = await door.login(await door.code())
    assert status == 200
    assert body["data"]["user"]["username"] == "alice"
    assert body["data"]["user"]["verified"] is True
    claims = door.house.access_tokens.read(body["data"]["accessToken"])
    assert claims.user_id == door.alice.id
    cookie = headers["Set-Cookie"]
    assert cookie.startswith("refresh=") and "Max-Age=2592000" in cookie and "HttpOnly" in cookie


async def test_who_asks_to_be_remembered_is(door: Doorway) -> None:
    _, _, headers = await door.login(await door.code(), rememberMe=True)
    assert "Max-Age=31536000" in headers["Set-Cookie"]


async def test_a_code_signs_in_once_also_for_many_at_once(door: Doorway) -> None:
    code = await door.code()
    answers = await asyncio.gather(*(door.login(code) for _ in range(5)))
    assert sorted(status for status, _, _ in answers) == [200, 401, 401, 401, 401]
    assert (await door.login(code))[0] == 401


async def test_unknown_addresses_get_the_same_answers(door: Doorway) -> None:
    code = await door.code()
    assert await door.ask("nobody@example.com") == await door.ask(EMAIL)
    known = await door.login(wrong(code))
    unknown = await door.login(wrong(code), "nobody@example.com")
    assert known[:2] == unknown[:2]
    assert (known[0], known[1]["code"]) == (401, "invalid_credentials")
    assert {to for to, _, _ in door.house.mailbox.mails} == {EMAIL}


async def test_no_refusal_comes_early(house: House, alice: User, database: Database) -> None:
    loop = asyncio.get_running_loop()
    api_call = EmailLogin(database, door_parts(house), refusal_seconds=0.2)

    async def refused_after(email: str) -> float:
        start = loop.time()
        with pytest.raises(ApiError):
            await api_call.login(CodeLogin(email, "000000"), Client("192.0.2.1", "test"))
        return loop.time() - start

    assert min([await refused_after(EMAIL), await refused_after("nobody@example.com")]) >= 0.2


async def test_after_five_wrong_codes_the_right_one_is_too_late(door: Doorway) -> None:
    code = await door.code()
    for _ in range(5):
        assert (await door.login(wrong(code)))[0] == 401
    assert (await door.login(code))[0] == 401
    assert (await door.login(await door.code()))[0] == 200


async def test_a_code_is_good_for_ten_minutes(door: Doorway, database: Database) -> None:
    code = await door.code()
    await database.execute("UPDATE one_time_codes SET expires_at = expires_at - interval '599 seconds'")
    assert await database.fetch_value("SELECT expires_at > now() FROM one_time_codes")
    await database.execute("UPDATE one_time_codes SET expires_at = expires_at - interval '1 second'")
    assert (await door.login(code))[0] == 401


async def test_a_code_for_something_else_does_not_sign_in(door: Doorway, database: Database) -> None:
    code = await OneTimeCodes(database, SECRET).issue(door.alice.id, "reset_password", HOUR)
    assert (await door.login(code))[0] == 401


async def test_the_second_factor_is_still_needed(door: Doorway) -> None:
    door.house.factor.codes[door.alice.id] = "654321"
    code = await door.code()
    status, body, headers = await door.login(code)
    assert (status, body["data"]) == (200, {"requiresTwoFactor": True})
    assert "Set-Cookie" not in headers
    status, body, _ = await door.login(code, twoFactorCode="123456")
    assert (status, body["code"]) == (401, "invalid_two_factor_code")
    status, body, _ = await door.login(code, twoFactorCode="654321")
    assert status == 200 and body["data"]["accessToken"]
    status, body, _ = await door.login(wrong(code))
    assert (status, body["code"]) == (401, "invalid_credentials")


@pytest.mark.parametrize("state", [UserState.SUSPENDED, UserState.BANNED, UserState.DELETED])
async def test_who_is_not_active_is_unknown(door: Doorway, database: Database, state: UserState) -> None:
    code = await door.code()
    await Users(database).set_state(door.alice.id, state)
    assert (await door.login(code))[0] == 401
    mails = len(door.house.mailbox.mails)
    assert (await door.ask())[0] == 200
    assert len(door.house.mailbox.mails) == mails


async def test_nobodys_mailbox_is_filled(door: Doorway) -> None:
    for _ in range(8):
        assert (await door.ask())[0] == 200
    assert len(door.house.mailbox.mails) == 5


async def test_guessing_is_slowed_down_and_ends(
    house: House, alice: User, database: Database, aiohttp_client: Callable[..., Awaitable[Any]]
) -> None:
    routes = EmailCodeRoutes(EmailLogin(database, door_parts(house), refusal_seconds=0))
    door = Doorway(house, await serve(routes, database, aiohttp_client), alice)
    for email in (EMAIL, "nobody@example.com"):
        answers = [(await door.login("000000", email))[0] for _ in range(6)]
        assert answers == [401] * 5 + [429]


async def test_asking_and_failing_stand_in_the_audit_log(door: Doorway, database: Database) -> None:
    await door.login(wrong(await door.code()))
    rows = await database.fetch("SELECT action, subject_id FROM audit_log ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("login_otp.asked", str(door.alice.id)),
        ("session.refused", str(door.alice.id)),
    ]


async def test_another_sites_page_cannot_sign_in(door: Doorway) -> None:
    body = {"email": EMAIL, "code": await door.code()}
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    status, answer, _ = await door.api.call("POST", "/auth/otp/login", json=body, headers=headers)
    assert (status, answer["code"]) == (403, "foreign_origin")


@pytest.mark.parametrize(
    ("path", "change", "field"),
    [
        ("send", {"email": None}, "email"),
        ("send", {"email": "x" * 255}, "email"),
        ("send", {"code": "123456"}, "code"),
        ("login", {"code": "12345"}, "code"),
        ("login", {"code": "12345\n"}, "code"),
        ("login", {"code": "\u0661\u0662\u0663\u0664\u0665\u0666"}, "code"),
        ("login", {"code": 123456}, "code"),
        ("login", {"rememberMe": "yes"}, "rememberMe"),
        ("login", {"twoFactorCode": "1" * 33}, "twoFactorCode"),
    ],
)
async def test_a_wrong_request_names_the_field(
    door: Doorway, path: str, change: dict[str, Any], field: str
) -> None:
    good = {"email": EMAIL} if path == "send" else {"email": EMAIL, "code": "123456"}
    status, body, _ = await door.api.call("POST", f"/auth/otp/{path}", json=good | change)
    assert (status, body["details"][0]["field"]) == (400, field)


@pytest.mark.parametrize("email", ["not an address", "a@b\r\nBcc: c@d.ef", "' OR 1=1 --", "\u202e@x.org"])
async def test_what_is_no_address_has_no_account(door: Doorway, email: str) -> None:
    assert (await door.ask(email))[0] == 200
    assert (await door.login("123456", email))[0] == 401
    assert door.house.mailbox.mails == []
