"""What becomes of accounts and rooms takes effect at once on those who are connected."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.chat.clients import Chat, chatting
from tests.chat.live_chat import Live, Person, unique
from tests.control_api.live_api import PASSWORD
from tests.control_api.people_online import Caller

pytestmark = pytest.mark.slow


async def test_who_signs_out_loses_the_connection(live: Live) -> None:
    room = await live.room()
    person, other = await live.newcomer(), await live.person("ben")
    async with live.chat(person) as chat, live.chat(other) as stays:
        await chat.join(room)
        await stays.join(room)
        await person.get("POST", "/auth/logout")
        assert await chat.over() == 3000
        await stays.heard("viewer-left", username=person.name)
        await stays.settle()


async def test_a_key_that_is_revoked_closes_what_it_opened(live: Live) -> None:
    person, room = await live.newcomer(), await live.room()
    key, other = [
        await person.get("POST", "/api-keys", {"name": name, "scopes": ["chat:write"]})
        for name in ("one", "other")
    ]

    def by(made: dict[str, Any], query: str = "") -> AbstractAsyncContextManager[Chat]:
        headers = {} if query else {"Authorization": f"Bearer {made['key']}"}
        return chatting(live.url + query, headers)

    keyed = Person(person.name, Caller(live.server.base_url, key["key"]), person.id)
    query = f"?ticket={(await keyed.get('POST', '/chat/tickets'))['ticket']}"
    async with by(key) as first, by(key, query) as second, by(other) as stays:
        for chat in (first, second, stays):
            await chat.join(room)
        await person.get("DELETE", f"/api-keys/{key['id']}")
        assert [await chat.over() for chat in (first, second)] == [3000, 3000]
        await stays.say(room, unique())


async def test_another_session_of_the_same_user_stays(live: Live) -> None:
    room, person = await live.room(), await live.newcomer()
    elsewhere = Caller(live.server.base_url)
    login = {"username": person.name, "password": PASSWORD}
    elsewhere.token = (await asyncio.to_thread(elsewhere.get, "POST", "/auth/login", login))["accessToken"]
    async with live.chat(person) as chat, live.chat(Person(person.name, elsewhere, person.id)) as stays:
        await chat.join(room)
        await stays.join(room)
        await person.get("POST", "/auth/logout")
        assert await chat.over() == 3000
        await stays.say(room, unique())


async def test_an_account_that_is_suspended_loses_all_connections(live: Live) -> None:
    room, person = await live.room(), await live.newcomer()
    ticket = (await person.get("POST", "/chat/tickets"))["ticket"]
    async with live.chat(person) as first, live.chat(person) as second:
        await first.join(room)
        await second.join(room)
        chief = await live.staff("chief", "superadmin")
        await chief.get("PATCH", f"/admin/users/{person.id}", {"state": "suspended", "reason": "spam"})
        assert [await first.over(), await second.over()] == [3000, 3000]
    assert (await live.turned_away(f"?ticket={ticket}"))[0] == 401
    assert (await live.turned_away("", person.headers))[0] == 401


async def test_staff_moderate_everywhere(live: Live) -> None:
    room = await live.room()
    chief = await live.staff("chief", "superadmin")
    async with live.chat(chief) as chat, live.inside("ben", room) as ben:
        assert (await chat.join(room))["you"]["role"] == "staff"
        await ben.say(room, unique())
        assert (await chat.ask("clear-chat", roomId=room))["t"] == "ack"
        await ben.heard("chat-cleared")
        ana = await live.person("ana")
        assert await ana.code("POST", f"/rooms/{room}/bans", {"userId": chief.id}) == "cannot_moderate"


async def test_a_room_that_becomes_private_puts_its_visitors_out(live: Live) -> None:
    room, ana = await live.room(), await live.person("ana")
    async with (
        live.inside("ben", room) as ben,
        live.inside(None, room) as guest,
        live.inside("ana", room) as owner,
    ):
        await ana.get("PATCH", f"/rooms/{room}", {"visibility": "private"})
        for chat in (ben, guest):
            assert (await chat.heard("left"))["code"] == "closed"
            assert await chat.refused("join-room", roomId=room) in ("private_room", "room_not_found")
            assert await chat.refused("chat-message", roomId=room, message="x") in (
                "not_joined",
                "sign_in_required",
            )
        said = await owner.say(room, unique())
        await owner.heard("new-message", id=said["messageId"])
        await ben.settle()
        assert not ben.all("new-message")


async def test_who_is_blocked_by_the_owner_is_put_out(live: Live) -> None:
    room, ana, person = await live.room(), await live.person("ana"), await live.newcomer()
    async with live.chat(person) as chat:
        await chat.join(room)
        await ana.get("POST", f"/users/{person.id}/block")
        assert (await chat.heard("left"))["code"] == "closed"
        assert await chat.refused("join-room", roomId=room) in ("blocked", "room_not_found")


async def test_a_room_that_is_deleted_puts_all_out(live: Live) -> None:
    room, ana = await live.room(), await live.person("ana")
    async with live.inside("ben", room) as ben, live.inside("ana", room) as owner:
        await ana.get("DELETE", f"/rooms/{room}")
        for chat in (ben, owner):
            assert (await chat.heard("left"))["code"] == "closed"
            assert await chat.refused("join-room", roomId=room) == "room_not_found"
