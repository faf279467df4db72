"""Telling followers of a broadcast, and pushing to browsers, from rows that survive a restart."""

import asyncio
from datetime import timedelta

import pytest

from control_api.services.notification_delivery import (
    FanOutToFollowers,
    NotificationDelivery,
)
from control_api.services.notification_kinds import Kind
from control_api.services.notifications import Notifications
from control_api.services.web_push import Outcome, Verdict
from storage.bus import Bus, NotificationAdded
from storage.database import Database
from storage.repositories import Broadcasts, Rooms, Visibility
from storage.repositories.notifications_store import Channels
from tests.control_api.notified_people import (
    NOW,
    OPTIONS,
    Post,
    add_user,
    drain,
    follow,
    go_live,
    running,
    start,
    subscribe,
)
from tests.helpers.waiting import eventually


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
