"""Search, analytics, notifications and push subscriptions behind the real dispatcher."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest

from control_api.principal import Principal
from control_api.room_schemas import RoomViews
from control_api.routes.analytics import AnalyticsRoutes
from control_api.routes.notifications import NotificationsRoutes
from control_api.routes.push_subscriptions import PushSubscriptionsRoutes
from control_api.routes.search import SearchRoutes
from control_api.routing import Noun, Route
from control_api.services.analytics import AnalyticsService
from control_api.services.analytics_recording import AnalyticsRecorder
from control_api.services.notification_kinds import Kind
from control_api.services.notifications import Notifications
from control_api.services.push_subscriptions import PushSubscriptionService
from control_api.services.rooms import RoomsService
from control_api.services.search import SearchService
from control_api.services.web_push import WebPush, new_vapid_key
from storage.bus import Bus
from storage.database import Database
from storage.ids import new_id
from storage.repositories import Role, Rooms, Users
from storage.stream_keys import StreamKeyDigester
from tests.control_api.rooms_world import FakeMedia
from tests.control_api.sample import Sample
from tests.control_api.serving import serve
from tests.control_api.test_web_push import CONTACT, ENDPOINT, Browser, PushService


class NothingLive:
    def viewer_counts(self) -> Mapping[UUID, int]:
        return {}

    def is_live(self, room_id: UUID) -> bool:
        return False


class Together:
    """Several nouns as one."""

    def __init__(self, *nouns: Noun) -> None:
        self._nouns = nouns

    def routes(self) -> Sequence[Route]:
        return [route for noun in self._nouns for route in noun.routes()]


class World:
    """Alice has a room called Chess; "key" is an API key of hers that may read notifications."""

    def __init__(self, sample: Sample, database: Database, alice: UUID, room: UUID) -> None:
        self.call = sample.call
        self.notifications = Notifications(database, Bus())
        self.alice = alice
        self.room = room


@pytest.fixture
async def world(database: Database, aiohttp_client: Callable[..., Awaitable[Any]]) -> World:
    alice = (await Users(database).add("alice", "alice@example.com", "hash")).id
    room = await Rooms(database).add(alice, "Chess", "chess")
    rooms = RoomsService(database, StreamKeyDigester(b"secret"))
    nouns = Together(
        SearchRoutes(SearchService(database), RoomViews(FakeMedia())),
        AnalyticsRoutes(
            AnalyticsService(database, rooms), AnalyticsRecorder(database, NothingLive(), "node")
        ),
        NotificationsRoutes(Notifications(database, Bus())),
        PushSubscriptionsRoutes(
            PushSubscriptionService(database, WebPush(new_vapid_key(), CONTACT, PushService()))
        ),
    )
    sample = await serve(nouns, database, aiohttp_client)
    sample.doorman.principals |= {
        "alice": Principal(alice, Role.USER, new_id()),
        "bob": Principal(new_id(), Role.USER, new_id()),
        "key": Principal(alice, Role.USER, scopes=frozenset({"notifications:read"})),
    }
    return World(sample, database, alice, room)


async def test_anybody_may_search(world: World) -> None:
    status, answer, _ = await world.call("GET", "/search?q=che")
    assert (status, answer["success"], answer["meta"]) == (200, True, {"nextCursor": None})
    [hit] = answer["data"]
    assert (hit["type"], hit["room"]["title"], hit["room"]["isLive"]) == ("room", "Chess", False)
    assert hit["room"]["streamer"]["username"] == "alice"
    status, answer, _ = await world.call("GET", "/search?q=alice&type=user&limit=1")
    assert [hit["user"]["username"] for hit in answer["data"]] == ["alice"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("q=", 400),
        (f"q={'x' * 201}", 400),
        ("q=x&type=wallets", 400),
        ("q=x&type=", 400),
        ("q=x&type=ROOM", 400),
        ("q=x&type=room&type=user", 400),
        ("q=x&limit=0", 400),
        ("q=x&limit=101", 400),
        ("q=x&cursor=y", 400),
        ("q=x&unknown=1", 400),
        ("q=%00", 400),
        ("q=%ff%fe", 200),
        ("q=%ed%a0%80", 200),
        ("q=%27%3B+DROP+TABLE+users%3B--", 200),
        ("q=%26%7C%21%28%29%3A%2A", 200),
    ],
)
async def test_bad_searches(world: World, query: str, status: int) -> None:
    assert (await world.call("GET", f"/search?{query}"))[0] == status


async def test_notifications_are_read_and_counted(world: World) -> None:
    for number in range(3):
        await world.notifications.notify(world.alice, Kind.FOLLOW, {"n": number})
    _, answer, _ = await world.call("GET", "/notifications?limit=2", "key")
    assert [item["data"]["n"] for item in answer["data"]] == [2, 1] and answer["meta"]["nextCursor"]
    body = {"ids": [answer["data"][0]["id"]]}
    assert (await world.call("POST", "/notifications/read", "bob", json=body))[1]["data"] == {"count": 0}
    assert (await world.call("POST", "/notifications/read", "alice", json=body))[1]["data"] == {"count": 1}
    assert (await world.call("GET", "/notifications/unread-count", "key"))[1]["data"] == {"count": 2}
    await world.call("POST", "/notifications/read", "alice", json={"all": True})
    assert (await world.call("GET", "/notifications?unread=true", "alice"))[1]["data"] == []


@pytest.mark.parametrize(
    "body",
    [{}, {"ids": []}, {"ids": ["x"]}, {"all": False}, {"all": True, "ids": [str(new_id())]}, {"all": 1}, []],
)
async def test_what_marks_nothing_is_refused(world: World, body: Any) -> None:
    assert (await world.call("POST", "/notifications/read", "alice", json=body))[0] == 400


async def test_preferences_are_chosen_by_kind(world: World) -> None:
    chosen = {"kind": "follow", "inApp": False, "email": True, "push": True}
    path = "/notifications/preferences"
    status, answer, _ = await world.call("PUT", path, "alice", json={"preferences": [chosen]})
    assert status == 200 and chosen in answer["data"]["preferences"]
    assert (await world.call("GET", path, "alice"))[1]["data"] == answer["data"]
    assert len(answer["data"]["preferences"]) == len(Kind)
    for wrong in ({"kind": "spam"}, {"inApp": "yes"}, {"sms": True}):
        status, _, _ = await world.call("PUT", path, "alice", json={"preferences": [chosen | wrong]})
        assert status == 400
    assert (await world.call("PUT", path, "key", json={"preferences": []}))[0] == 403


async def test_preferences_have_versions(world: World) -> None:
    path = "/notifications/preferences"
    _, _, headers = await world.call("GET", path, "alice")
    seen = {"If-Match": headers["ETag"]}
    status, _, headers = await world.call("PUT", path, "alice", json={"preferences": []}, headers=seen)
    assert (status, headers["ETag"]) == (200, '"2"')
    status, answer, _ = await world.call("PUT", path, "alice", json={"preferences": []}, headers=seen)
    assert (status, answer["code"]) == (412, "version_mismatch")


async def test_a_browser_subscribes_with_the_servers_key(world: World) -> None:
    _, answer, _ = await world.call("GET", "/push-subscriptions/key")
    assert len(answer["data"]["key"]) == 87
    browser = Browser()
    keys = {"p256dh": browser.p256dh, "auth": browser.auth}
    body = {"endpoint": ENDPOINT, "expirationTime": None, "keys": keys}
    assert (await world.call("POST", "/push-subscriptions", "alice", json=body))[0] == 201
    local = body | {"endpoint": "https://127.0.0.1/"}
    status, answer, _ = await world.call("POST", "/push-subscriptions", "alice", json=local)
    assert (status, answer["details"][0]["field"]) == (400, "endpoint")
    query = {"endpoint": ENDPOINT}
    assert (await world.call("DELETE", "/push-subscriptions", "bob", params=query))[0] == 404
    assert (await world.call("DELETE", "/push-subscriptions", "alice", params=query))[0] == 200
    assert (await world.call("DELETE", "/push-subscriptions?endpoint=https://%00", "alice"))[0] == 400


async def test_a_subscription_of_an_account_that_is_gone_is_refused(world: World) -> None:
    browser = Browser()
    body = {"endpoint": ENDPOINT, "keys": {"p256dh": browser.p256dh, "auth": browser.auth}}
    assert (await world.call("POST", "/push-subscriptions", "bob", json=body))[0] == 401


async def test_players_of_anybody_report(world: World) -> None:
    event = {"roomId": str(world.room), "kind": "join", "protocol": "hls"}
    status, answer, _ = await world.call("POST", "/analytics/events", json={"events": [event]})
    assert (status, answer["data"]) == (202, {"count": 0})
    for wrong in ({"seconds": 61}, {"roomId": "x"}, {"kind": "x"}, {"more": 1}):
        status, answer, _ = await world.call("POST", "/analytics/events", json={"events": [event | wrong]})
        assert (status, answer["code"]) == (400, "invalid_request")


async def test_owners_see_curves(world: World) -> None:
    query = {"from": "2026-05-01T12:34:56+02:00", "to": "2026-05-02T00:00:00Z", "step": "hour"}
    status, answer, _ = await world.call("GET", f"/rooms/{world.room}/analytics", "alice", params=query)
    assert (status, answer["data"]["from"], answer["data"]["points"]) == (200, "2026-05-01T10:00:00Z", [])
    assert answer["data"]["total"]["averageViewers"] == 0
    for path in ("dashboard", "audience"):
        assert (await world.call("GET", f"/analytics/{path}", "alice", params=query))[0] == 200
        assert (await world.call("GET", f"/analytics/{path}"))[0] == 401
        assert (await world.call("GET", f"/analytics/{path}", "key"))[0] == 403


@pytest.mark.parametrize(
    ("reference", "user", "status"), [("x", "alice", 404), (None, "bob", 403), (None, None, 401)]
)
async def test_others_do_not(world: World, reference: str | None, user: str | None, status: int) -> None:
    path = f"/rooms/{reference or world.room}/analytics"
    assert (await world.call("GET", path, user))[0] == status


@pytest.mark.parametrize(
    "query",
    [
        "from=x",
        "from=2026-05-01",
        "from=2026-05-01T00:00:00",
        "from=0001-01-01T00:00:00%2B14:00",
        "to=9999-12-31T23:59:59-14:00",
        "from=2026-05-02T00:00:00Z&to=2026-05-01T00:00:00Z",
        "from=2026-05-01T00:00:00Z&to=2026-05-30T00:00:00Z&step=minute",
        "step=second",
    ],
)
async def test_bad_ranges(world: World, query: str) -> None:
    status, answer, _ = await world.call("GET", f"/analytics/dashboard?{query}", "alice")
    assert (status, answer["code"]) == (400, "invalid_request")
    assert answer["details"][0]["field"] in ("from", "to", "step")
