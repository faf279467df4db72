"""The chat's history, settings, pinned message, tickets and who is here, over HTTP."""

import re
from collections.abc import Awaitable, Callable
from itertools import product
from typing import Any

import pytest

from control_api.ports import Chatter
from control_api.principal import Principal
from control_api.services.api_keys import Scope
from storage.database import Database
from storage.ids import new_id
from storage.repositories import Role, Users, UserState, Visibility
from tests.control_api.chat_world import ChatWorld, chat_world

NEW = {
    "slowModeSec": 0,
    "followersOnlySec": None,
    "subscribersOnly": False,
    "emoteOnly": False,
    "uniqueChat": False,
    "links": "allow",
}


@pytest.fixture
async def world(database: Database, aiohttp_client: Callable[..., Awaitable[Any]]) -> ChatWorld:
    return await chat_world(database, aiohttp_client)


# Tickets


async def test_a_ticket_is_good_once(world: ChatWorld) -> None:
    status, body, headers = await world.api.call("POST", "/chat/tickets", "bob")
    assert (status, body["data"]["expiresIn"]) == (200, 30)
    assert headers["Cache-Control"] == "no-store"
    redeemed = await world.tickets.redeem(body["data"]["ticket"])
    assert redeemed is not None
    assert redeemed.user_id == world.users["bob"].id
    assert await world.tickets.redeem(body["data"]["ticket"]) is None


async def test_a_ticket_needs_somebody(world: ChatWorld) -> None:
    status, body, _ = await world.api.call("POST", "/chat/tickets")
    assert (status, body["code"]) == (401, "unauthorized")


# History


async def test_history_in_pages(world: ChatWorld) -> None:
    for number in range(5):
        await world.say(f"message {number}")
    first, cursor = await world.page("/messages?limit=2", None)
    assert [message["message"] for message in first] == ["message 4", "message 3"]
    await world.say("meanwhile")
    second, cursor = await world.page(f"/messages?limit=2&cursor={cursor}", None)
    third, end = await world.page(f"/messages?limit=2&cursor={cursor}", None)
    assert [message["message"] for message in second + third] == ["message 2", "message 1", "message 0"]
    assert end is None


async def test_a_message_is_as_in_its_frame(world: ChatWorld) -> None:
    message_id = await world.say("hello <b>")
    [message] = (await world.page("/messages"))[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", message.pop("timestamp"))
    assert message == {
        "roomId": str(world.room),
        "offset": 1,
        "id": message_id,
        "userId": world.id("bob"),
        "username": "bob",
        "displayName": world.users["bob"].display_name,
        "badge": None,
        "message": "hello <b>",
        "replyTo": None,
        "mentions": [],
    }


async def test_a_room_is_found_by_its_slug_too(world: ChatWorld) -> None:
    await world.say("hello")
    for slug in ("kitchen", "KITCHEN"):
        _, body, _ = await world.api.call("GET", f"/rooms/{slug}/messages")
        assert [message["message"] for message in body["data"]] == ["hello"]


async def test_what_is_no_room(world: ChatWorld) -> None:
    rooms = ("bath", "..%2Fx", "%F0%9F%8D%9E", "a" * 300, str(new_id()), world.id("alice"))
    for room, path in product(rooms, ("messages", "chat-settings", "bans")):
        status, body, _ = await world.api.call("GET", f"/rooms/{room}/{path}", "alice")
        assert (status, body["code"]) == (404, "room_not_found"), room


async def test_pages_that_cannot_be(world: ChatWorld) -> None:
    for path in ("/messages", "/chatters", "/bans", "/held-messages"):
        for cursor in ("x", "WzBd", "Wy0xXQ", "WzFlOTld", "WyJhIl0", "W10"):
            assert await world.fields("GET", f"{path}?cursor={cursor}") == ["cursor"], (path, cursor)
        for limit in ("0", "101", "-1", "x"):
            assert await world.fields("GET", f"{path}?limit={limit}") == ["limit"], (path, limit)


async def test_who_may_not_watch_may_not_read(world: ChatWorld) -> None:
    await world.make_moderator("carol")
    codes = {Visibility.PRIVATE: "private_room", Visibility.FOLLOWERS: "followers_only"}
    for (visibility, code), path in product(codes.items(), ("/messages", "/chat-settings")):
        await world.show_to(visibility)
        for user in (None, "bob"):
            assert await world.call("GET", path, user) == (403, code)
        for user in ("alice", "admin", "carol"):
            await world.ok("GET", path, user)


async def test_a_private_room_is_no_room_for_who_guesses(world: ChatWorld) -> None:
    await world.show_to(Visibility.PRIVATE)
    for path in ("messages", "chat-settings", "bans", "chatters"):
        for slug in ("kitchen", "Kitchen", "bath"):
            status, body, _ = await world.api.call("GET", f"/rooms/{slug}/{path}", "bob")
            assert (status, body["code"]) == (404, "room_not_found")
    for path in ("/bans", "/chatters"):
        assert await world.call("GET", path, "bob") == (404, "room_not_found")
        await world.ok("GET", path, "mod")


async def test_who_was_blocked_may_not_read(world: ChatWorld) -> None:
    await world.database.execute(
        "INSERT INTO blocks VALUES ($1, $2)", world.users["alice"].id, world.users["bob"].id
    )
    assert await world.call("GET", "/messages", "bob") == (403, "blocked")


async def test_a_room_of_somebody_who_was_banned_is_not_there(world: ChatWorld) -> None:
    await world.make_moderator("carol")
    await Users(world.database).set_state(world.users["alice"].id, UserState.BANNED)
    for path in ("/messages", "/chat-settings", "/bans", "/chatters"):
        for user in ("bob", "carol"):
            assert await world.call("GET", path, user) == (404, "room_not_found")
        await world.ok("GET", path, "admin")


async def test_staff_moderates_where_the_owner_was_banned(world: ChatWorld) -> None:
    message = await world.say("bad")
    await Users(world.database).set_state(world.users["alice"].id, UserState.BANNED)
    await world.ok("DELETE", f"/messages/{message}", "mod")


# Deleting, clearing, pinning


async def test_a_deleted_message_is_gone(world: ChatWorld) -> None:
    first, _ = await world.say("one"), await world.say("two")
    await world.ok("DELETE", f"/messages/{first}")
    assert await world.shown() == ["two"]
    assert world.sink.kinds == ["message-deleted"]
    assert await world.call("DELETE", f"/messages/{first}", "alice") == (404, "message_not_found")


async def test_what_is_no_message(world: ChatWorld) -> None:
    for message in (str(new_id()), "x", world.id("alice")):
        assert await world.call("DELETE", f"/messages/{message}", "alice") == (404, "message_not_found")


async def test_a_message_of_another_room_is_none(world: ChatWorld) -> None:
    message = await world.say("hello")
    room = await world.database.fetch_value(
        "INSERT INTO rooms (id, owner_id, title) VALUES ($1, $2, 'Mine') RETURNING id",
        new_id(),
        world.users["bob"].id,
    )
    status, body, _ = await world.api.call("DELETE", f"/rooms/{room}/messages/{message}", "bob")
    assert (status, body["code"]) == (404, "message_not_found")
    assert await world.shown() == ["hello"]


async def test_a_cleared_chat_is_empty(world: ChatWorld) -> None:
    await world.say("one")
    await world.ok("DELETE", "/messages")
    assert await world.shown() == []
    await world.say("two")
    assert await world.shown() == ["two"]


async def test_a_message_is_pinned_and_unpinned(world: ChatWorld) -> None:
    message = await world.say("read this")
    await world.ok("PUT", "/pinned-message", json={"messageId": message})
    await world.ok("DELETE", "/pinned-message")
    assert world.sink.kinds == ["message-pinned", "message-unpinned"]
    await world.ok("DELETE", f"/messages/{message}")
    refused = await world.call("PUT", "/pinned-message", "alice", json={"messageId": message})
    assert refused == (404, "message_not_found")


# Settings


async def test_settings_of_a_new_room(world: ChatWorld) -> None:
    assert await world.ok("GET", "/chat-settings", None) == NEW


async def test_settings_are_replaced(world: ChatWorld) -> None:
    wanted = NEW | {"slowModeSec": 5, "followersOnlySec": 600, "emoteOnly": True, "links": "hold"}
    assert await world.ok("PUT", "/chat-settings", json=wanted) == wanted
    assert await world.ok("GET", "/chat-settings", "bob") == wanted
    assert world.sink.kinds == ["settings-changed"]
    assert await world.ok("PUT", "/chat-settings", json={"subscribersOnly": True}) == NEW | {
        "subscribersOnly": True
    }


async def test_settings_have_a_version(world: ChatWorld) -> None:
    path = f"/rooms/{world.room}/chat-settings"
    _, _, headers = await world.api.call("GET", path)
    guarded = {"If-Match": headers["ETag"]}
    status, _, changed = await world.api.call("PUT", path, "alice", json={"slowModeSec": 3}, headers=guarded)
    assert status == 200
    _, _, headers = await world.api.call("GET", path)
    assert headers["ETag"] == changed["ETag"] != guarded["If-Match"]
    status, body, _ = await world.api.call("PUT", path, "alice", json={"slowModeSec": 9}, headers=guarded)
    assert (status, body["code"]) == (412, "version_mismatch")
    assert (await world.ok("GET", "/chat-settings"))["slowModeSec"] == 3


async def test_settings_that_cannot_be(world: ChatWorld) -> None:
    wrong: list[tuple[str, Any]] = [
        ("slowModeSec", -1),
        ("slowModeSec", 1),
        ("slowModeSec", 2),
        ("slowModeSec", 121),
        ("slowModeSec", 3.5),
        ("slowModeSec", None),
        ("followersOnlySec", -1),
        ("followersOnlySec", 2**31),
        ("followersOnlySec", 10**30),
        ("links", "burn"),
        ("emoteOnly", 1),
        ("loud", True),
    ]
    for field, value in wrong:
        assert await world.fields("PUT", "/chat-settings", json={field: value}) == [field], value
    assert await world.ok("GET", "/chat-settings") == NEW


# Who is here


async def test_who_is_here_in_pages(world: ChatWorld) -> None:
    world.crowd.chatters = [Chatter(new_id(), name) for name in ("eve", "dan", "dan", "ann")]
    first, cursor = await world.page("/chatters?limit=2", "mod")
    second, end = await world.page(f"/chatters?limit=2&cursor={cursor}", "mod")
    assert [each["username"] for each in first + second] == ["ann", "dan", "dan", "eve"]
    assert {each["userId"] for each in first + second} == {str(each.user_id) for each in world.crowd.chatters}
    assert end is None


async def test_who_is_here_is_for_moderators(world: ChatWorld) -> None:
    assert await world.call("GET", "/chatters", "bob") == (403, "not_a_moderator")
    assert await world.call("GET", "/chatters") == (401, "unauthorized")
    await world.make_moderator("bob")
    await world.ok("GET", "/chatters", "bob")


# Who may call


async def test_an_api_key_needs_the_scope(world: ChatWorld) -> None:
    def key(*scopes: Scope) -> Principal:
        return Principal(world.users["alice"].id, Role.USER, None, frozenset(each.value for each in scopes))

    world.api.doorman.principals |= {
        "reader": key(Scope.CHAT_READ),
        "writer": key(Scope.CHAT_WRITE),
        "moderator": key(Scope.CHAT_MODERATE),
    }
    allowed = set()
    for name in ("reader", "writer", "moderator"):
        for method, path in (("GET", "messages"), ("GET", "bans"), ("DELETE", "messages")):
            status, body, _ = await world.api.call(method, f"/rooms/{world.room}/{path}", name)
            assert status == 200 or body["code"] == "missing_scope", body
            if status == 200:
                allowed.add((name, method, path))
        status, _, _ = await world.api.call("POST", "/chat/tickets", name)
        if status == 200:
            allowed.add((name, "POST", "tickets"))
    assert allowed == {
        ("reader", "GET", "messages"),
        ("writer", "POST", "tickets"),
        ("moderator", "GET", "bans"),
        ("moderator", "DELETE", "messages"),
    }
