"""What participants send and receive in a room, and who is told of it."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from sfu.errors import NoSuchProducer
from sfu.participant_media import MediaLimits
from sfu.protocol.active_speaker import Volume
from sfu.protocol.parameters import SctpStreamParameters
from sfu.room import RoomOptions
from sfu.room_messages import (
    ActiveSpeaker,
    ConsumerClosed,
    ConsumerPaused,
    DataProducerClosed,
    NewDataProducer,
    NewProducer,
    ProducerClosed,
    ProducerPaused,
    TransportClosed,
    Volumes,
)
from tests.sfu.refusals import refused
from tests.sfu.rooms_world import (
    CAPABILITIES,
    HOST,
    LISTENER,
    MODERATOR,
    SPEAKER,
    RoomWorld,
    audio_parameters,
    video_parameters,
)


@pytest.fixture
def world() -> RoomWorld:
    return RoomWorld()


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
