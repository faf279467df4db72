"""Refreshing, signing out, and the list of devices; what stolen tokens are worth."""

import asyncio
from uuid import UUID

import pytest

from control_api.identity.tokens import AccessTokens, Algorithm
from storage.bus import ChangesMissed, UserChanged
from storage.ids import new_id
from storage.repositories.audit import AuditFilter, AuditLog
from storage.repositories.users import Role, Users, UserState
from tests.control_api.identity.house import PASSWORD, Answer, House, refresh_of


async def is_signed_in(house: House, token: str) -> bool:
    answer = await house.call("GET", "/auth/session", token=token)
    assert answer.status in (200, 401)
    return answer.status == 200


async def refreshed(house: House, token: str) -> Answer:
    return await house.call("POST", "/auth/refresh", refresh=token)


async def age_rotation(house: House) -> None:
    """As if the last exchange was a while ago."""
    await house.database.execute("UPDATE sessions SET rotated_at = rotated_at - interval '11 seconds'")


async def test_a_refresh_gives_new_tokens(house: House) -> None:
    signed_in = await house.register()
    answer = await refreshed(house, refresh_of(signed_in))
    assert answer.status == 200
    assert refresh_of(answer) != refresh_of(signed_in)
    assert await is_signed_in(house, answer.data["accessToken"])
    assert (await refreshed(house, refresh_of(answer))).status == 200


async def test_an_old_token_ends_the_session_for_everybody(house: House) -> None:
    signed_in = await house.register()
    first = refresh_of(signed_in)
    current = await refreshed(house, first)
    await age_rotation(house)
    thief = await refreshed(house, first)
    assert (thief.status, thief.code) == (401, "invalid_refresh_token")
    assert not thief.cookies
    assert (await refreshed(house, refresh_of(current))).status == 401
    assert not await is_signed_in(house, current.data["accessToken"])
    [entry] = await AuditLog(house.database).list(AuditFilter(action="session.token_reused"))
    assert str(entry.actor_id) == signed_in.data["user"]["id"]


async def test_a_token_from_long_ago_ends_the_session_as_well(house: House) -> None:
    first = refresh_of(await house.register())
    current = first
    for _ in range(3):
        current = refresh_of(await refreshed(house, current))
    assert (await refreshed(house, first)).status == 401
    assert (await refreshed(house, current)).status == 401


async def test_only_that_session_ends(house: House) -> None:
    first = refresh_of(await house.register())
    other = await house.login()
    await refreshed(house, first)
    await age_rotation(house)
    await refreshed(house, first)
    assert (await refreshed(house, refresh_of(other))).status == 200


async def test_two_tabs_at_once_do_not_end_the_session(house: House) -> None:
    first = refresh_of(await house.register())
    answers = await asyncio.gather(*(refreshed(house, first) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409, 409]
    winner = next(answer for answer in answers if answer.status == 200)
    for loser in answers:
        if loser is not winner:
            assert loser.code == "refresh_just_used"
            assert not loser.cookies
    assert (await refreshed(house, refresh_of(winner))).status == 200


@pytest.mark.parametrize("token", ["", "x", "x" * 86, "é", "x" * 5000])
async def test_what_was_never_a_token(house: House, token: str) -> None:
    answer = await refreshed(house, token)
    assert (answer.status, answer.code) == (401, "invalid_refresh_token")


async def test_without_a_cookie(house: House) -> None:
    assert (await house.call("POST", "/auth/refresh")).status == 401


async def test_an_access_token_is_no_refresh_token_nor_the_other_way_round(house: House) -> None:
    signed_in = await house.register()
    assert (await refreshed(house, signed_in.data["accessToken"])).status == 401
    answer = await house.call("GET", "/auth/session", token=refresh_of(signed_in))
    assert (answer.status, answer.code) == (401, "invalid_token")


async def test_an_expired_session_is_over(house: House) -> None:
    signed_in = await house.register()
    await house.database.execute(
        "UPDATE sessions SET created_at = now() - interval '2 days', expires_at = now() - interval '1 day'"
    )
    assert (await refreshed(house, refresh_of(signed_in))).status == 401
    assert not await is_signed_in(house, signed_in.data["accessToken"])


async def test_a_token_that_ran_out_does_not_stand_in_the_way_of_its_refresh(house: House) -> None:
    token = refresh_of(await house.register())
    headers = {"Authorization": "Bearer expired", "Cookie": f"refresh={token}"}
    assert (await house.call("POST", "/auth/refresh", headers=headers)).status == 200
    assert (await house.call("GET", "/auth/session", token="expired")).status == 401


async def test_another_sites_page_cannot_refresh(house: House) -> None:
    token = refresh_of(await house.register())
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        answer = await house.call("POST", "/auth/refresh", refresh=token, headers=headers)
        assert (answer.status, answer.code) == (403, "foreign_origin")
    assert (await refreshed(house, token)).status == 200


async def test_signing_out(house: House) -> None:
    signed_in = await house.register()
    answer = await house.call("POST", "/auth/logout", refresh=refresh_of(signed_in))
    assert answer.status == 200
    assert answer.cookies["refresh"].value == ""
    assert answer.cookies["refresh"]["max-age"] == "0"
    assert not await is_signed_in(house, signed_in.data["accessToken"])
    assert (await refreshed(house, refresh_of(signed_in))).status == 401


async def test_signing_out_by_access_token_and_without_anything(house: House) -> None:
    token = (await house.register()).data["accessToken"]
    assert (await house.call("POST", "/auth/logout", token=token)).status == 200
    assert not await is_signed_in(house, token)
    assert (await house.call("POST", "/auth/logout")).status == 200
    assert (await house.call("POST", "/auth/logout", token=token)).status == 200


async def test_the_devices(house: House) -> None:
    first = (await house.register()).data["accessToken"]
    body = {"username": "alice", "password": PASSWORD}
    agent = {"User-Agent": "Browser/1.0 " + "x" * 500}
    second = (await house.call("POST", "/auth/login", body, headers=agent)).data["accessToken"]
    devices = (await house.call("GET", "/auth/sessions", token=second)).data
    assert [device["isCurrent"] for device in devices] in ([True, False], [False, True])
    [current] = [device for device in devices if device["isCurrent"]]
    assert current["userAgent"].startswith("Browser/1.0 xxx")
    assert len(current["userAgent"]) == 300
    assert current["address"] == "127.0.0.1"
    [other] = [device for device in devices if not device["isCurrent"]]
    answer = await house.call("DELETE", f"/auth/sessions/{other['id']}", token=second)
    assert answer.status == 200
    assert not await is_signed_in(house, first)
    assert await is_signed_in(house, second)
    assert (await house.call("DELETE", f"/auth/sessions/{other['id']}", token=second)).status == 404


async def test_devices_come_in_pages(house: House) -> None:
    token = (await house.register()).data["accessToken"]
    for _ in range(4):
        await house.login()
    seen: list[str] = []
    path = "/auth/sessions?limit=2"
    for _ in range(3):
        answer = await house.call("GET", path, token=token)
        seen += [device["id"] for device in answer.data]
        path = f"/auth/sessions?limit=2&cursor={answer.body['meta']['nextCursor']}"
    assert answer.body["meta"]["nextCursor"] is None
    assert len(seen) == len(set(seen)) == 5
    assert (await house.call("GET", "/auth/sessions?cursor=WzFd", token=token)).status == 400


async def test_nobody_ends_or_sees_anothers_sessions(house: House) -> None:
    await house.register("alice")
    bob = (await house.register("bob")).data["accessToken"]
    alices = await house.database.fetch_value(
        "SELECT sessions.id FROM sessions JOIN users ON users.id = user_id WHERE username = 'alice'"
    )
    for session_id in (alices, new_id(), "no-id", "..", "%00"):
        answer = await house.call("DELETE", f"/auth/sessions/{session_id}", token=bob)
        assert answer.status in (400, 404, 405)
    assert len((await house.call("GET", "/auth/sessions", token=bob)).data) == 1
    assert await house.database.fetch_value("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 2


async def test_at_most_a_hundred_devices(house: House) -> None:
    user_id = UUID((await house.register()).data["user"]["id"])
    for _ in range(105):
        await house.sessions.open(user_id, "192.0.2.1", "test", False)
    assert await house.database.fetch_value("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 100


@pytest.mark.parametrize("path", ["/auth/session", "/auth/sessions"])
async def test_who_has_not_signed_in_is_asked_to(house: House, path: str) -> None:
    answer = await house.call("GET", path)
    assert (answer.status, answer.code) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "credential", ["Basic YTpi", "Bearer", "Bearer  ", "bearer x y", "msk_x", "Bearer msk_x"]
)
async def test_a_wrong_credential_is_an_error_even_where_none_is_needed(
    house: House, credential: str
) -> None:
    body = {"email": "alice@example.org"}
    headers = {"Authorization": credential}
    answer = await house.call("POST", "/auth/password/forgot", body, headers=headers)
    assert (answer.status, answer.body["code"] in ("invalid_token", "invalid_api_key")) == (401, True)


async def test_tokens_of_the_other_algorithm_are_refused(house: House) -> None:
    user_id = UUID((await house.register()).data["user"]["id"])
    token = AccessTokens(b"x" * 32, Algorithm.HS256).issue(user_id, new_id(), Role.SUPERADMIN)
    assert not await is_signed_in(house, token)


async def test_a_genuine_token_for_anothers_session_is_worth_nothing(house: House) -> None:
    alice = await house.register("alice")
    await house.register("bob")
    bobs = await house.database.fetch_value(
        "SELECT sessions.id FROM sessions JOIN users ON users.id = user_id WHERE username = 'bob'"
    )
    token = house.access_tokens.issue(UUID(alice.data["user"]["id"]), bobs, Role.USER)
    assert not await is_signed_in(house, token)


@pytest.mark.parametrize("state", [UserState.SUSPENDED, UserState.BANNED, UserState.DELETED])
async def test_a_ban_counts_as_soon_as_it_is_told(house: House, state: UserState) -> None:
    signed_in = await house.register()
    token, user_id = signed_in.data["accessToken"], UUID(signed_in.data["user"]["id"])
    assert await is_signed_in(house, token)
    await Users(house.database).set_state(user_id, state)
    house.bus.publish(UserChanged(str(user_id)))
    assert not await is_signed_in(house, token)
    answer = await refreshed(house, refresh_of(signed_in))
    assert (answer.status, answer.code) == (401, "invalid_refresh_token")
    # A refused refresh of a banned user is no theft: after the ban the session goes on.
    await Users(house.database).set_state(user_id, UserState.ACTIVE)
    house.bus.publish(ChangesMissed())
    assert await is_signed_in(house, token)


async def test_the_role_is_todays_not_the_tokens(house: House) -> None:
    signed_in = await house.register()
    token, user_id = signed_in.data["accessToken"], UUID(signed_in.data["user"]["id"])
    assert (await house.call("GET", "/admin/audit", token=token)).status == 403
    await Users(house.database).set_role(user_id, Role.ADMIN)
    house.bus.publish(UserChanged(str(user_id)))
    assert (await house.call("GET", "/admin/audit", token=token)).status == 200
    stale = house.access_tokens.issue(
        user_id, await house.database.fetch_value("SELECT id FROM sessions"), Role.SUPERADMIN
    )
    await Users(house.database).set_role(user_id, Role.USER)
    house.bus.publish(UserChanged(str(user_id)))
    assert (await house.call("GET", "/admin/audit", token=stale)).status == 403


async def test_the_database_is_not_asked_each_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    signed_in = await house.register()
    user_id = UUID(signed_in.data["user"]["id"])
    session_id = await house.database.fetch_value("SELECT id FROM sessions")
    asked = 0
    state_of = house.states._sessions.state_of

    async def counted(session_id: UUID, user_id: UUID) -> object:
        nonlocal asked
        asked += 1
        return await state_of(session_id, user_id)

    monkeypatch.setattr(house.states._sessions, "state_of", counted)
    for _ in range(5):
        assert await house.states.role_of(user_id, session_id) is Role.USER
    assert asked == 1
    house.bus.publish(UserChanged(str(user_id)))
    assert await house.states.role_of(user_id, session_id) is Role.USER
    assert asked == 2


async def test_what_changes_while_the_database_is_asked_is_not_kept(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = UUID((await house.register()).data["user"]["id"])
    session_id = await house.database.fetch_value("SELECT id FROM sessions")
    state_of = house.states._sessions.state_of

    async def overtaken(session_id: UUID, user_id: UUID) -> object:
        answer = await state_of(session_id, user_id)
        await house.sessions.revoke(user_id, session_id, "192.0.2.1")
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(house.states._sessions, "state_of", overtaken)
        await house.states.role_of(user_id, session_id)
    assert await house.states.role_of(user_id, session_id) is None
