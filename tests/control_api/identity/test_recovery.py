"""Verifying addresses, forgotten and changed passwords."""

import asyncio

import pytest

from storage.repositories.audit import AuditFilter, AuditLog
from tests.control_api.identity.house import PASSWORD, Answer, House, refresh_of

NEW = "another good password"
RESET, VERIFY = "A new password", "Verify your address"


async def verified(house: House) -> bool:
    return bool(await house.database.fetch_value("SELECT email_verified_at IS NOT NULL FROM users"))


async def forgot(house: House, email: str = "alice@example.org") -> Answer:
    answer = await house.call("POST", "/auth/password/forgot", {"email": email})
    await house.errands.finished()
    return answer


async def reset(house: House, code: str, email: str = "alice@example.org", password: str = NEW) -> Answer:
    return await house.call(
        "POST", "/auth/password/reset", {"email": email, "code": code, "password": password}
    )


async def verify(house: House, code: str | None, email: str = "alice@example.org") -> Answer:
    body = {"email": email} if code is None else {"email": email, "code": code}
    answer = await house.call("POST", "/auth/verify-email", body)
    await house.errands.finished()
    return answer


def other_than(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


async def test_an_address_is_verified_by_the_mailed_code(house: House) -> None:
    await house.register()
    await house.errands.finished()
    code = house.mailbox.code(VERIFY)
    assert (await verify(house, other_than(code))).code == "invalid_request"
    assert not await verified(house)
    assert (await verify(house, code, "ALICE@Example.org")).status == 200
    assert await verified(house)
    assert (await house.login()).data["user"]["verified"] is True
    assert (await verify(house, code)).status == 400


async def test_another_code_can_be_mailed(house: House) -> None:
    await house.register()
    await house.errands.finished()
    assert (await verify(house, None)).status == 200
    assert len(house.mailbox.mails) == 2
    assert (await verify(house, house.mailbox.code(VERIFY))).status == 200
    await verify(house, None)
    assert len(house.mailbox.mails) == 2


async def test_nobodys_mailbox_is_filled(house: House) -> None:
    await house.register()
    for _ in range(10):
        await forgot(house)
        await verify(house, None)
    assert [subject for _, subject, _ in house.mailbox.mails].count(RESET) == 3
    assert [subject for _, subject, _ in house.mailbox.mails].count(VERIFY) == 3


async def test_a_forgotten_password_is_set_anew(house: House) -> None:
    signed_in = await house.register()
    await forgot(house)
    code = house.mailbox.code(RESET)
    answer = await reset(house, code)
    assert answer.status == 200
    assert (await house.login("alice", PASSWORD)).status == 401
    assert (await house.login("alice", NEW)).status == 200
    assert (await house.call("GET", "/auth/session", token=signed_in.data["accessToken"])).status == 401
    assert (await house.call("POST", "/auth/refresh", refresh=refresh_of(signed_in))).status == 401
    assert await verified(house)
    await house.errands.finished()
    assert house.mailbox.mails[-1][:2] == ("alice@example.org", "Your password was changed")
    assert (await reset(house, code)).status == 400


async def test_the_answers_do_not_tell_who_exists(house: House) -> None:
    await house.register()
    known, unknown = await forgot(house), await forgot(house, "nobody@example.org")
    assert (known.status, known.body) == (unknown.status, unknown.body)
    assert (await forgot(house, "no address")).body == known.body
    known, unknown = await verify(house, None), await verify(house, None, "nobody@example.org")
    assert (known.status, known.body) == (unknown.status, unknown.body)
    wrong = other_than(house.mailbox.code(RESET))
    known, unknown = await reset(house, wrong), await reset(house, wrong, "nobody@example.org")
    assert (known.status, known.body) == (unknown.status, unknown.body) == (400, known.body)
    wrong = other_than(house.mailbox.code(VERIFY))
    known, unknown = await verify(house, wrong), await verify(house, wrong, "nobody@example.org")
    assert (known.status, known.body) == (unknown.status, unknown.body) == (400, known.body)


async def test_a_code_is_good_for_five_tries(house: House) -> None:
    await house.register()
    await forgot(house)
    code = house.mailbox.code(RESET)
    for _ in range(5):
        assert (await reset(house, other_than(code))).status == 400
    assert (await reset(house, code)).status == 400
    assert (await house.login()).status == 200


async def test_a_code_works_once_however_many_try(house: House) -> None:
    await house.register()
    await forgot(house)
    code = house.mailbox.code(RESET)
    answers = await asyncio.gather(*(reset(house, code, password=f"{NEW} {n}") for n in range(3)))
    assert sorted(answer.status for answer in answers) == [200, 400, 400]


async def test_a_code_is_for_one_purpose_and_one_account(house: House) -> None:
    await house.register()
    await house.register("bob")
    await house.errands.finished()
    await forgot(house)
    assert (await reset(house, house.mailbox.code(RESET), "bob@example.org")).status == 400
    code = house.mailbox.code(RESET)
    assert (await verify(house, code)).status == 400


async def test_a_code_grows_old(house: House) -> None:
    await house.register()
    await forgot(house)
    await house.database.execute("UPDATE one_time_codes SET expires_at = now() - interval '1 second'")
    assert (await reset(house, house.mailbox.code(RESET))).status == 400


async def test_banned_users_get_no_code(house: House) -> None:
    await house.register()
    await house.errands.finished()
    await house.database.execute("UPDATE users SET state = 'banned'")
    await forgot(house)
    assert RESET not in [subject for _, subject, _ in house.mailbox.mails]


async def test_changing_the_password_ends_the_other_sessions(house: House) -> None:
    other = await house.register()
    mine = (await house.login()).data["accessToken"]
    body = {"currentPassword": PASSWORD, "newPassword": NEW}
    answer = await house.call("PATCH", "/auth/password", body, token=mine)
    assert answer.status == 200
    assert (await house.call("GET", "/auth/session", token=mine)).status == 200
    assert (await house.call("GET", "/auth/session", token=other.data["accessToken"])).status == 401
    assert (await house.login("alice", NEW)).status == 200
    assert (await house.login("alice", PASSWORD)).status == 401


async def test_changing_needs_the_password_and_cannot_be_guessed(house: House) -> None:
    token = (await house.register()).data["accessToken"]
    body = {"currentPassword": "wrong password", "newPassword": NEW}
    for _ in range(5):
        answer = await house.call("PATCH", "/auth/password", body, token=token)
        assert (answer.status, answer.code) == (403, "wrong_password")
    answer = await house.call("PATCH", "/auth/password", body | {"currentPassword": PASSWORD}, token=token)
    assert answer.status == 429
    assert (await house.login()).status == 200
    refused = await AuditLog(house.database).list(AuditFilter(action="password.refused"))
    assert len(refused) == 5 and {str(each.actor_id) for each in refused} == {refused[0].subject_id}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"currentPassword": PASSWORD, "newPassword": "short"}, "newPassword"),
        ({"currentPassword": PASSWORD, "newPassword": "x" * 101}, "newPassword"),
        ({"currentPassword": PASSWORD, "newPassword": "ALICE@example.org"}, "newPassword"),
        ({"newPassword": NEW}, "currentPassword"),
        ({"currentPassword": PASSWORD, "newPassword": NEW, "userId": "x"}, "userId"),
    ],
)
async def test_bad_input(house: House, body: object, field: str) -> None:
    token = (await house.register()).data["accessToken"]
    answer = await house.call("PATCH", "/auth/password", body, token=token)
    assert (answer.status, answer.body["details"][0]["field"]) == (400, field)


async def test_changing_needs_somebody(house: House) -> None:
    body = {"currentPassword": PASSWORD, "newPassword": NEW}
    assert (await house.call("PATCH", "/auth/password", body)).status == 401


@pytest.mark.parametrize("code", ["12345", "1234567", "12345x", "12345\n", "١٢٣٤٥٦"])
async def test_what_is_no_code_is_bad_input(house: House, code: str) -> None:
    answer = await reset(house, code)
    assert (answer.status, answer.body["details"][0]["field"]) == (400, "code")


async def test_what_happens_to_passwords_is_audited_without_them(house: House) -> None:
    token = (await house.register()).data["accessToken"]
    await forgot(house)
    await reset(house, other_than(house.mailbox.code(RESET)))
    await reset(house, house.mailbox.code(RESET))
    token = (await house.login("alice", NEW)).data["accessToken"]
    body = {"currentPassword": NEW, "newPassword": PASSWORD}
    await house.call("PATCH", "/auth/password", body, token=token)
    entries = await AuditLog(house.database).list(AuditFilter(), limit=100)
    actions = {entry.action for entry in entries}
    assert actions >= {"password.reset_asked", "reset_password.refused", "password.reset", "password.changed"}
    assert NEW not in str(entries)
    assert house.mailbox.code(RESET) not in str([entry.details for entry in entries])


async def test_who_knows_only_the_old_password_cannot_undo_a_reset(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old password was right when it was looked at, but not any more when the new one would be set."""
    token = (await house.register()).data["accessToken"]
    await forgot(house)
    code = house.mailbox.code(RESET)
    hash_password = house.passwords.hash

    async def hashed_during_a_reset(password: str) -> str:
        monkeypatch.setattr(house.passwords, "hash", hash_password)
        assert (await reset(house, code)).status == 200
        return await hash_password(password)

    monkeypatch.setattr(house.passwords, "hash", hashed_during_a_reset)
    body = {"currentPassword": PASSWORD, "newPassword": "what a thief would like"}
    answer = await house.call("PATCH", "/auth/password", body, token)
    assert (answer.status, answer.code) == (403, "wrong_password")
    assert (await house.login(password="what a thief would like")).status == 401
    assert (await house.login(password=NEW)).status == 200
