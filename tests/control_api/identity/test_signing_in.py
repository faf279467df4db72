"""Signing in: right, wrong, too often, and for accounts that are closed."""

import asyncio
from uuid import UUID

import pytest
from argon2 import PasswordHasher, Type

from control_api.errors import ApiError
from storage.passwords import Passwords
from storage.repositories.audit import AuditFilter, AuditLog
from storage.repositories.users import Users, UserState
from tests.control_api.identity.house import PASSWORD, House, refresh_of


@pytest.mark.parametrize("name", ["alice", "ALICE", "alice@example.org", "ALICE@EXAMPLE.ORG", " alice "])
async def test_by_name_or_address(house: House, name: str) -> None:
    registered = await house.register("alice")
    answer = await house.login(name)
    assert answer.status == 200
    assert answer.data["user"] == registered.data["user"]
    assert "requiresTwoFactor" not in answer.data
    session = await house.call("GET", "/auth/session", token=answer.data["accessToken"])
    assert session.data["user"]["username"] == "alice"


async def test_remember_me_makes_it_last_a_year(house: House) -> None:
    await house.register("alice")
    answer = await house.login("alice", rememberMe=True)
    assert int(answer.cookies["refresh"]["max-age"]) == 365 * 24 * 3600
    refreshed = await house.call("POST", "/auth/refresh", refresh=refresh_of(answer))
    assert int(refreshed.cookies["refresh"]["max-age"]) == 365 * 24 * 3600


async def test_the_answer_does_not_tell_who_exists(house: House) -> None:
    await house.register("alice")
    wrong = await house.login("alice", "wrong password")
    for name in ("nobody", "nobody@example.org", "no address @", "'; DROP TABLE users; --", "аlice"):  # noqa: RUF001
        unknown = await house.login(name, "wrong password")
        assert (unknown.status, unknown.body) == (wrong.status, wrong.body)
    assert (wrong.status, wrong.code) == (401, "invalid_credentials")
    assert not wrong.cookies


async def test_as_many_hashes_are_made_for_nobody(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is the hash's: it is computed whether or not there is somebody."""
    await house.register("alice")
    checked: list[str] = []
    verify = Passwords._verify

    def counted(self: Passwords, password: str, password_hash: str) -> bool:
        checked.append(password_hash)
        return verify(self, password, password_hash)

    monkeypatch.setattr(Passwords, "_verify", counted)
    await house.login("alice", "wrong password")
    await house.login("nobody", "wrong password")
    assert len(checked) == 2
    parameters = {hashed.rsplit("$", 2)[0] for hashed in checked}
    assert parameters == {"$argon2id$v=19$m=65536,t=3,p=1"}
    assert len(checked[0]) == len(checked[1])


async def test_failures_slow_down_then_lock(house: House) -> None:
    await house.register("alice")
    for _ in range(5):
        assert (await house.login("alice", "wrong password")).status == 401
    assert house.naps.seconds == [0.25, 0.5, 1.0]
    locked = await house.login("alice")
    assert (locked.status, locked.code) == (429, "rate_limited")
    assert 0 < int(locked.headers["Retry-After"]) <= 16 * 60
    # By the address as well, as it is the same account.
    assert (await house.login("alice@example.org")).status == 429


async def test_unknown_names_lock_as_well(house: House) -> None:
    for _ in range(5):
        assert (await house.login("nobody", "wrong password")).status == 401
    assert house.naps.seconds == [0.25, 0.5, 1.0]
    assert (await house.login("NOBODY", "wrong password")).status == 429


async def test_an_ipv6_network_counts_as_one(house: House) -> None:
    throttle = house.throttle
    for number in range(5):
        await throttle.begin("somebody", f"2001:db8::{number}")
    with pytest.raises(ApiError) as refused:
        await throttle.begin("somebody", "2001:db8::ffff:1")
    assert refused.value.status == 429
    await throttle.begin("somebody", "2001:db8:0:1::1")


async def test_many_addresses_cannot_guess_together(house: House) -> None:
    for number in range(50):
        await house.throttle.begin("somebody", f"192.0.2.{number}")
    with pytest.raises(ApiError):
        await house.throttle.begin("somebody", "192.0.2.200")
    await house.throttle.begin("somebody else", "192.0.2.200")


async def test_signing_in_starts_the_count_again(house: House) -> None:
    await house.register("alice")
    for _ in range(3):
        for _ in range(3):
            assert (await house.login("alice", "wrong password")).status == 401
        assert (await house.login("alice")).status == 200


async def test_guesses_at_the_same_time_count(house: House) -> None:
    await house.register("alice")
    answers = await asyncio.gather(*(house.login("alice", "wrong password") for _ in range(12)))
    assert sorted(answer.status for answer in answers) == [401] * 5 + [429] * 7


async def test_one_address_cannot_try_everybody(house: House) -> None:
    for _ in range(100):
        await house.state.take("login:address:127.0.0.1", 100, 900.0)
    assert (await house.login("somebody", "wrong password")).status == 429


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        (UserState.SUSPENDED, 403, "account_suspended"),
        (UserState.BANNED, 403, "account_banned"),
        (UserState.DELETED, 401, "invalid_credentials"),
    ],
)
async def test_closed_accounts(house: House, state: UserState, status: int, code: str) -> None:
    user_id = UUID((await house.register("alice")).data["user"]["id"])
    await Users(house.database).set_state(user_id, state)
    right = await house.login("alice")
    assert (right.status, right.code) == (status, code)
    wrong = await house.login("alice", "wrong password")
    assert (wrong.status, wrong.code) == (401, "invalid_credentials")


async def test_the_second_factor(house: House) -> None:
    user_id = UUID((await house.register("alice")).data["user"]["id"])
    house.factor.codes[user_id] = "123456"
    first = await house.login("alice")
    assert (first.status, first.data) == (200, {"requiresTwoFactor": True})
    assert not first.cookies
    wrong = await house.login("alice", twoFactorCode="654321")
    assert (wrong.status, wrong.code) == (401, "invalid_two_factor_code")
    right = await house.login("alice", twoFactorCode="123456")
    assert right.data["accessToken"]


async def test_a_wrong_password_says_nothing_of_a_second_factor(house: House) -> None:
    user_id = UUID((await house.register("alice")).data["user"]["id"])
    house.factor.codes[user_id] = "123456"
    answer = await house.login("alice", "wrong password", twoFactorCode="123456")
    assert (answer.status, answer.code) == (401, "invalid_credentials")


async def test_codes_cannot_be_guessed_by_who_has_the_password(house: House) -> None:
    user_id = UUID((await house.register("alice")).data["user"]["id"])
    house.factor.codes[user_id] = "123456"
    for number in range(5):
        await house.login("alice", twoFactorCode=f"{number:06}")
    assert (await house.login("alice", twoFactorCode="123456")).status == 429


async def test_an_old_hash_is_replaced(house: House) -> None:
    await house.register("alice")
    old = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1, type=Type.ID).hash(PASSWORD)
    await house.database.execute("UPDATE users SET password_hash = $1", old)
    assert (await house.login("alice")).status == 200
    await house.errands.finished()
    new = await house.database.fetch_value("SELECT password_hash FROM users")
    assert new.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert (await house.login("alice")).status == 200


async def test_a_crowd_is_told_to_come_back(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house.passwords, "_capacity", 2)
    answers = await asyncio.gather(*(house.login(f"name{number}") for number in range(10)))
    assert {answer.status for answer in answers} == {401, 503}
    refused = next(answer for answer in answers if answer.status == 503)
    assert (refused.code, refused.headers["Retry-After"]) == ("unavailable", "2")


async def test_failures_are_audited_without_what_was_typed(house: House) -> None:
    user_id = (await house.register("alice")).data["user"]["id"]
    await house.login("alice", "wrong password")
    await house.login("my-password-by-mistake", "wrong password")
    entries = await AuditLog(house.database).list(AuditFilter(action="session.refused"))
    assert {entry.subject_id for entry in entries} == {None, user_id}
    assert {entry.address for entry in entries} == {"127.0.0.1"}
    assert "my-password-by-mistake" not in str(entries)
    assert "wrong password" not in str(entries)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"username": "alice"}, "password"),
        ({"username": ["alice"], "password": PASSWORD}, "username"),
        ({"username": "alice", "password": PASSWORD, "rememberMe": 1}, "rememberMe"),
        ({"username": "alice", "password": PASSWORD, "twoFactorCode": 123456}, "twoFactorCode"),
        ({"username": "alice", "password": "x" * 101}, "password"),
        ({"username": "a" * 255, "password": PASSWORD}, "username"),
    ],
)
async def test_bad_input(house: House, body: object, field: str) -> None:
    answer = await house.call("POST", "/auth/login", body)
    assert (answer.status, answer.body["details"][0]["field"]) == (400, field)


async def test_without_the_database_one_is_told_to_come_back(house: House) -> None:
    signed_in = await house.register("alice")
    token = signed_in.data["accessToken"]
    await house.database.__aexit__(None, None, None)
    for answer in (
        await house.login("alice"),
        await house.register("bob"),
        await house.call("GET", "/auth/session", token=token),
        await house.call("POST", "/auth/refresh", refresh=refresh_of(signed_in)),
    ):
        assert (answer.status, answer.code) == (503, "unavailable")
        assert answer.headers["Retry-After"]


async def test_a_password_that_is_changed_while_it_is_checked_opens_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checking takes long; the session would outlive the end of all that the old password opened."""
    token = (await house.register("alice")).data["accessToken"]
    is_correct = house.passwords.is_correct

    async def checked_during_a_change(password: str, password_hash: str | None) -> bool:
        monkeypatch.setattr(house.passwords, "is_correct", is_correct)
        body = {"currentPassword": PASSWORD, "newPassword": "another good password"}
        assert (await house.call("PATCH", "/auth/password", body, token)).status == 200
        return await is_correct(password, password_hash)

    monkeypatch.setattr(house.passwords, "is_correct", checked_during_a_change)
    answer = await house.login("alice")
    assert (answer.status, answer.code) == (401, "invalid_credentials")
    assert not answer.cookies
    assert len((await house.call("GET", "/auth/sessions", token=token)).data) == 1
