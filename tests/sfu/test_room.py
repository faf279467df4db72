"""Who may what in a room, and who is told of it."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from sfu.errors import NoSuchProducer
from sfu.participant import Participant, Role
from sfu.participant_media import MediaLimits
from sfu.protocol.active_speaker import Volume
from sfu.protocol.parameters import SctpStreamParameters
from sfu.room import CLOSE_REMOVED, CLOSE_REPLACED, RoomOptions
from sfu.room_errors import Refusal
from sfu.room_messages import (
    ActiveSpeaker,
    ConsumerClosed,
    ConsumerPaused,
    DataProducerClosed,
    HandRaised,
    InvitationDeclined,
    Invited,
    Muted,
    NewDataProducer,
    NewProducer,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    ProducerClosed,
    ProducerPaused,
    Removed,
    TransportClosed,
    Unmuted,
    Volumes,
)
from sfu.room_ports import Grants
from tests.sfu.rooms_world import (
    CAPABILITIES,
    HOST,
    LISTENER,
    MODERATOR,
    ROOM,
    SPEAKER,
    FakeLink,
    RoomWorld,
    audio_parameters,
    granted,
    video_parameters,
)


@pytest.fixture
def world() -> RoomWorld:
    return RoomWorld()


def refused(code: str) -> object:
    return pytest.raises(Refusal, check=lambda refusal: refusal.code == code)


# Coming and going


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


def test_a_full_room_lets_nobody_in() -> None:
    world = RoomWorld(RoomOptions(participants=1))
    world.join(LISTENER)

    with refused("room_full"):
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


# The stage


def test_listeners_may_not_publish(world: RoomWorld) -> None:
    leo = world.join(LISTENER)

    with refused("not_on_stage"):
        world.microphone(leo)


def test_a_raised_hand_is_invited_and_accepts(world: RoomWorld) -> None:
    ana, leo = world.join(HOST), world.join(LISTENER)
    world.room.stage.raise_hand(leo)
    world.room.stage.raise_hand(leo)
    assert [one.participant_id for one in world.heard(ana, HandRaised)] == [leo.id]

    world.room.stage.invite(ana, leo, 10.0)
    assert [one.by for one in world.heard(leo, Invited)] == [ana.id]
    world.room.stage.accept(leo, 20.0)

    assert leo.role is Role.SPEAKER and not leo.hand_raised
    assert world.heard(ana, ParticipantChanged)[-1].participant.role == "speaker"
    world.microphone(leo)


def test_a_hand_may_be_lowered(world: RoomWorld) -> None:
    leo = world.join(LISTENER)
    world.room.stage.raise_hand(leo)
    world.room.stage.lower_hand(leo)
    world.room.stage.lower_hand(leo)

    assert [one.participant.hand_raised for one in world.heard(leo, ParticipantChanged)] == [True, False]


def test_nobody_comes_onto_the_stage_uninvited(world: RoomWorld) -> None:
    ana, leo = world.join(HOST), world.join(LISTENER)

    with refused("no_invitation"):
        world.room.stage.accept(leo, 0.0)
    with refused("no_invitation"):
        world.room.stage.decline(leo)
    with refused("invitation_needed"):
        world.room.stage.set_role(ana, leo, Role.SPEAKER)


def test_an_invitation_may_be_declined(world: RoomWorld) -> None:
    ana, leo = world.join(HOST), world.join(LISTENER)
    world.room.stage.invite(ana, leo, 0.0)
    world.room.stage.decline(leo)

    assert [one.participant_id for one in world.heard(ana, InvitationDeclined)] == [leo.id]
    with refused("no_invitation"):
        world.room.stage.accept(leo, 1.0)


def test_an_invitation_ends_by_itself(world: RoomWorld) -> None:
    ana, leo = world.join(HOST), world.join(LISTENER)
    world.room.stage.invite(ana, leo, 0.0)
    with refused("no_invitation"):
        world.room.stage.accept(leo, 60.0)
    world.room.expire(60.0)

    assert [one.participant_id for one in world.heard(ana, InvitationDeclined)] == [leo.id]


def test_an_invitation_does_not_make_a_place_on_a_full_stage() -> None:
    world = RoomWorld(RoomOptions(publishers=1))
    ana, leo = world.join(HOST), world.join(LISTENER)
    world.room.stage.invite(ana, leo, 0.0)

    with refused("stage_full"):
        world.room.stage.accept(leo, 1.0)


@pytest.mark.parametrize("deed", ["invite", "set_role", "mute", "unmute", "remove"])
@pytest.mark.parametrize("grants", [SPEAKER, LISTENER])
def test_only_moderators_decide_about_others(world: RoomWorld, deed: str, grants: object) -> None:
    by = world.join(grants)  # type: ignore[arg-type]
    target = world.join(granted("other"))

    with refused("not_moderator"):
        moderate(world, deed, by, target)


@pytest.mark.parametrize("deed", ["set_role", "mute", "unmute", "remove"])
@pytest.mark.parametrize("grants", [HOST, MODERATOR])
def test_nobody_decides_about_those_above_or_beside(world: RoomWorld, deed: str, grants: object) -> None:
    mia = world.join(granted("mo", can_publish=True, can_moderate=True))
    target = world.join(grants)  # type: ignore[arg-type]

    with refused("outranked"):
        moderate(world, deed, mia, target)


def moderate(world: RoomWorld, deed: str, by: Participant, target: Participant) -> None:
    stage = world.room.stage
    {
        "invite": lambda: stage.invite(by, target, 0.0),
        "set_role": lambda: stage.set_role(by, target, Role.LISTENER),
        "mute": lambda: stage.mute(by, target, ["audio"]),
        "unmute": lambda: stage.unmute(by, target, ["audio"]),
        "remove": lambda: world.room.remove(by, target),
    }[deed]()


def test_hosts_make_co_hosts_and_co_hosts_do_not(world: RoomWorld) -> None:
    ana, mia, sam = world.join(HOST), world.join(MODERATOR), world.join(SPEAKER)

    with refused("outranked"):
        world.room.stage.set_role(mia, sam, Role.CO_HOST)
    world.room.stage.set_role(ana, sam, Role.CO_HOST)

    assert sam.role is Role.CO_HOST


def test_who_is_sent_off_the_stage_stops_sending_and_stays_off(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    producer = world.microphone(sam)
    world.room.stage.set_role(ana, sam, Role.LISTENER)

    assert sam.media.producers == [] and producer.id not in world.router.producers
    world.room.leave(sam)
    again = world.join(SPEAKER)
    assert again.role is Role.LISTENER
    world.room.stage.invite(ana, again, 0.0)
    world.room.stage.accept(again, 0.0)
    world.room.leave(again)
    assert world.join(SPEAKER).role is Role.SPEAKER


@pytest.mark.parametrize("is_lifted", [False, True])
def test_who_was_sent_off_the_stage_stays_off_whatever_is_muted_then(
    world: RoomWorld, is_lifted: bool
) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    world.room.stage.set_role(ana, sam, Role.LISTENER)
    world.room.stage.mute(ana, sam, ["audio"])
    if is_lifted:
        world.room.stage.unmute(ana, sam, ["audio"])
    world.room.leave(sam)

    assert world.join(SPEAKER).role is Role.LISTENER


def test_who_was_muted_in_the_audience_stays_so_on_the_stage(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    world.room.stage.set_role(ana, sam, Role.LISTENER)
    world.room.stage.mute(ana, sam, ["audio"])
    world.room.stage.invite(ana, sam, 0.0)
    world.room.stage.accept(sam, 1.0)

    with refused("muted"):
        world.microphone(sam)
    world.room.leave(sam)
    again = world.join(SPEAKER)
    assert (again.role, again.muted) == (Role.SPEAKER, {"audio"})


def test_who_steps_down_needs_an_invitation_to_come_back(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    world.room.stage.step_down(sam)

    assert sam.role is Role.LISTENER
    with refused("host_stays"):
        world.room.stage.step_down(ana)
    with refused("not_on_stage"):
        world.microphone(sam)


def test_a_muted_microphone_stays_silent_until_a_moderator_lifts_it(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    microphone, camera = world.microphone(sam), world.camera(sam)
    world.room.stage.mute(ana, sam, ["audio"])

    assert microphone.paused and not camera.paused
    assert [(one.by, one.kinds) for one in world.heard(sam, Muted)] == [(ana.id, ("audio",))]
    with refused("muted"):
        world.room.resume_producer(sam, microphone.id)
    with refused("muted"):
        world.microphone(sam)
    world.room.stage.unmute(ana, sam, ["audio", "video"])
    world.room.stage.unmute(ana, sam, ["audio"])
    assert microphone.paused
    assert [one.kinds for one in world.heard(sam, Unmuted)] == [("audio",)]
    world.room.resume_producer(sam, microphone.id)
    assert not microphone.paused


def test_leaving_does_not_undo_a_mute(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    world.room.stage.mute(ana, sam, ["audio"])
    world.room.leave(sam)

    assert world.join(SPEAKER).muted == {"audio"}


def test_who_is_removed_is_told_and_may_not_come_back(world: RoomWorld) -> None:
    ana, sam, tab = world.join(HOST), world.join(SPEAKER), world.join(SPEAKER)
    world.room.remove(ana, sam)

    assert [one.by for one in world.heard(sam, Removed)] == [ana.id]
    assert world.links[sam.id].closed == (CLOSE_REMOVED, "removed")
    assert world.links[tab.id].closed == (CLOSE_REMOVED, "removed")
    assert list(world.room.participants) == [ana.id]
    with refused("removed"):
        world.join(SPEAKER)


def test_who_may_moderate_no_more_steps_down(world: RoomWorld) -> None:
    mia, sam = world.join(MODERATOR), world.join(SPEAKER)
    world.room.update(mia, granted("mia", can_publish=True))
    world.room.update(sam, granted("sam"))

    assert mia.role is Role.SPEAKER
    assert sam.role is Role.SPEAKER


# Media


def test_the_others_hear_of_producers(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    producer = world.camera(sam, app_data={"source": "screen"})
    producer.pause()
    sam.media.close_producer(producer.id)

    new = world.heard(ana, NewProducer)[0].producer
    assert (new.producer_id, new.participant_id, new.kind) == (producer.id, sam.id, "video")
    assert new.app_data == {"source": "screen"}
    assert [one.producer_id for one in world.heard(ana, ProducerPaused)] == [producer.id]
    assert [one.participant_id for one in world.heard(ana, ProducerClosed)] == [sam.id]
    assert world.heard(sam, NewProducer) == []


def test_a_program_from_outside_belongs_to_nobody(world: RoomWorld) -> None:
    ana = world.join(HOST)
    producer = world.router.local_producer()

    assert world.heard(ana, NewProducer)[0].producer.participant_id is None
    assert [one.program for one in world.room.producer_infos()] == [True]
    producer.close()
    assert world.heard(ana, ProducerClosed)[0].participant_id is None


def test_only_one_program_and_only_the_hosts(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    with refused("not_host"):
        world.camera(sam, is_program=True)
    assert world.camera(ana, is_program=True).is_program
    with refused("program_taken"):
        world.camera(ana, is_program=True)


def test_consumers_follow_their_producer(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    producer = world.microphone(sam)
    transport = world.transport(ana)
    consumer = ana.media.consume(transport.id, producer.id, CAPABILITIES, paused=True)
    producer.pause()
    producer.close()

    assert [one.consumer_id for one in world.heard(ana, ConsumerPaused)] == [consumer.id]
    assert [one.consumer_id for one in world.heard(ana, ConsumerClosed)] == [consumer.id]
    assert ana.media.consumers == []


def test_nobody_consumes_what_they_send(world: RoomWorld) -> None:
    sam = world.join(SPEAKER)
    producer = world.microphone(sam)

    with refused("own_producer"):
        sam.media.consume(sam.media.transports[0].id, producer.id, CAPABILITIES, paused=True)


def test_nobody_consumes_the_same_twice(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    producer = world.microphone(sam)
    channel = sam.media.produce_data(
        world.transport(sam, sctp=True).id, SctpStreamParameters(stream_id=1), "chat", ""
    )
    first, second = world.transport(ana, sctp=True), world.transport(ana, sctp=True)
    consumer = ana.media.consume(first.id, producer.id, CAPABILITIES, paused=False)
    data_consumer = ana.media.consume_data(first.id, channel.id)

    for transport in (first, second):
        with refused("already_consumed"):
            ana.media.consume(transport.id, producer.id, CAPABILITIES, paused=False)
        with refused("already_consumed"):
            ana.media.consume_data(transport.id, channel.id)
    assert ana.media.consumers == [consumer]
    assert ana.media.data_consumers == [data_consumer]
    ana.media.close_consumer(consumer.id)
    ana.media.consume(second.id, producer.id, CAPABILITIES, paused=False)
    ana.media.close_transport(first.id)
    ana.media.consume_data(second.id, channel.id)


def test_who_receives_something_takes_one_place(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    microphone, camera = world.microphone(sam), world.camera(sam)
    first, second = world.transport(ana), world.transport(ana)
    assert world.audience.watching == []

    ana.media.consume(first.id, microphone.id, CAPABILITIES, paused=False)
    consumer = ana.media.consume(second.id, camera.id, CAPABILITIES, paused=False)
    assert world.audience.watching == ["user-ana"]
    ana.media.close_transport(first.id)
    assert world.audience.watching == ["user-ana"]
    ana.media.close_consumer(consumer.id)
    assert world.audience.watching == []


@pytest.mark.parametrize("ends", ["producer", "rights", "room"])
def test_the_place_is_given_back_however_it_ends(world: RoomWorld, ends: str) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    producer = world.microphone(sam)
    ana.media.consume(world.transport(ana).id, producer.id, CAPABILITIES, paused=False)
    assert world.audience.watching == ["user-ana"]
    if ends == "producer":
        producer.close()
    elif ends == "rights":
        world.room.update(ana, replace(HOST, can_subscribe=False))
    else:
        world.room.leave(ana)
    assert world.audience.watching == []


def test_a_full_audience_lets_nobody_more_receive() -> None:
    world = RoomWorld(viewers=1)
    ana, sam, leo = world.join(HOST), world.join(SPEAKER), world.join(LISTENER)
    producer, transport = world.microphone(sam), world.transport(leo)
    ana.media.consume(world.transport(ana).id, producer.id, CAPABILITIES, paused=False)

    with refused("room_full"):
        leo.media.consume(transport.id, producer.id, CAPABILITIES, paused=False)
    assert leo.media.consumers == []
    world.room.leave(ana)
    with pytest.raises(NoSuchProducer):
        leo.media.consume(transport.id, "nothing", CAPABILITIES, paused=False)
    assert world.audience.watching == []
    leo.media.consume(transport.id, producer.id, CAPABILITIES, paused=False)
    assert world.audience.watching == ["user-leo"]


def test_somebody_who_consumes_has_to_say_what_they_can_receive(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    producer = world.microphone(sam)
    transport = world.transport(ana)

    with refused("no_capabilities"):
        ana.media.consume(transport.id, producer.id, None, paused=True)
    ana.media.capabilities = CAPABILITIES
    ana.media.consume(transport.id, producer.id, None, paused=True)


def test_things_of_others_are_not_found(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    producer = world.microphone(sam)

    with refused("not_found"):
        ana.media.close_producer(producer.id)
    with refused("not_found"):
        ana.media.transport(sam.media.transports[0].id)


def test_what_one_participant_has_is_limited() -> None:
    limits = MediaLimits(transports=1, producers=1, consumers=1, data_producers=1)
    world = RoomWorld(RoomOptions(media=limits))
    ana, sam = world.join(HOST), world.join(SPEAKER)
    producer = world.microphone(sam)
    own = sam.media.transports[0]
    with refused("too_many_streams"):
        world.transport(sam)
    with refused("too_many_streams"):
        world.room.produce(sam, own.id, "video", video_parameters())
    transport = world.transport(ana, sctp=True)
    ana.media.consume(transport.id, producer.id, CAPABILITIES, paused=True)
    with refused("too_many_streams"):
        ana.media.consume(transport.id, producer.id, CAPABILITIES, paused=True)
    assert transport.max_incoming_bitrate == limits.max_incoming_bitrate


def test_a_transport_that_closes_takes_its_streams_along(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    producer = world.microphone(sam)
    transport = next(one for one in world.router.transports if one.id == sam.media.transports[0].id)
    transport.close()

    assert [one.transport_id for one in world.heard(sam, TransportClosed)] == [transport.id]
    assert [one.producer_id for one in world.heard(ana, ProducerClosed)] == [producer.id]
    assert sam.media.producers == [] and sam.media.transports == []


def test_data_channels_are_announced_and_end(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    sender, receiver = world.transport(sam, sctp=True), world.transport(ana, sctp=True)
    data_producer = sam.media.produce_data(sender.id, SctpStreamParameters(stream_id=0), "cursor", "")
    world.room.announce_data(sam, data_producer)
    data_consumer = ana.media.consume_data(receiver.id, data_producer.id)
    assert [one.data_producer.label for one in world.heard(ana, NewDataProducer)] == ["cursor"]
    assert [one.participant_id for one in world.room.data_producer_infos()] == [sam.id]

    sam.media.close_data_producer(data_producer.id)
    assert [one.data_producer_id for one in world.heard(ana, DataProducerClosed)] == [data_producer.id]
    assert ana.media.data_consumers == [] and data_consumer.label == "cursor"


def test_channels_that_their_peers_close_are_over(world: RoomWorld) -> None:
    """A client has no other way to end a data consumer than to close its channel."""
    ana, sam = world.join(HOST), world.join(SPEAKER)
    sender, receiver = world.transport(sam, sctp=True), world.transport(ana, sctp=True)
    data_producer = sam.media.produce_data(sender.id, SctpStreamParameters(stream_id=0), "cursor", "")
    ana.media.consume_data(receiver.id, data_producer.id).close()
    assert ana.media.data_consumers == []
    again = ana.media.consume_data(receiver.id, data_producer.id)
    assert ana.media.data_consumers == [again]

    data_producer.close()
    assert [one.data_producer_id for one in world.heard(ana, DataProducerClosed)] == [data_producer.id]
    assert sam.media.data_producers == [] and ana.media.data_consumers == []
    assert world.room.data_producer_infos() == []


def test_who_speaks_is_passed_on_with_those_who_spoke_last() -> None:
    world = RoomWorld(RoomOptions(last_speakers=2))
    ana, mia, sam = world.join(HOST), world.join(MODERATOR), world.join(SPEAKER)
    for participant in (ana, mia, sam, mia):
        microphone = world.microphone(participant)
        world.room.on_active_speaker(microphone.id)
        world.transport(participant)
    world.room.leave(sam)
    world.room.on_active_speaker(None)

    speakers = [one.speakers for one in world.heard(ana, ActiveSpeaker)]
    assert speakers == [(ana.id,), (mia.id, ana.id), (sam.id, mia.id), (mia.id, sam.id), (mia.id, ana.id)]


def test_who_spoke_last_is_known_to_those_who_come_later(world: RoomWorld) -> None:
    sam = world.join(SPEAKER)
    microphone = world.microphone(sam)
    world.room.on_active_speaker(microphone.id)
    assert world.room.active_speaker is not None
    assert world.room.active_speaker.participant_id == sam.id

    sam.media.close_producer(microphone.id)
    assert world.room.active_speaker is None


def test_what_one_transport_sends_has_one_name(world: RoomWorld) -> None:
    sam = world.join(SPEAKER)
    transport = world.transport(sam)
    for kind, parameters in (("audio", audio_parameters()), ("video", video_parameters())):
        world.room.produce(sam, transport.id, kind, parameters)  # type: ignore[arg-type]

    assert {one.rtp_parameters.rtcp.cname for one in transport.producers} == {transport.id}


def test_volumes_name_the_participants(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    microphone = world.microphone(sam)
    world.room.on_volumes([Volume(microphone.id, -30)])

    entry = world.heard(ana, Volumes)[0].volumes[0]
    assert (entry.participant_id, entry.volume) == (sam.id, -30)


def test_consumers_tell_their_layers(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    producer, transport = world.camera(sam), world.transport(ana)
    consumer = ana.media.consume(transport.id, producer.id, CAPABILITIES, paused=True)
    fake = transport.consumers[consumer.id]
    for layers in (SimpleNamespace(spatial=2, temporal=1), None):
        fake.current_layers = layers
        transport.listener.on_consumer_layers(fake)

    told = [(one.spatial_layer, one.temporal_layer) for one in world.links[ana.id].said[-2:]]  # type: ignore[attr-defined]
    assert told == [(2, 1), (None, None)]


def test_closing_a_room_lets_go_of_everything(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    world.microphone(sam)
    world.room.close(1001, "bye")

    assert [world.links[one.id].closed for one in (ana, sam)] == [(1001, "bye")] * 2
    assert all(transport.is_closed for transport in world.router.transports)
    assert world.router.listeners == [] and not world.room.participants


def test_a_failed_produce_leaves_nothing_behind(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    transport = world.transport(sam)
    with pytest.raises(Exception, match="other kind"):
        world.room.produce(sam, transport.id, "video", audio_parameters())

    assert sam.media.producers == [] and world.heard(ana, NewProducer) == []
