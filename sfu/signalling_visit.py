"""What a participant may ask for, method by method: the stage and the room, transports, tracks, channels.

Each function takes the visit and the decoded body, and returns the response's data. Refusals, and what the
core raises, have changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from msgspec import UNSET

from sfu import signalling_bodies as bodies
from sfu.participant import Participant, Role
from sfu.room import Room
from sfu.room_errors import Refusal
from sfu.room_ports import TransportPort

ResponseBody = bodies.ResponseBody


@dataclass(frozen=True, slots=True)
class Visit:
    """A participant in its room, at the time of a request."""

    room: Room
    participant: Participant
    now: float


@dataclass(frozen=True, slots=True)
class Method:
    """`body` is what the data must be. Who repeats what is costly, or told to everybody, is slowed down."""

    body: type[bodies.RequestBody]
    call: Callable[[Visit, Any], ResponseBody | None]
    is_costly: bool = False


# The room and the stage


def _capabilities(visit: Visit, _: bodies.Nothing) -> bodies.RouterCapabilities:
    return bodies.RouterCapabilities(router_rtp_capabilities=visit.room.router.rtp_capabilities)


def _raise_hand(visit: Visit, _: bodies.Nothing) -> None:
    visit.room.stage.raise_hand(visit.participant)


def _lower_hand(visit: Visit, _: bodies.Nothing) -> None:
    visit.room.stage.lower_hand(visit.participant)


def _accept(visit: Visit, _: bodies.Nothing) -> None:
    visit.room.stage.accept(visit.participant, visit.now)


def _decline(visit: Visit, _: bodies.Nothing) -> None:
    visit.room.stage.decline(visit.participant)


def _step_down(visit: Visit, _: bodies.Nothing) -> None:
    visit.room.stage.step_down(visit.participant)


def _invite(visit: Visit, body: bodies.OfParticipant) -> None:
    target = visit.room.participant(body.participant_id)
    visit.room.stage.invite(visit.participant, target, visit.now)


def _set_role(visit: Visit, body: bodies.SetRole) -> None:
    target = visit.room.participant(body.participant_id)
    visit.room.stage.set_role(visit.participant, target, Role(body.role))


def _mute(visit: Visit, body: bodies.Mute) -> None:
    target = visit.room.participant(body.participant_id)
    visit.room.stage.mute(visit.participant, target, body.kinds)


def _unmute(visit: Visit, body: bodies.Mute) -> None:
    target = visit.room.participant(body.participant_id)
    visit.room.stage.unmute(visit.participant, target, body.kinds)


def _remove(visit: Visit, body: bodies.OfParticipant) -> None:
    visit.room.remove(visit.participant, visit.room.participant(body.participant_id))


# Transports


def _create_transport(visit: Visit, body: bodies.CreateTransport) -> bodies.TransportCreated:
    transport = visit.participant.media.create_transport(enable_sctp=body.sctp_capabilities is not None)
    candidates = tuple(transport.ice_candidates)
    if body.force_tcp:
        candidates = tuple(candidate for candidate in candidates if candidate.protocol == "tcp")
    return bodies.TransportCreated(
        id=transport.id,
        ice_parameters=transport.ice_parameters,
        ice_candidates=candidates,
        dtls_parameters=transport.dtls_parameters,
        sctp_parameters=transport.sctp_parameters or UNSET,
    )


def _connect_transport(visit: Visit, body: bodies.ConnectTransport) -> None:
    visit.participant.media.connect(body.transport_id, body.dtls_parameters)


def _restart_ice(visit: Visit, body: bodies.OfTransport) -> bodies.IceRestarted:
    transport = visit.participant.media.transport(body.transport_id)
    return bodies.IceRestarted(ice_parameters=transport.restart_ice())


def _close_transport(visit: Visit, body: bodies.OfTransport) -> None:
    visit.participant.media.close_transport(body.transport_id)


def _statistics(visit: Visit, body: bodies.GetStats) -> bodies.Statistics:
    media = visit.participant.media
    chosen = media.transports if body.transport_id is None else [media.transport(body.transport_id)]
    return bodies.Statistics(transports=tuple(_transport_statistics(one) for one in chosen))


def _transport_statistics(transport: TransportPort) -> bodies.TransportStatistics:
    stats = tuple(dict(entry) for entry in transport.statistics())
    return bodies.TransportStatistics(transport_id=transport.id, stats=stats)


# What is sent


def _produce(visit: Visit, body: bodies.Produce) -> bodies.Created:
    producer = visit.room.produce(
        visit.participant,
        body.transport_id,
        body.kind,
        body.rtp_parameters,
        paused=body.paused,
        app_data=body.app_data,
        is_program=body.program,
    )
    return bodies.Created(id=producer.id)


def _close_producer(visit: Visit, body: bodies.OfProducer) -> None:
    visit.participant.media.close_producer(body.producer_id)


def _pause_producer(visit: Visit, body: bodies.OfProducer) -> None:
    visit.participant.media.producer(body.producer_id).pause()


def _resume_producer(visit: Visit, body: bodies.OfProducer) -> None:
    visit.room.resume_producer(visit.participant, body.producer_id)


def _produce_data(visit: Visit, body: bodies.ProduceData) -> bodies.Created:
    visit.room.stage.check_sends(visit.participant)
    data_producer = visit.participant.media.produce_data(
        body.transport_id, body.sctp_stream_parameters, body.label, body.protocol
    )
    visit.room.announce_data(visit.participant, data_producer)
    return bodies.Created(id=data_producer.id)


def _close_data_producer(visit: Visit, body: bodies.OfDataProducer) -> None:
    visit.participant.media.close_data_producer(body.data_producer_id)


# What is received


def _consume(visit: Visit, body: bodies.Consume) -> bodies.Consuming:
    _check_subscribes(visit)
    consumer = visit.participant.media.consume(
        body.transport_id,
        body.producer_id,
        body.rtp_capabilities,
        paused=body.paused,
        suspended=visit.room.spotlight.hides(visit.participant, body.producer_id),
    )
    info = visit.room.producer_info(body.producer_id)
    return bodies.Consuming(
        id=consumer.id,
        producer_id=consumer.producer_id,
        participant_id=info.participant_id,
        kind=consumer.kind,
        rtp_parameters=consumer.rtp_parameters,
        producer_paused=consumer.producer_paused,
        suspended=consumer.suspended,
        app_data=dict(info.app_data),
    )


def _close_consumer(visit: Visit, body: bodies.OfConsumer) -> None:
    visit.participant.media.close_consumer(body.consumer_id)


def _pause_consumer(visit: Visit, body: bodies.OfConsumer) -> None:
    visit.participant.media.consumer(body.consumer_id).pause()


def _resume_consumer(visit: Visit, body: bodies.OfConsumer) -> None:
    visit.participant.media.consumer(body.consumer_id).resume()


def _set_layers(visit: Visit, body: bodies.SetLayers) -> None:
    consumer = visit.participant.media.consumer(body.consumer_id)
    consumer.set_preferred_layers(body.spatial_layer, body.temporal_layer)


def _set_priority(visit: Visit, body: bodies.SetPriority) -> None:
    visit.participant.media.consumer(body.consumer_id).set_priority(body.priority)


def _request_keyframe(visit: Visit, body: bodies.OfConsumer) -> None:
    visit.participant.media.consumer(body.consumer_id).request_keyframe()


def _set_last_n(visit: Visit, body: bodies.SetLastN) -> None:
    visit.room.spotlight.choose(visit.participant, body.n, body.pinned)


def _consume_data(visit: Visit, body: bodies.ConsumeData) -> bodies.ConsumingData:
    _check_subscribes(visit)
    data_consumer = visit.participant.media.consume_data(body.transport_id, body.data_producer_id)
    return bodies.ConsumingData(
        id=data_consumer.id,
        data_producer_id=data_consumer.data_producer_id,
        sctp_stream_parameters=data_consumer.sctp_stream_parameters,
        label=data_consumer.label,
        protocol=data_consumer.protocol,
    )


def _check_subscribes(visit: Visit) -> None:
    if not visit.participant.grants.can_subscribe:
        raise Refusal("may_not_subscribe", "You may publish here, but not watch.")


METHODS: Final[Mapping[str, Method]] = {
    "getRouterRtpCapabilities": Method(bodies.Nothing, _capabilities),
    "raiseHand": Method(bodies.Nothing, _raise_hand, is_costly=True),
    "lowerHand": Method(bodies.Nothing, _lower_hand, is_costly=True),
    "acceptInvitation": Method(bodies.Nothing, _accept, is_costly=True),
    "declineInvitation": Method(bodies.Nothing, _decline, is_costly=True),
    "leaveStage": Method(bodies.Nothing, _step_down, is_costly=True),
    "inviteToStage": Method(bodies.OfParticipant, _invite, is_costly=True),
    "setRole": Method(bodies.SetRole, _set_role, is_costly=True),
    "muteParticipant": Method(bodies.Mute, _mute, is_costly=True),
    "unmuteParticipant": Method(bodies.Mute, _unmute, is_costly=True),
    "removeParticipant": Method(bodies.OfParticipant, _remove, is_costly=True),
    "createWebRtcTransport": Method(bodies.CreateTransport, _create_transport, is_costly=True),
    "connectWebRtcTransport": Method(bodies.ConnectTransport, _connect_transport),
    "restartIce": Method(bodies.OfTransport, _restart_ice, is_costly=True),
    "closeTransport": Method(bodies.OfTransport, _close_transport),
    "getStats": Method(bodies.GetStats, _statistics, is_costly=True),
    "produce": Method(bodies.Produce, _produce, is_costly=True),
    "closeProducer": Method(bodies.OfProducer, _close_producer, is_costly=True),
    "pauseProducer": Method(bodies.OfProducer, _pause_producer, is_costly=True),
    "resumeProducer": Method(bodies.OfProducer, _resume_producer, is_costly=True),
    "produceData": Method(bodies.ProduceData, _produce_data, is_costly=True),
    "closeDataProducer": Method(bodies.OfDataProducer, _close_data_producer, is_costly=True),
    "consume": Method(bodies.Consume, _consume),
    "closeConsumer": Method(bodies.OfConsumer, _close_consumer),
    "pauseConsumer": Method(bodies.OfConsumer, _pause_consumer),
    "resumeConsumer": Method(bodies.OfConsumer, _resume_consumer),
    "setConsumerPreferredLayers": Method(bodies.SetLayers, _set_layers),
    "setConsumerPriority": Method(bodies.SetPriority, _set_priority),
    "requestConsumerKeyFrame": Method(bodies.OfConsumer, _request_keyframe),
    "setLastN": Method(bodies.SetLastN, _set_last_n, is_costly=True),
    "consumeData": Method(bodies.ConsumeData, _consume_data),
}
