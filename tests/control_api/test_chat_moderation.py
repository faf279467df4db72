"""Bans, moderators, blocked terms and held messages over HTTP: rules, authority, bad input."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, cast

import pytest

from chat.errors import Refusal
from control_api.routes.chat import MODERATE, ChatRoutes
from control_api.routes.chat_moderation import ChatModerationRoutes
from mediaserver.chat_api_ports import explained
from storage.database import Database
from storage.ids import new_id
from storage.repositories import Users, UserState
from tests.control_api.chat_world import ChatWorld, chat_world

NOBODY = str(new_id())
Request = tuple[str, str, Any]

MODERATOR_CALLS: list[Request] = [
    ("DELETE", "/messages", None),
    ("DELETE", f"/messages/{NOBODY}", None),
    ("GET", "/bans", None),
    ("POST", "/bans", {"username": "carol"}),
    ("DELETE", "/bans/CAROL", None),
    ("GET", "/moderators", None),
    ("GET", "/blocked-terms", None),
    ("PUT", "/blocked-terms", {"terms": []}),
    ("GET", "/held-messages", None),
    ("POST", f"/held-messages/{NOBODY}/allow", None),
    ("POST", f"/held-messages/{NOBODY}/deny", None),
    ("PUT", "/chat-settings", {}),
    ("PUT", "/pinned-message", {"messageId": NOBODY}),
    ("DELETE", "/pinned-message", None),
    ("GET", "/chatters", None),
]
OWNER_CALLS: list[Request] = [("PUT", "/moderators/CAROL", None), ("DELETE", "/moderators/CAROL", None)]


@pytest.fixture
async def world(database: Database, aiohttp_client: Callable[..., Awaitable[Any]]) -> ChatWorld:
    return await chat_world(database, aiohttp_client)


async def refusal(world: ChatWorld, user: str | None, method: str, path: str, body: Any) -> tuple[int, Any]:
    return await world.call(method, path.replace("CAROL", world.id("carol")), user, json=body)


# Who may


async def test_others_moderate_nothing(world: ChatWorld) -> None:
    for request in MODERATOR_CALLS + OWNER_CALLS:
        code = "not_a_moderator" if request in MODERATOR_CALLS else "not_room_owner"
        assert await refusal(world, None, *request) == (401, "unauthorized"), request
        assert await refusal(world, "bob", *request) == (403, code), request
    assert not await world.audited()
    assert not world.sink.entries


def test_every_operation_is_asked_by_others() -> None:
    """A route that is added is added to the lists, too."""
    moderation = cast(Any, None)
    routes = [*ChatRoutes(moderation, moderation).routes()]
    routes += ChatModerationRoutes(moderation, moderation).routes()
    asked = {
        (method, re.sub(f"CAROL|{NOBODY}", "{}", path)) for method, path, _ in MODERATOR_CALLS + OWNER_CALLS
    }
    assert asked == {
        (route.method, re.sub(r"\{\w+\}", "{}", route.path).removeprefix("/rooms/{}"))
        for route in routes
        if route.scope == MODERATE
    }


async def test_moderators_of_the_room_and_of_the_server_do(world: ChatWorld) -> None:
    await world.make_moderator("bob")
    for user in ("alice", "bob", "mod", "admin"):
        for path in ("/bans", "/moderators", "/blocked-terms", "/held-messages", "/chatters"):
            await world.ok("GET", path, user)


async def test_moderators_are_made_by_the_owner_alone(world: ChatWorld) -> None:
    await world.make_moderator("bob")
    for user, request in product(("bob", "mod"), OWNER_CALLS):
        assert await refusal(world, user, *request) == (403, "not_room_owner")


async def test_a_moderator_who_is_timed_out_is_none(world: ChatWorld) -> None:
    await world.make_moderator("bob")
    await world.ok("POST", "/bans", json={"username": "bob", "durationSec": 60})
    for request in MODERATOR_CALLS:
        assert await refusal(world, "bob", *request) == (403, "not_a_moderator"), request


async def test_nobody_moderates_the_owner_or_staff_nor_moderators_each_other(world: ChatWorld) -> None:
    await world.make_moderator("bob")
    await world.make_moderator("carol")
    for name in ("alice", "mod", "admin", "carol"):
        refused = await world.call("POST", "/bans", "bob", json={"username": name})
        assert refused == (403, "cannot_moderate"), name
    await world.ok("POST", "/bans", "alice", json={"username": "carol"})


# Bans


async def test_a_ban_by_name_and_its_end(world: ChatWorld) -> None:
    ban = await world.ok("POST", "/bans", json={"username": "Bob", "reason": "spam"})
    assert datetime.fromisoformat(ban.pop("createdAt")).tzinfo is not None
    assert ban == {
        "userId": world.id("bob"),
        "username": "bob",
        "until": None,
        "reason": "spam",
        "shadow": False,
        "bannedBy": world.id("alice"),
    }
    [listed], _ = await world.page("/bans", "mod")
    assert listed["username"] == "bob"
    await world.ok("DELETE", f"/bans/{world.id('bob')}", "mod")
    assert (await world.page("/bans"))[0] == []
    refused = await world.call("DELETE", f"/bans/{world.id('bob')}", "mod")
    assert refused == (404, "ban_not_found")
    assert world.sink.kinds == ["user-banned", "user-unbanned"]
    assert await world.audited() == [("chat.ban", "127.0.0.1"), ("chat.unban", "127.0.0.1")]


async def test_a_timeout(world: ChatWorld) -> None:
    before = datetime.now(UTC)
    ban = await world.ok("POST", "/bans", json={"userId": world.id("bob"), "durationSec": 600})
    assert before < datetime.fromisoformat(ban["until"]) <= datetime.now(UTC) + timedelta(seconds=600)
    assert world.sink.kinds == ["user-timed-out"]


async def test_a_ban_takes_the_place_of_the_one_before(world: ChatWorld) -> None:
    await world.ok("POST", "/bans", json={"username": "bob", "durationSec": 1})
    await world.ok("POST", "/bans", json={"username": "bob"})
    [ban], _ = await world.page("/bans")
    assert ban["until"] is None


async def test_a_shadow_ban_is_told_to_nobody(world: ChatWorld) -> None:
    ban = await world.ok("POST", "/bans", json={"username": "bob", "shadow": True})
    assert ban["shadow"] is True
    assert not {"user-banned", "user-timed-out"} & set(world.sink.kinds)


async def test_bans_in_pages(world: ChatWorld) -> None:
    for name in ("bob", "carol"):
        await world.ok("POST", "/bans", json={"username": name})
    first, cursor = await world.page("/bans?limit=1")
    second, end = await world.page(f"/bans?limit=1&cursor={cursor}")
    assert {ban["username"] for ban in first + second} == {"bob", "carol"}
    assert end is None


async def test_a_ban_that_cannot_be(world: ChatWorld) -> None:
    wrong: list[tuple[Any, str]] = [
        ({}, "userId"),
        ({"userId": NOBODY, "username": "bob"}, "userId"),
        ({"userId": "x"}, "userId"),
        ({"username": ""}, "username"),
        ({"username": "b\u0001b"}, "username"),
        ({"username": "bob", "durationSec": 0}, "durationSec"),
        ({"username": "bob", "durationSec": -1}, "durationSec"),
        ({"username": "bob", "durationSec": 14 * 24 * 3600 + 1}, "durationSec"),
        ({"username": "bob", "durationSec": 10**40}, "durationSec"),
        ({"username": "bob", "durationSec": "60"}, "durationSec"),
        ({"username": "bob", "reason": "a" * 501}, "reason"),
        ({"username": "bob", "reason": "a\u202eb"}, "reason"),
        ({"username": "bob", "reason": "a\nb"}, "reason"),
        ({"username": "bob", "shadow": "yes"}, "shadow"),
        ({"username": "bob", "until": None}, "until"),
    ]
    for body, field in wrong:
        assert await world.fields("POST", "/bans", json=body) == [field], body
    assert (await world.page("/bans"))[0] == []


async def test_nobody_cannot_be_banned(world: ChatWorld) -> None:
    for body in ({"userId": NOBODY}, {"username": "nobody"}, {"username": "no such name"}):
        assert await world.call("POST", "/bans", "alice", json=body) == (404, "user_not_found")
    await Users(world.database).set_state(world.users["bob"].id, UserState.DELETED)
    refused = await world.call("POST", "/bans", "alice", json={"username": "bob"})
    assert refused == (404, "user_not_found")


async def test_others_do_not_learn_who_has_an_account(world: ChatWorld) -> None:
    answers = [
        await world.call("POST", "/bans", "bob", json={"username": name}) for name in ("carol", "nobody")
    ]
    assert answers[0] == answers[1]


# Moderators


async def test_moderators_come_and_go(world: ChatWorld) -> None:
    path = f"/moderators/{world.id('bob')}"
    for _ in range(2):
        await world.ok("PUT", path)
    [listed], end = await world.page("/moderators", "bob")
    assert datetime.fromisoformat(listed.pop("createdAt")).tzinfo is not None
    assert listed == {
        "userId": world.id("bob"),
        "username": "bob",
        "displayName": world.users["bob"].display_name,
        "addedBy": world.id("alice"),
    }
    assert end is None
    await world.ok("DELETE", path)
    assert (await world.page("/moderators"))[0] == []
    assert world.sink.kinds == ["moderator-added", "moderator-removed"]


async def test_a_moderator_is_somebody(world: ChatWorld) -> None:
    for user in (NOBODY, "bob", "x"):
        for method in ("PUT", "DELETE"):
            assert await world.call(method, f"/moderators/{user}", "alice") == (404, "user_not_found")
    refused = await world.call("DELETE", f"/moderators/{world.id('bob')}", "alice")
    assert refused == (404, "user_not_found")


async def test_the_owner_and_who_is_banned_cannot_be_moderators(world: ChatWorld) -> None:
    await world.ok("POST", "/bans", json={"username": "bob"})
    for name in ("alice", "bob"):
        refused = await world.call("PUT", f"/moderators/{world.id(name)}", "alice")
        assert refused == (403, "cannot_moderate")


# Blocked terms


async def test_blocked_terms_are_replaced(world: ChatWorld) -> None:
    assert await world.ok("GET", "/blocked-terms") == {"terms": []}
    terms = [
        {"text": "bad word", "isRegex": False, "action": "refuse"},
        {"text": r"\bspa+m ", "isRegex": True, "action": "hold"},
    ]
    assert await world.ok("PUT", "/blocked-terms", json={"terms": terms}) == {"terms": terms}
    assert await world.ok("GET", "/blocked-terms", "mod") == {"terms": terms}
    await world.ok("PUT", "/blocked-terms", json={"terms": [{"text": "other"}]})
    only = {"text": "other", "isRegex": False, "action": "refuse"}
    assert await world.ok("GET", "/blocked-terms") == {"terms": [only]}


async def test_a_pattern_that_is_none_is_named(world: ChatWorld) -> None:
    for pattern in ("(", "a{2000}", "(?<=a)b", "[z-a]", "x*", "\\"):
        terms = [{"text": "fine"}, {"text": pattern, "isRegex": True}]
        status, body, _ = await world.api.call(
            "PUT", f"/rooms/{world.room}/blocked-terms", "alice", json={"terms": terms}
        )
        assert (status, body["code"]) == (400, "bad_pattern"), pattern
        assert [detail["field"] for detail in body["details"]] == ["terms[1].text"]
    assert await world.ok("GET", "/blocked-terms") == {"terms": []}


async def test_terms_that_cannot_be(world: ChatWorld) -> None:
    wrong: list[tuple[Any, str]] = [
        (None, "terms"),
        ([{"text": ""}], "terms[0].text"),
        ([{"text": "  "}], "terms[0].text"),
        ([{"text": "a" * 201}], "terms[0].text"),
        ([{"text": "a\u200eb"}], "terms[0].text"),
        ([{"text": "a\u0007b", "isRegex": True}], "terms[0].text"),
        ([{"text": "a", "action": "burn"}], "terms[0].action"),
        ([{"text": "a"}, {"text": " a "}], "terms[1].text"),
        ([{"text": str(number)} for number in range(501)], "terms"),
    ]
    for terms, field in wrong:
        assert await world.fields("PUT", "/blocked-terms", json={"terms": terms}) == [field], terms
    assert await world.ok("GET", "/blocked-terms") == {"terms": []}


# Messages that wait


async def test_a_held_message_is_allowed(world: ChatWorld) -> None:
    message = await world.hold("see example.com")
    assert await world.shown() == []
    [held], _ = await world.page("/held-messages", "mod")
    assert (held["id"], held["message"], held["reason"]) == (message, "see example.com", "link")
    await world.ok("POST", f"/held-messages/{message}/allow")
    assert await world.shown() == ["see example.com"]
    assert world.sink.kinds == ["new-message"]
    for decision in ("allow", "deny"):
        refused = await world.call("POST", f"/held-messages/{message}/{decision}", "alice")
        assert refused == (404, "message_not_found")


async def test_a_held_message_is_denied(world: ChatWorld) -> None:
    message = await world.hold("see example.com")
    await world.ok("POST", f"/held-messages/{message}/deny", "mod")
    assert (await world.page("/held-messages"))[0] == []
    assert await world.shown() == []
    assert await world.audited() == [("chat.deny", "127.0.0.1")]
    assert world.sink.kinds == ["held-denied"]


async def test_held_messages_in_pages(world: ChatWorld) -> None:
    messages = [await world.hold(f"message {number}") for number in range(3)]
    first, cursor = await world.page("/held-messages?limit=2")
    second, end = await world.page(f"/held-messages?limit=2&cursor={cursor}")
    assert [held["id"] for held in first + second] == messages
    assert end is None


# Refusals of the chat as answers of the API


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("room_not_found", 404),
        ("user_not_found", 404),
        ("cannot_moderate", 403),
        ("bad_pattern", 400),
        ("busy", 503),
        ("unavailable", 503),
    ],
)
def test_a_refusal_becomes_an_answer(code: str, status: int) -> None:
    error = explained(Refusal(code, "No.", 0.2))
    assert (error.status, error.code, error.headers) == (status, code, {"Retry-After": "1"})
