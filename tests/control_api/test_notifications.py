"""What users are told: once, by preference, from outbox rows that survive a restart."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from control_api.errors import ApiError
from control_api.services.notification_delivery import (
    DeliveryOptions,
    FanOutToFollowers,
    NotificationDelivery,
    payload_of,
)
from control_api.services.notification_kinds import KINDS, Kind, words_of
from control_api.services.notifications import Notifications
from control_api.services.web_push import MAX_PAYLOAD_BYTES, Outcome, Verdict
from storage.bus import Bus, NotificationAdded, UserFollowed
from storage.database import Database
from storage.ids import new_id
from storage.repositories import Broadcasts, Rooms, User, Users, UserState, Visibility
from storage.repositories.notification_outbox import Delivery, PushKeys
from storage.repositories.notifications_store import Channels
from storage.repositories.push_subscriptions import PushSubscriptions
from tests.helpers.waiting import eventually

NOW = datetime.now(UTC)
OPTIONS = DeliveryOptions("https://live.example", follower_batch=2, delivery_batch=10)


class Mails(list[tuple[str, str, str]]):
    async def send(self, to: str, subject: str, text: str) -> None:
        self.append((to, subject, text))


@dataclass
class Post:
    """What was mailed, and pushed where."""

    mails: Mails = field(default_factory=Mails)
    pushes: list[str] = field(default_factory=list)
    outcome: Outcome = field(default_factory=lambda: Outcome(Verdict.DELIVERED))
    fails: bool = False

    async def send(self, target: PushKeys, _payload: bytes, _lifetime_seconds: int) -> Outcome:
        if self.fails:
            raise RuntimeError("a fault")
        self.pushes.append(target.endpoint)
        return self.outcome


async def add_user(database: Database, name: str) -> User:
    user = await Users(database).add(name, f"{name}@example.com", "hash")
    await database.execute("UPDATE users SET email_verified_at = now() WHERE id = $1", user.id)
    return user


async def follow(database: Database, follower: UUID, user: UUID) -> None:
    await database.execute("INSERT INTO follows (follower_id, user_id) VALUES ($1, $2)", follower, user)


async def subscribe(database: Database, user: UUID, name: str = "one") -> UUID:
    return await PushSubscriptions(database).put(user, f"https://push.example/{name}", "p", "a")


async def go_live(database: Database, owner: UUID, visibility: Visibility = Visibility.PUBLIC) -> UUID:
    room = await Rooms(database).add(owner, "Chess", None, visibility)
    await start(database, room)
    return room


async def start(database: Database, room: UUID, started_at: datetime | None = None) -> UUID:
    broadcast = new_id()
    await Broadcasts(database).open(broadcast, room, "node", started_at or datetime.now(UTC))
    return broadcast


async def drain(worker: FanOutToFollowers | NotificationDelivery) -> int:
    """How many batches there were."""
    batches = 0
    while await worker.work():
        batches += 1
        assert batches < 100
    return batches


async def kinds_of(notifications: Notifications, user: UUID) -> list[str]:
    return [item.kind for item in (await notifications.page(user, False, None, 100)).items]


@asynccontextmanager
async def running(*tasks: Any) -> AsyncIterator[None]:
    started = [asyncio.create_task(task.run()) for task in tasks]
    try:
        yield
    finally:
        for task in started:
            task.cancel()
        await asyncio.gather(*started, return_exceptions=True)


async def test_news_is_stored_and_told_to_the_bus(database: Database) -> None:
    bus, heard = Bus(), list[NotificationAdded]()
    bus.subscribe(NotificationAdded, heard.append)
    user = await add_user(database, "alice")
    await Notifications(database, bus).notify(user.id, Kind.FOLLOW, {"username": "bob"})
    page = await Notifications(database, Bus()).page(user.id, False, None, 10)
    assert [(item.kind, item.data, item.read_at) for item in page.items] == [
        ("follow", {"username": "bob"}, None)
    ]
    assert heard == [NotificationAdded(str(user.id), str(page.items[0].id))]


async def test_pages_hold_each_notification_once_the_newest_first(database: Database) -> None:
    notifications, user = Notifications(database, Bus()), await add_user(database, "alice")
    for number in range(5):
        await notifications.notify(user.id, Kind.FOLLOW, {"n": number})
    ids, cursor = [], None
    for _ in range(3):
        page = await notifications.page(user.id, False, cursor, 2)
        ids += [item.id for item in page.items]
        cursor = page.next_cursor
    assert cursor is None and len(ids) == 5 and ids == sorted(ids, reverse=True)


async def test_read_ones_are_not_unread(database: Database) -> None:
    notifications, user = Notifications(database, Bus()), await add_user(database, "alice")
    other = await add_user(database, "bob")
    for number in range(3):
        await notifications.notify(user.id, Kind.FOLLOW, {"n": number})
    first = (await notifications.page(user.id, True, None, 1)).items[0].id
    assert await notifications.mark_read(other.id, [first]) == 0
    assert await notifications.mark_read(user.id, [first, first, new_id()]) == 1
    assert await notifications.mark_read(user.id, [first]) == 0
    assert await notifications.count_unread(user.id) == 2
    assert len((await notifications.page(user.id, True, None, 10)).items) == 2
    assert await notifications.mark_read(user.id, None) == 2
    assert await notifications.count_unread(user.id) == 0
    assert len((await notifications.page(user.id, False, None, 10)).items) == 3


@pytest.mark.parametrize("cursor", ["x", "", "é", "WzFd"])
async def test_a_foreign_cursor_is_refused(database: Database, cursor: str) -> None:
    with pytest.raises(ApiError) as refusal:
        await Notifications(database, Bus()).page(new_id(), False, cursor, 10)
    assert refusal.value.status == 400


async def test_preferences_have_defaults_and_are_kept(database: Database) -> None:
    notifications, user = Notifications(database, Bus()), await add_user(database, "alice")
    assert (await notifications.preferences(user.id)).channels == {
        k: rules.defaults for k, rules in KINDS.items()
    }
    await notifications.set_preferences(user.id, {Kind.FOLLOW: Channels(False, False, False)})
    await notifications.set_preferences(user.id, {Kind.ROOM_STARTED: Channels(True, True, False)})
    await notifications.set_preferences(user.id, {})
    changed = (await notifications.preferences(user.id)).channels
    assert changed[Kind.FOLLOW] == Channels(False, False, False)
    assert changed[Kind.ROOM_STARTED] == Channels(True, True, False)


async def test_preferences_that_were_changed_meanwhile_stay(database: Database) -> None:
    notifications, user = Notifications(database, Bus()), await add_user(database, "alice")
    silent, loud = {Kind.FOLLOW: Channels(False, False, False)}, {Kind.FOLLOW: Channels(True, True, True)}
    seen = (await notifications.preferences(user.id)).version
    changed = await notifications.set_preferences(user.id, silent, seen)
    assert changed.version == seen + 1
    with pytest.raises(ApiError) as refused:
        await notifications.set_preferences(user.id, loud, seen)
    assert (refused.value.status, refused.value.code) == (412, "version_mismatch")
    assert await notifications.preferences(user.id) == changed
    assert (await notifications.set_preferences(user.id, loud)).version == seen + 2


async def test_of_preferences_set_at_once_by_those_who_saw_the_same_one_wins(database: Database) -> None:
    notifications, user = Notifications(database, Bus()), await add_user(database, "alice")
    wish = {Kind.FOLLOW: Channels(False, False, True)}
    outcomes = await asyncio.gather(
        *(notifications.set_preferences(user.id, wish, 1) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(outcome, ApiError) for outcome in outcomes) == 7
    assert (await notifications.preferences(user.id)).version == 2


async def test_somebody_who_is_gone_has_no_preferences(database: Database) -> None:
    notifications = Notifications(database, Bus())
    for attempt in (notifications.preferences(new_id()), notifications.set_preferences(new_id(), {})):
        with pytest.raises(ApiError) as refused:
            await attempt
        assert refused.value.status == 401


async def test_who_wants_nothing_gets_nothing(database: Database) -> None:
    notifications, user = Notifications(database, Bus()), await add_user(database, "alice")
    await notifications.set_preferences(user.id, {Kind.FOLLOW: Channels(False, False, False)})
    await notifications.notify(user.id, Kind.FOLLOW, {})
    assert await database.fetch_value("SELECT count(*) FROM notifications") == 0


async def test_by_mail_alone_it_is_not_in_the_list(database: Database) -> None:
    notifications, user, post = Notifications(database, Bus()), await add_user(database, "alice"), Post()
    await notifications.set_preferences(user.id, {Kind.FOLLOW: Channels(False, True, False)})
    await notifications.notify(user.id, Kind.FOLLOW, {"displayName": "Bob\r\nBcc: x", "username": "bob"})
    await drain(NotificationDelivery(database, Bus(), post.mails, post, OPTIONS))
    assert await kinds_of(notifications, user.id) == []
    assert await notifications.count_unread(user.id) == 0
    [(to, subject, text)] = post.mails
    assert (to, subject) == ("alice@example.com", "New follower")
    assert "Bob Bcc: x (@bob) follows you now." in text and "https://live.example/" in text


async def test_no_mail_to_an_address_nobody_proved_to_own(database: Database) -> None:
    notifications, post = Notifications(database, Bus()), Post()
    user = await Users(database).add("alice", "alice@example.com", "hash")
    await notifications.notify(user.id, Kind.CREATOR_DECISION, {"isApproved": True})
    await drain(NotificationDelivery(database, Bus(), post.mails, post, OPTIONS))
    assert post.mails == [] and await kinds_of(notifications, user.id) == ["creator_decision"]


async def test_of_one_source_a_user_hears_once(database: Database) -> None:
    notifications, user = Notifications(database, Bus()), await add_user(database, "alice")
    for _ in range(3):
        await notifications.notify(user.id, Kind.FOLLOW, {}, "bob")
    assert await kinds_of(notifications, user.id) == ["follow"]


@pytest.mark.parametrize("is_blocker", [True, False])
async def test_the_blocked_and_the_blocking_are_not_heard_of(database: Database, is_blocker: bool) -> None:
    notifications, user = Notifications(database, Bus()), await add_user(database, "alice")
    other = await add_user(database, "bob")
    pair = (user.id, other.id) if is_blocker else (other.id, user.id)
    await database.execute("INSERT INTO blocks (user_id, blocked_id) VALUES ($1, $2)", *pair)
    await notifications.notify(user.id, Kind.FOLLOW, {}, actor_id=other.id)
    assert await kinds_of(notifications, user.id) == []


async def test_the_inactive_and_the_unknown_get_nothing(database: Database) -> None:
    notifications, user = Notifications(database, Bus()), await add_user(database, "alice")
    await Users(database).set_state(user.id, UserState.BANNED)
    await notifications.notify(user.id, Kind.FOLLOW, {})
    await notifications.notify(new_id(), Kind.FOLLOW, {})
    assert await database.fetch_value("SELECT count(*) FROM notifications") == 0


async def test_a_follow_is_told_once(database: Database) -> None:
    bus, heard = Bus(), list[NotificationAdded]()
    notifications = Notifications(database, bus)
    bus.subscribe(NotificationAdded, heard.append)
    user, fan, second = [await add_user(database, name) for name in ("alice", "fan", "second")]
    async with running(notifications):
        for follower in (new_id(), fan.id, fan.id, second.id):
            bus.publish(UserFollowed(str(follower), str(user.id)))
        await eventually(lambda: len(heard) == 2)
    items = (await notifications.page(user.id, False, None, 10)).items
    assert {item.data["username"] for item in items} == {"fan", "second"}


async def test_every_follower_is_told_once_of_a_broadcast(database: Database) -> None:
    bus, heard = Bus(), list[NotificationAdded]()
    bus.subscribe(NotificationAdded, heard.append)
    owner = await add_user(database, "owner")
    fans = [await add_user(database, f"fan{number}") for number in range(5)]
    for fan in fans:
        await follow(database, fan.id, owner.id)
    await go_live(database, owner.id)
    # A worker for each batch, as if the process had been started anew in between.
    batches = 0
    while await FanOutToFollowers(database, bus, OPTIONS).work():
        batches += 1
    assert batches == 3
    assert sorted(event.user_id for event in heard) == sorted(str(fan.id) for fan in fans)
    assert await database.fetch_value("SELECT count(*) FROM notification_fanouts") == 0
    data = (await Notifications(database, Bus()).page(fans[0].id, False, None, 1)).items[0].data
    assert data["title"] == "Chess" and data["username"] == "owner"


async def test_followers_of_the_same_moment_are_all_told(database: Database) -> None:
    """The cursor is a time and an id."""
    owner = await add_user(database, "owner")
    for number in range(7):
        fan = await add_user(database, f"fan{number}")
        await follow(database, fan.id, owner.id)
    await database.execute("UPDATE follows SET created_at = '2026-01-01T00:00:00Z'")
    await go_live(database, owner.id)
    await drain(FanOutToFollowers(database, Bus(), OPTIONS))
    assert await database.fetch_value("SELECT count(*) FROM notifications") == 7


async def test_two_nodes_tell_each_follower_once(database: Database) -> None:
    owner = await add_user(database, "owner")
    for number in range(9):
        fan = await add_user(database, f"fan{number}")
        await follow(database, fan.id, owner.id)
    await go_live(database, owner.id)
    nodes = [FanOutToFollowers(database, Bus(), OPTIONS) for _ in range(2)]
    await asyncio.gather(*map(drain, nodes))
    await drain(nodes[0])
    assert await database.fetch_value("SELECT count(*) FROM notifications") == 9


@pytest.mark.parametrize(
    ("visibility", "count"),
    [
        (Visibility.PUBLIC, 1),
        (Visibility.FOLLOWERS, 1),
        (Visibility.UNLISTED, 0),
        (Visibility.SUBSCRIBERS, 0),
        (Visibility.PRIVATE, 0),
    ],
)
async def test_only_rooms_that_followers_may_see_are_told_of(
    database: Database, visibility: Visibility, count: int
) -> None:
    owner, fan = [await add_user(database, name) for name in ("owner", "fan")]
    await follow(database, fan.id, owner.id)
    await go_live(database, owner.id, visibility)
    await drain(FanOutToFollowers(database, Bus(), OPTIONS))
    assert await database.fetch_value("SELECT count(*) FROM notifications") == count


async def test_a_broadcast_that_is_over_is_no_news(database: Database) -> None:
    owner, fan = [await add_user(database, name) for name in ("owner", "fan")]
    await follow(database, fan.id, owner.id)
    await go_live(database, owner.id)
    await database.execute("UPDATE broadcasts SET ended_at = now(), end_reason = 'ended'")
    await drain(FanOutToFollowers(database, Bus(), OPTIONS))
    assert await database.fetch_value("SELECT count(*) FROM notifications") == 0


async def test_a_broadcast_that_goes_on_after_a_short_pause_is_no_news(database: Database) -> None:
    owner, fan = [await add_user(database, name) for name in ("owner", "fan")]
    await follow(database, fan.id, owner.id)
    room = await Rooms(database).add(owner.id, "Chess", None)
    for hours, count in ((-3, 1), (-2, 2)):
        broadcast = await start(database, room, NOW + timedelta(hours=hours))
        await drain(FanOutToFollowers(database, Bus(), OPTIONS))
        await Broadcasts(database).close(broadcast, NOW + timedelta(hours=hours, minutes=5), 0, "ended")
        assert await database.fetch_value("SELECT count(*) FROM notifications") == count
    await start(database, room, NOW + timedelta(hours=-2, minutes=6))
    await drain(FanOutToFollowers(database, Bus(), OPTIONS))
    assert await database.fetch_value("SELECT count(*) FROM notifications") == 2


async def test_each_browser_is_pushed_to_once(database: Database) -> None:
    owner, fan, post = await add_user(database, "owner"), await add_user(database, "fan"), Post()
    await follow(database, fan.id, owner.id)
    for name in ("one", "two"):
        await subscribe(database, fan.id, name)
    await go_live(database, owner.id)
    await drain(FanOutToFollowers(database, Bus(), OPTIONS))
    await drain(NotificationDelivery(database, Bus(), post.mails, post, OPTIONS))
    assert sorted(post.pushes) == ["https://push.example/one", "https://push.example/two"]
    assert await database.fetch_value("SELECT count(*) FROM notification_deliveries") == 0


async def pushed(database: Database, post: Post) -> NotificationDelivery:
    """With one push to deliver."""
    user = await add_user(database, "alice")
    await subscribe(database, user.id)
    notifications = Notifications(database, Bus())
    await notifications.set_preferences(user.id, {Kind.FOLLOW: Channels(True, False, True)})
    await notifications.notify(user.id, Kind.FOLLOW, {})
    return NotificationDelivery(database, Bus(), post.mails, post, OPTIONS)


async def test_a_browser_that_is_gone_is_forgotten(database: Database) -> None:
    await drain(await pushed(database, Post(outcome=Outcome(Verdict.GONE))))
    for table in ("push_subscriptions", "notification_deliveries"):
        assert await database.fetch_value(f"SELECT count(*) FROM {table}") == 0


async def test_a_push_that_is_refused_is_given_up(database: Database) -> None:
    await drain(await pushed(database, Post(outcome=Outcome(Verdict.REFUSED))))
    assert await database.fetch_value("SELECT count(*) FROM notification_deliveries") == 0
    assert await database.fetch_value("SELECT count(*) FROM push_subscriptions") == 1


@pytest.mark.parametrize("fails", [True, False])
async def test_a_push_that_fails_is_tried_again_with_growing_pauses_and_given_up(
    database: Database, fails: bool
) -> None:
    post = Post(outcome=Outcome(Verdict.LATER), fails=fails)
    delivery = await pushed(database, post)
    pauses = []
    for _ in range(OPTIONS.attempts):
        assert await delivery.work()
        assert not await delivery.work(), "a claimed or postponed one is not due"
        pauses.append(
            await database.fetch_value(
                "UPDATE notification_deliveries AS d SET due_at = now() FROM notification_deliveries AS old"
                " WHERE old.id = d.id RETURNING extract(epoch FROM old.due_at - now())::int"
            )
        )
    assert pauses[-1] is None, "given up"
    if not fails:
        assert pauses[:-1] == pytest.approx([30, 60, 120, 240, 480], abs=5)


async def test_a_push_service_may_ask_for_a_longer_pause(database: Database) -> None:
    delivery = await pushed(database, Post(outcome=Outcome(Verdict.LATER, 1800)))
    await delivery.work()
    pause = await database.fetch_value(
        "SELECT extract(epoch FROM due_at - now())::int FROM notification_deliveries"
    )
    assert pause == pytest.approx(1800, abs=5)


async def test_what_is_too_old_is_not_pushed(database: Database) -> None:
    post = Post()
    delivery = await pushed(database, post)
    await database.execute("UPDATE notifications SET created_at = now() - interval '2 days'")
    await drain(delivery)
    assert post.pushes == []


async def test_without_a_key_nothing_is_pushed_and_nothing_piles_up(database: Database) -> None:
    post = Post()
    await pushed(database, post)
    await drain(NotificationDelivery(database, Bus(), post.mails, None, OPTIONS))
    assert await database.fetch_value("SELECT count(*) FROM notification_deliveries") == 0


async def test_running_tasks_deliver_what_comes(database: Database) -> None:
    bus, post = Bus(), Post()
    owner, fan = [await add_user(database, name) for name in ("owner", "fan")]
    await follow(database, fan.id, owner.id)
    await subscribe(database, fan.id)
    await go_live(database, owner.id)
    fan_out = FanOutToFollowers(database, bus, OPTIONS)
    async with running(fan_out, NotificationDelivery(database, bus, post.mails, post, OPTIONS)):
        await eventually(lambda: post.pushes == ["https://push.example/one"])


async def test_old_notifications_are_forgotten(database: Database) -> None:
    notifications, user = Notifications(database, Bus()), await add_user(database, "alice")
    await notifications.notify(user.id, Kind.FOLLOW, {})
    old = UUID(int=int((NOW - timedelta(days=91)).timestamp() * 1000) << 80)
    await database.execute("UPDATE notifications SET id = $1", old)
    await notifications.notify(user.id, Kind.FOLLOW, {})
    assert await notifications.clean_once() == 1
    assert len(await kinds_of(notifications, user.id)) == 1


@pytest.mark.parametrize("kind", [*(kind.value for kind in Kind), "from_the_future"])
def test_words_of_any_data_are_short_lines(kind: str) -> None:
    hostile = "\U0001f600\r\n\0\u202e<b>" * 1000
    data = dict.fromkeys(["username", "displayName", "title", "slug", "roomId", "url"], hostile)
    for words in (words_of(kind, data), words_of(kind, {})):
        assert all(line.isprintable() for line in (words.title, words.text, words.path))
        assert len(words.title) <= 200
    delivery = Delivery(new_id(), 1, new_id(), kind, data, NOW, True, None, PushKeys(new_id(), "", "", ""))
    assert len(payload_of(delivery)) <= MAX_PAYLOAD_BYTES
