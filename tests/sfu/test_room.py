"""Who comes into a room, who may not, and who is told of it."""

from dataclasses import replace

import pytest

from sfu.participant import Role
from sfu.room import CLOSE_REPLACED, RoomOptions
from sfu.room_messages import (
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    ProducerClosed,
)
from sfu.room_ports import Grants
from tests.sfu.refusals import refused
from tests.sfu.rooms_world import (
    HOST,
    LISTENER,
    MODERATOR,
    ROOM,
    SPEAKER,
    FakeLink,
    RoomWorld,
    granted,
)


@pytest.fixture
def world() -> RoomWorld:
    return RoomWorld()


def test_grants_decide_the_role_one_begins_with(world: RoomWorld) -> None:
    roles = [world.join(grants).role for grants in (HOST, MODERATOR, SPEAKER, LISTENER)]

    assert roles == [Role.HOST, Role.CO_HOST, Role.SPEAKER, Role.LISTENER]


def test_the_others_hear_who_comes_and_goes(world: RoomWorld) -> None:
    ana = world.join(HOST)
    leo = world.join(LISTENER)
    world.room.leave(leo)

    assert [one.participant.name for one in world.heard(ana, ParticipantJoined)] == ["Leo"]
    assert [(one.participant_id, one.reason) for one in world.heard(ana, ParticipantLeft)] == [
        (leo.id, "left")
    ]
    assert world.links[leo.id].said == []


def test_a_full_room_lets_nobody_else_in() -> None:
    world = RoomWorld(RoomOptions(participants=1))
    world.join(LISTENER)

    with refused("room_full"):
        world.join(MODERATOR)


def test_nobody_keeps_the_host_out_of_a_full_room() -> None:
    world = RoomWorld(RoomOptions(participants=2, per_identity=2))
    world.join(LISTENER)
    world.join(SPEAKER)
    world.join(HOST)
    with refused("room_full"):
        world.join(MODERATOR)
    world.join(HOST)
    with refused("too_many_connections"):
        world.join(HOST)


def test_one_identity_may_come_only_so_often() -> None:
    world = RoomWorld(RoomOptions(per_identity=2))
    world.join(SPEAKER)
    world.join(SPEAKER)

    with refused("too_many_connections"):
        world.join(SPEAKER)


def guest(number: int, address: str = "192.0.2.1") -> Grants:
    return Grants(ROOM, f"guest:{number}", "Guest", is_guest=True, address=address)


@pytest.mark.parametrize(
    ("address", "neighbour", "stranger"),
    [("192.0.2.1", "192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")],
)
def test_one_address_sends_only_so_many_guests(address: str, neighbour: str, stranger: str) -> None:
    world = RoomWorld(RoomOptions(guests_per_address=2))
    first = world.join(guest(1, address))
    world.join(guest(2, neighbour))
    world.join(replace(SPEAKER, address=address))

    with refused("too_many_guests"):
        world.join(guest(3, neighbour))
    world.join(guest(4, stranger))
    world.join(replace(LISTENER, address=address))
    world.room.leave(first)
    world.join(guest(5, address))


def test_guests_of_unknown_address_are_not_counted_together() -> None:
    world = RoomWorld(RoomOptions(guests_per_address=1))
    world.join(guest(1, ""))
    world.join(guest(2, ""))


def test_a_guest_who_was_removed_is_not_back_as_another(world: RoomWorld) -> None:
    ana, leo = world.join(HOST), world.join(guest(1, "2001:db8::1"))
    bystander = world.join(guest(2, "2001:db8::2"))
    world.room.remove(ana, leo)

    with refused("removed"):
        world.join(guest(3, "2001:db8::1"))
    with refused("removed"):
        world.join(guest(4, "2001:db8::3"))
    assert bystander.id in world.room.participants
    world.join(guest(5, "2001:db8:0:1::1"))
    world.join(replace(SPEAKER, address="2001:db8::1"))


def test_an_address_is_not_barred_for_what_a_user_did(world: RoomWorld) -> None:
    ana, leo = world.join(HOST), world.join(replace(LISTENER, address="192.0.2.1"))
    world.room.remove(ana, leo)
    world.join(guest(1, "192.0.2.1"))


def test_on_a_full_stage_speakers_listen_and_hosts_have_a_place() -> None:
    world = RoomWorld(RoomOptions(publishers=1))

    assert world.join(SPEAKER).role is Role.SPEAKER
    assert world.join(MODERATOR).role is Role.LISTENER
    assert world.join(HOST).role is Role.HOST


def test_who_lost_the_connection_comes_back_as_the_same_participant(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    producer = world.microphone(sam)
    world.room.detach(sam, world.links[sam.id], 100.0)
    world.room.expire(129.9)
    link = FakeLink()

    assert world.room.resume(sam.resume_token, SPEAKER, link) is sam
    assert [one.participant.is_away for one in world.heard(ana, ParticipantChanged)] == [True, False]
    assert sam.media.producers == [producer] and not producer.paused
    world.room.expire(1000.0)
    assert sam.id in world.room.participants


def test_who_does_not_come_back_in_time_is_gone(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    producer = world.microphone(sam)
    world.room.detach(sam, world.links[sam.id], 100.0)
    world.room.expire(130.0)

    assert [one.reason for one in world.heard(ana, ParticipantLeft)] == ["away"]
    assert [one.producer_id for one in world.heard(ana, ProducerClosed)] == [producer.id]
    assert world.room.resume(sam.resume_token, SPEAKER, FakeLink()) is None


def test_a_resume_token_is_of_no_use_to_others(world: RoomWorld) -> None:
    sam = world.join(SPEAKER)

    assert world.room.resume(sam.resume_token, LISTENER, FakeLink()) is None
    assert world.room.resume("wrong", SPEAKER, FakeLink()) is None
    assert world.links[sam.id].closed is None


def test_a_guest_comes_back_as_the_same_under_another_identity(world: RoomWorld) -> None:
    guest = world.join(replace(granted("one"), is_guest=True))
    identity = guest.grants.identity
    world.room.detach(guest, world.links[guest.id], 0.0)

    assert world.room.resume(guest.resume_token, LISTENER, FakeLink()) is None
    again = replace(granted("two"), is_guest=True)
    assert world.room.resume(guest.resume_token, again, FakeLink()) is guest
    assert guest.grants.identity == identity


def test_resuming_closes_a_connection_that_seemed_alive(world: RoomWorld) -> None:
    sam = world.join(SPEAKER)
    old, new = world.links[sam.id], FakeLink()
    world.room.resume(sam.resume_token, SPEAKER, new)
    world.room.detach(sam, old, 5.0)

    assert old.closed is not None and old.closed[0] == CLOSE_REPLACED
    assert sam.link is new and sam.away_since is None
