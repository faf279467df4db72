"""Making an account."""

import pytest

from storage.repositories.audit import AuditFilter, AuditLog
from tests.control_api.identity.house import PASSWORD, House, refresh_of


async def test_registering_makes_an_account_and_signs_in(house: House) -> None:
    answer = await house.register("Alice_1", displayName="Älice  ")
    assert answer.status == 201
    user = answer.data["user"]
    assert user["username"] == "Alice_1"
    assert user["email"] == "Alice_1@example.org"
    assert (user["displayName"], user["avatar"], user["verified"], user["role"]) == (
        "Älice",
        None,
        False,
        "user",
    )
    assert user["wallet"] == {"coins": 0, "gems": 0}
    cookie = answer.cookies["refresh"]
    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == ("/api/v1/auth", True, "Lax")
    assert int(cookie["max-age"]) == 30 * 24 * 3600
    session = await house.call("GET", "/auth/session", token=answer.data["accessToken"])
    assert session.data["user"] == user


async def test_the_display_name_is_the_user_name_when_not_given(house: House) -> None:
    assert (await house.register("alice", displayName=None)).data["user"]["displayName"] == "alice"


async def test_neither_password_nor_token_is_stored_or_audited(house: House) -> None:
    answer = await house.register()
    hashed = await house.database.fetch_value("SELECT password_hash FROM users")
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    dump = str(await house.database.fetch("SELECT * FROM sessions")) + str(
        await AuditLog(house.database).list(AuditFilter())
    )
    assert refresh_of(answer) not in dump
    assert PASSWORD not in dump


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"username": "ALICE", "email": "other@example.org"}, "username_taken", "username"),
        ({"username": "other", "email": "ALICE@EXAMPLE.org"}, "email_taken", "email"),
    ],
)
async def test_names_and_addresses_are_unique_whatever_their_case(
    house: House, changes: dict[str, object], code: str, field: str
) -> None:
    await house.register("alice")
    answer = await house.register("alice", **changes)
    assert (answer.status, answer.code) == (409, code)
    assert answer.body["details"][0]["field"] == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"username": "al"}, "username"),
        ({"username": "a" * 31}, "username"),
        ({"username": "аlice"}, "username"),  # noqa: RUF001 (its first letter is Cyrillic)
        ({"username": "alice\n"}, "username"),
        ({"username": "a'; DROP TABLE users; --"}, "username"),
        ({"username": "../alice"}, "username"),
        ({"password": "short12"}, "password"),
        ({"password": "x" * 101}, "password"),
        ({"password": "alice@example.org"}, "password"),
        ({"email": "no address"}, "email"),
        ({"email": "a@b@example.org"}, "email"),
        ({"email": "a\r\nBcc: x@example.org"}, "email"),
        ({"email": f"{'a' * 65}@example.org"}, "email"),
        ({"email": f"a@{'b' * 250}.org"}, "email"),
        ({"email": "a@-example.org"}, "email"),
        ({"email": "@example.org"}, "email"),
        ({"displayName": "x" * 51}, "displayName"),
        ({"displayName": "   "}, "displayName"),
        ({"displayName": "abc\u202egnp"}, "displayName"),
        ({"displayName": "a\tb"}, "displayName"),
        ({"displayName": "\u200d"}, "displayName"),
        ({"acceptTerms": False}, "acceptTerms"),
        ({"acceptTerms": "true"}, "acceptTerms"),
        ({"role": "admin"}, "role"),
        ({"username": 7}, "username"),
        ({"username": None}, "username"),
    ],
)
async def test_bad_input_is_refused_with_the_field_named(
    house: House, changes: dict[str, object], field: str
) -> None:
    answer = await house.register("alice", **changes)
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert answer.body["details"][0]["field"] == field
    assert await house.database.fetch_value("SELECT count(*) FROM users") == 0


async def test_addresses_are_normalised(house: House) -> None:
    answer = await house.register("alice", email="Alice@BÜCHER.example")
    assert answer.data["user"]["email"] == "Alice@xn--bcher-kva.example"


async def test_another_sites_page_cannot_register_anybody(house: House) -> None:
    body = {"email": "a@example.org", "username": "alice", "password": PASSWORD, "acceptTerms": True}
    answer = await house.call("POST", "/auth/register", body, headers={"Origin": "https://evil.example"})
    assert (answer.status, answer.code) == (403, "foreign_origin")


async def test_registering_is_audited(house: House) -> None:
    user_id = (await house.register()).data["user"]["id"]
    entries = await AuditLog(house.database).list(AuditFilter())
    assert {(entry.action, str(entry.actor_id)) for entry in entries} == {
        ("user.registered", user_id),
        ("session.opened", user_id),
    }
