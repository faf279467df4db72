from uuid import UUID

from chat.protocol.frames import MAX_MISSED, Outgoing
from chat.ring import Ring
from storage.ids import new_id


def frame(text: str) -> Outgoing:
    return Outgoing("new-message", {"message": text})


def kinds(frames: list[Outgoing] | None) -> list[str] | None:
    return None if frames is None else [each.kind for each in frames]


def filled(ring: Ring, count: int) -> list[UUID]:
    ids = [new_id() for _ in range(count)]
    for place, message_id in enumerate(ids):
        ring.append(ring.floor + place + 1, frame(str(place)), message_id)
    return ids


def test_those_after_an_offset_are_given_and_nothing_is_made_up_before_the_floor():
    ring = Ring(10)
    filled(ring, 3)
    assert ring.since(9) is None
    assert len(ring.since(10) or ()) == 3
    assert len(ring.since(12) or ()) == 1
    assert ring.since(13) == []


def test_the_floor_rises_with_what_is_dropped():
    ring = Ring(0)
    filled(ring, MAX_MISSED + 2)
    assert ring.floor == 2
    assert ring.since(1) is None
    assert len(ring.since(2) or ()) == MAX_MISSED


def test_deleted_messages_are_not_given_again_and_leave_no_doubt():
    ring = Ring(0)
    ids = filled(ring, 3)
    ring.forget(ids[1])
    ring.append(4, Outgoing("message-deleted", {}))
    assert kinds(ring.since(0)) == ["new-message", "new-message", "message-deleted"]
    assert ring.find(ids[1]) is None
    assert ring.find(ids[2]) is not None


def test_a_cleared_chat_keeps_its_events():
    ring = Ring(0)
    filled(ring, 3)
    ring.append(4, Outgoing("follow", {}))
    ring.forget_messages()
    assert kinds(ring.since(0)) == ["follow"]
    assert ring.recent_messages(10) == []


def test_recent_messages_are_the_last_oldest_first():
    ring = Ring(0)
    filled(ring, 5)
    assert [each.payload for each in ring.recent_messages(2)] == [
        each.payload for each in (ring.since(3) or ())
    ]
    assert ring.recent_messages(0) == []
