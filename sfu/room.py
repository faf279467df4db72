"""A room: who is in it, what they send, and who is told of it. No I/O and no clock: times are given."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hmac import compare_digest
from typing import Final

from sfu.participant import Link, Participant, Role, granted_role
from sfu.participant_media import MediaLimits, ParticipantMedia
from sfu.protocol.parameters import Kind, RtpParameters
from sfu.room_errors import Refusal
from sfu.room_messages import (
    ActiveSpeaker,
    DataProducerClosed,
    DataProducerInfo,
    Message,
    NewDataProducer,
    NewProducer,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    ProducerClosed,
    ProducerInfo,
    ProducerPaused,
    ProducerResumed,
    Removed,
    VolumeEntry,
    Volumes,
)
from sfu.room_ports import Audience, DataProducerPort, Grants, ProducerPort, RouterPort, VolumeInfo
from sfu.room_stage import Stage
from sfu.source_budget import network_of
from sfu.spotlight import Spotlight

CLOSE_REMOVED: Final = 4403
CLOSE_REPLACED: Final = 4409
MAX_BARRED: Final = 1_000


@dataclass(frozen=True, slots=True)
class RoomOptions:
    """`publishers` may be on the stage, hosts included; `per_identity` is for several tabs of one user.
    `guests_per_address` have no identity but their connection's.

    `away_seconds` is how long a participant without connection stays, `last_speakers` how many are named.
    """

    participants: int = 200
    publishers: int = 16
    per_identity: int = 5
    guests_per_address: int = 30
    away_seconds: float = 30.0
    invitation_seconds: float = 60.0
    last_speakers: int = 9
    media: MediaLimits = field(default_factory=MediaLimits)


class Room:
    """Implements room_ports.RouterEvents. `stage` holds who may publish, `spotlight` whose video is seen."""

    def __init__(
        self, room_id: str, router: RouterPort, options: RoomOptions, audience: Audience | None = None
    ) -> None:
        self.id: Final = room_id
        self.router: Final = router
        self.options: Final = options
        self._audience = audience
        self._participants: dict[str, Participant] = {}
        self._owners: dict[str, Participant] = {}
        self._producing: Participant | None = None
        self.active_speaker: ActiveSpeaker | None = None
        self._barred: dict[Hashable, None] = {}
        self.spotlight: Final = Spotlight(self, options.last_speakers)
        self.stage: Final = Stage(self, options.publishers, options.invitation_seconds)
        router.add_listener(self)

    # Who is in it

    @property
    def participants(self) -> Mapping[str, Participant]:
        """Those in the room by id, the ones that are away included."""
        return self._participants

    def participant(self, participant_id: str) -> Participant:
        """Return the participant of this id."""
        found = self._participants.get(participant_id)
        if found is None:
            raise Refusal("participant_not_found", "There is nobody of this id in the room.")
        return found

    def join(self, grants: Grants, link: Link) -> Participant:
        """Let somebody in.

        Raises Refusal: `removed`, `room_full`, `too_many_connections`, `too_many_guests`.
        """
        self._check_entrance(grants)
        role, muted = self.stage.entrance(grants)
        media = ParticipantMedia(self.router, self.options.media)
        participant = Participant(grants, role, media, link)
        participant.muted = muted
        media.on_data_producers_closed = self._data_producers_closed
        media.take_place = lambda: self._take_place(participant)
        self._tell_all(ParticipantJoined(participant=participant.info))
        self._participants[participant.id] = participant
        return participant

    def _take_place(self, participant: Participant) -> Callable[[], None] | None:
        return None if self._audience is None else self._audience.watch(participant.grants)

    def _check_entrance(self, grants: Grants) -> None:
        if not grants.is_host and not self._barred.keys().isdisjoint(_marks(grants)):
            raise Refusal("removed", "You were removed from this room.")
        # A room that others have filled is its host's still, who comes in as often as anybody may.
        if len(self._participants) >= self.options.participants and not grants.is_host:
            raise Refusal("room_full", "The room is full.", 10)
        own = sum(other.grants.identity == grants.identity for other in self._participants.values())
        if own >= self.options.per_identity:
            raise Refusal("too_many_connections", "You are in this room too often already.")
        if grants.is_guest and grants.address:
            self._check_guests(grants.address)

    def _check_guests(self, address: str) -> None:
        network = network_of(address)
        guests = (one.grants for one in self if one.grants.is_guest and one.grants.address)
        if sum(network_of(one.address) == network for one in guests) >= self.options.guests_per_address:
            raise Refusal("too_many_guests", "Too many guests came from your address; sign in.")

    def resume(self, resume_token: str, grants: Grants, link: Link) -> Participant | None:
        """Give a participant its new connection; None if it is gone, or was somebody else.

        A connection that it still has is closed: it may be dead without anybody knowing.
        """
        found = next((one for one in self if compare_digest(one.resume_token, resume_token)), None)
        if found is None or not grants.may_be_same(found.grants):
            return None
        previous, was_away = found.link, found.away_since is not None
        found.link, found.away_since = link, None
        if previous is not None:
            previous.close(CLOSE_REPLACED, "resumed by another connection")
        self.update(found, grants)
        if was_away:
            self._tell_all(ParticipantChanged(participant=found.info), found)
        return found

    def detach(self, participant: Participant, link: Link, now: float) -> None:
        """Note that the connection is lost; the participant may come back."""
        if participant.link is not link or participant.id not in self._participants:
            return
        participant.link, participant.away_since = None, now
        self._tell_all(ParticipantChanged(participant=participant.info))

    def update(self, participant: Participant, grants: Grants) -> None:
        """Note what is granted now. Who may moderate no more steps down; the stage is left to moderators.

        Who may not watch any more receives nothing.
        """
        before = participant.grants
        participant.grants = grants = replace(grants, identity=before.identity)
        lost_host = participant.role is Role.HOST and not grants.is_host
        lost_moderation = before.can_moderate and not grants.can_moderate and participant.role is Role.CO_HOST
        if lost_host or lost_moderation:
            self.stage.place(participant, granted_role(grants))
        if not grants.can_subscribe:
            participant.media.stop_receiving()

    def leave(self, participant: Participant, reason: str = "left") -> None:
        """Take a participant out with all that it sends and receives."""
        if self._participants.pop(participant.id, None) is None:
            return
        participant.media.close()
        self.spotlight.forget(participant)
        self._tell_all(ParticipantLeft(participant_id=participant.id, reason=reason))

    def remove(self, by: Participant, target: Participant) -> None:
        """Let a moderator take somebody out, who may not come back as long as the room lives.

        A guest is another each time: no guests of that address may come, who are in the room already stay.
        """
        by.check_moderates(target)
        for mark in _marks(target.grants):
            while len(self._barred) >= MAX_BARRED:
                del self._barred[next(iter(self._barred))]
            self._barred[mark] = None
        same = [one for one in self if one.grants.identity == target.grants.identity]
        for one in same:
            if one is target or one.role.rank < by.role.rank:
                self.expel(one, "removed", by.id)

    def expel(self, target: Participant, reason: str, by: str | None = None) -> None:
        """Take somebody out who may be here no more."""
        link = target.link
        target.tell(Removed(by=by, reason=reason))
        self.leave(target, reason)
        if link is not None:
            link.close(CLOSE_REMOVED, reason)

    def expire(self, now: float) -> None:
        """Take out who did not come back, and drop invitations that nobody answered. Call it each second."""
        limit = now - self.options.away_seconds
        gone = [one for one in self if one.away_since is not None and one.away_since <= limit]
        for participant in gone:
            self.leave(participant, "away")
        self.stage.expire(now)

    def close(self, code: int, reason: str) -> None:
        """Take everybody out and let go of the router."""
        for participant in list(self):
            link = participant.link
            participant.link = None
            self.leave(participant)
            if link is not None:
                link.close(code, reason)
        self.router.remove_listener(self)

    def __iter__(self) -> Iterator[Participant]:
        return iter(self._participants.values())

    # What they send

    def produce(
        self,
        participant: Participant,
        transport_id: str,
        kind: Kind,
        parameters: RtpParameters,
        *,
        paused: bool = False,
        app_data: Mapping[str, object] | None = None,
        is_program: bool = False,
    ) -> ProducerPort:
        """Let a participant send a track to the others; `is_program` also to those who watch outside."""
        self.stage.check_publishes(participant, kind)
        if is_program:
            self._check_program(participant, kind)
        self._producing = participant
        try:
            producer = participant.media.produce(
                transport_id, kind, parameters, paused=paused, app_data=app_data or {}, is_program=is_program
            )
        finally:
            self._producing = None
        self._owners[producer.id] = participant
        return producer

    def _check_program(self, participant: Participant, kind: Kind) -> None:
        if participant.role is not Role.HOST:
            raise Refusal("not_host", "Only the host's tracks can be the programme.")
        if any(producer.is_program and producer.kind == kind for producer in self.router.producers.values()):
            raise Refusal("program_taken", f"The programme has its {kind} already.")

    def resume_producer(self, participant: Participant, producer_id: str) -> None:
        """Let a paused track flow again, unless a moderator muted its kind."""
        producer = participant.media.producer(producer_id)
        self.stage.check_publishes(participant, producer.kind)
        producer.resume()

    def announce_data(self, participant: Participant, data_producer: DataProducerPort) -> None:
        """Tell the others of a channel that they may consume."""
        self._tell_all(
            NewDataProducer(data_producer=_data_producer_info(participant, data_producer)), participant
        )

    def _data_producers_closed(self, closed: Iterable[DataProducerPort]) -> None:
        for data_producer in closed:
            for participant in self:
                participant.media.forget_data_consumers(data_producer.id)
            self._tell_all(DataProducerClosed(data_producer_id=data_producer.id))

    def producer_info(self, producer_id: str) -> ProducerInfo:
        """Return what everybody sees of a producer of the router."""
        return self._producer_info(self.router.producers[producer_id])

    def producer_infos(self) -> list[ProducerInfo]:
        """What there is to consume."""
        return [self._producer_info(producer) for producer in self.router.producers.values()]

    def data_producer_infos(self) -> list[DataProducerInfo]:
        """Which channels there are to consume."""
        return [_data_producer_info(one, channel) for one in self for channel in one.media.data_producers]

    def _producer_info(self, producer: ProducerPort) -> ProducerInfo:
        return ProducerInfo(
            producer_id=producer.id,
            participant_id=self.owner_id(producer.id),
            kind=producer.kind,
            paused=producer.paused,
            program=producer.is_program,
            app_data=producer.app_data,
        )

    def owner_id(self, producer_id: str) -> str | None:
        """Return whose producer it is, None of what comes from elsewhere."""
        owner = self._owners.get(producer_id)
        return None if owner is None else owner.id

    # What the router tells

    def on_producer(self, producer: ProducerPort) -> None:
        """Implement RouterEvents."""
        if self._producing is not None:
            self._owners[producer.id] = self._producing
        self._tell_all(NewProducer(producer=self._producer_info(producer)), self._owners.get(producer.id))
        self.spotlight.review()

    def on_producer_closed(self, producer: ProducerPort) -> None:
        """Implement RouterEvents."""
        owner = self._owners.pop(producer.id, None)
        if owner is not None:
            owner.media.forget_producer(producer.id)
        if self.active_speaker is not None and self.active_speaker.producer_id == producer.id:
            self.active_speaker = None
        owner_id = None if owner is None else owner.id
        self._tell_all(ProducerClosed(producer_id=producer.id, participant_id=owner_id))
        self.spotlight.review()

    def on_producer_paused(self, producer: ProducerPort) -> None:
        """Implement RouterEvents."""
        message = ProducerPaused if producer.paused else ProducerResumed
        self._tell_all(message(producer_id=producer.id))
        self.spotlight.review()

    def on_active_speaker(self, producer_id: str | None) -> None:
        """Implement RouterEvents."""
        owner_id = None if producer_id is None else self.owner_id(producer_id)
        if owner_id is not None and owner_id in self._participants:
            self.spotlight.spoke(owner_id)
        self.active_speaker = ActiveSpeaker(
            producer_id=producer_id, participant_id=owner_id, speakers=self.spotlight.speakers
        )
        self._tell_all(self.active_speaker)
        self.spotlight.review()

    def on_volumes(self, volumes: Sequence[VolumeInfo]) -> None:
        """Implement RouterEvents."""
        entries = tuple(
            VolumeEntry(
                producer_id=one.producer_id,
                participant_id=self.owner_id(one.producer_id),
                volume=one.volume,
            )
            for one in volumes
        )
        self._tell_all(Volumes(volumes=entries))

    # Telling

    def tell_changed(self, participant: Participant) -> None:
        """Tell everybody, the participant too, what it is now."""
        self._tell_all(ParticipantChanged(participant=participant.info))

    def tell_moderators(self, message: Message) -> None:
        """Tell those who may invite, mute and remove."""
        for participant in self:
            if participant.role.can_moderate:
                participant.tell(message)

    def _tell_all(self, message: Message, but: Participant | None = None) -> None:
        for participant in list(self):
            if participant is not but:
                participant.tell(message)


def _marks(grants: Grants) -> list[Hashable]:
    """Return what somebody is known again by."""
    if grants.is_guest and grants.address:
        return [grants.identity, ("guests of", network_of(grants.address))]
    return [grants.identity]


def _data_producer_info(owner: Participant, data_producer: DataProducerPort) -> DataProducerInfo:
    return DataProducerInfo(
        data_producer_id=data_producer.id,
        participant_id=owner.id,
        label=data_producer.label,
        protocol=data_producer.protocol,
    )
