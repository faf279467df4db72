"""The bus delivers each event to those who care, and only to them."""

from storage.bus import Bus, RoomChanged, RoomDeleted


def test_delivers_to_every_handler_of_the_class_in_order() -> None:
    bus, seen = Bus(), []
    bus.subscribe(RoomChanged, lambda event: seen.append(("first", event)))
    bus.subscribe(RoomChanged, lambda event: seen.append(("second", event)))
    bus.subscribe(RoomDeleted, lambda event: seen.append(("deleted", event)))
    bus.publish(RoomChanged("room"))
    assert seen == [("first", RoomChanged("room")), ("second", RoomChanged("room"))]


def test_an_event_that_nobody_wants_is_no_error() -> None:
    Bus().publish(RoomDeleted("room"))


def test_a_handler_that_raises_disturbs_nobody() -> None:
    bus, seen = Bus(), []

    def fail(_: RoomChanged) -> None:
        raise ValueError

    bus.subscribe(RoomChanged, fail)
    bus.subscribe(RoomChanged, seen.append)
    bus.publish(RoomChanged("room"))
    assert seen == [RoomChanged("room")]


def test_a_handler_may_publish() -> None:
    bus, seen = Bus(), []
    bus.subscribe(RoomChanged, lambda event: bus.publish(RoomDeleted(event.room_id)))
    bus.subscribe(RoomDeleted, seen.append)
    bus.publish(RoomChanged("room"))
    assert seen == [RoomDeleted("room")]
