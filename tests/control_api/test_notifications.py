"""What users are told: once, by preference, from outbox rows that survive a restart."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from control_api.errors import ApiError
from control_api.services.notification_delivery import (
    NotificationDelivery,
    payload_of,
)
from control_api.services.notification_kinds import KINDS, Kind, words_of
from control_api.services.notifications import Notifications
from control_api.services.web_push import MAX_PAYLOAD_BYTES
from storage.bus import Bus, NotificationAdded, UserFollowed
from storage.database import Database
from storage.ids import new_id
from storage.repositories import Users, UserState
from storage.repositories.notification_outbox import Delivery, PushKeys
from storage.repositories.notifications_store import Channels
from tests.control_api.notified_people import (
    NOW,
    OPTIONS,
    Post,
    add_user,
    drain,
    kinds_of,
    running,
)
from tests.helpers.waiting import eventually


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
