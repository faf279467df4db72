"""Whatever people do in a room, its rules hold and everybody's picture of it is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sfu import room_messages as told
from sfu.participant import Participant, Role
from sfu.protocol.parameters import Kind
from sfu.room import RoomOptions
from sfu.room_errors import Refusal
from sfu.room_messages import Message
from sfu.room_ports import Grants
from tests.sfu.rooms_world import (
    CAPABILITIES,
    HOST,
    LISTENER,
    MODERATOR,
    SPEAKER,
    FakeLink,
    RoomWorld,
    audio_parameters,
    granted,
    video_parameters,
)

PUBLISHERS = 3
AWAY_SECONDS = 30.0
MOVES = st.integers(0, 1_000)
KINDS = st.sampled_from([("audio",), ("video",), ("audio", "video")])


class Picture(FakeLink):
    """What a client knows, from the response to join and from notifications alone."""

    def __init__(self) -> None:
        super().__init__()
        self.participants: dict[str, told.ParticipantInfo] = {}
        self.producers: dict[str, bool] = {}
        self.consumers: dict[str, bool] = {}
        self.suspended: set[str] = set()

    def show(self, world: RoomWorld, me: Participant) -> None:
        """Take the response to join."""
        self.participants = {one.id: one.info for one in world.room}
        self.producers = {one.producer_id: one.paused for one in world.room.producer_infos()}
        self.consumers = {one.id: one.producer_paused for one in me.media.consumers}
        self.suspended = {one.id for one in me.media.consumers if one.suspended}

    def notify(self, message: Message) -> None:
        match message:
            case told.ParticipantJoined(participant=info) | told.ParticipantChanged(participant=info):
                self.participants[info.id] = info
            case told.ParticipantLeft(participant_id=identifier):
                del self.participants[identifier]
            case told.NewProducer(producer=info):
                self.producers[info.producer_id] = info.paused
            case told.ProducerPaused(producer_id=identifier):
                self.producers[identifier] = True
            case told.ProducerResumed(producer_id=identifier):
                self.producers[identifier] = False
            case told.ProducerClosed(producer_id=identifier):
                self.producers.pop(identifier, None)
            case told.ConsumerPaused(consumer_id=identifier, reason="lastN"):
                assert identifier not in self.suspended
                self.suspended.add(identifier)
            case told.ConsumerResumed(consumer_id=identifier, reason="lastN"):
                self.suspended.remove(identifier)
            case told.ConsumerPaused(consumer_id=identifier):
                self.consumers[identifier] = True
            case told.ConsumerResumed(consumer_id=identifier):
                self.consumers[identifier] = False
            case told.ConsumerClosed(consumer_id=identifier):
                self.forget(identifier)
            case _:
                pass

    def forget(self, consumer_id: str) -> None:
        self.consumers.pop(consumer_id, None)
        self.suspended.discard(consumer_id)


class RoomMachine(RuleBasedStateMachine):
    people: ClassVar[tuple[Grants, ...]] = (
        HOST,
        MODERATOR,
        SPEAKER,
        granted("sid", can_publish=True),
        LISTENER,
        granted("lea"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.world = RoomWorld(
            RoomOptions(participants=8, publishers=PUBLISHERS, per_identity=2, away_seconds=AWAY_SECONDS)
        )
        self.room = self.world.room
        self.pictures: dict[str, Picture] = {}
        self.removed: set[str] = set()
        self.now = 0.0

    # Helpers

    def one(self, number: int, fits: Callable[[Participant], object] = bool) -> Participant:
        """Somebody; three times out of four one of those who fit, or most would be refused."""
        everybody = list(self.room)
        fitting = [one for one in everybody if fits(one)] if number % 4 else []
        chosen = fitting or everybody
        return chosen[number // 4 % len(chosen)]

    def moderator(self, number: int) -> Participant:
        return self.one(number, lambda one: one.role.can_moderate)

    def other(self, by: Participant, number: int) -> Participant:
        return self.one(number, lambda one: one.role.rank < by.role.rank)

    def has_people(self) -> bool:
        return bool(self.room.participants)

    def try_to(self, deed: Any, *arguments: Any) -> Any:
        """Do it unless the room refuses, which must change nothing: the invariants see to that."""
        try:
            return deed(*arguments)
        except Refusal:
            return None

    # Coming and going

    @initialize()
    def everybody_comes(self) -> None:
        for number in range(len(self.people)):
            self.join(number)

    @rule(number=MOVES)
    def join(self, number: int) -> None:
        link = Picture()
        grants = self.people[number % len(self.people)]
        participant = self.try_to(self.room.join, grants, link)
        if participant is not None:
            assert grants.identity not in self.removed
            link.show(self.world, participant)
            self.pictures[participant.id] = link

    @precondition(has_people)
    @rule(number=MOVES)
    def leave(self, number: int) -> None:
        self.room.leave(self.one(number))

    @precondition(has_people)
    @rule(number=MOVES)
    def lose_connection(self, number: int) -> None:
        participant = self.one(number)
        if participant.link is not None:
            self.room.detach(participant, participant.link, self.now)

    @precondition(has_people)
    @rule(number=MOVES)
    def come_back(self, number: int) -> None:
        participant, link = self.one(number), Picture()
        assert self.room.resume(participant.resume_token, participant.grants, link) is participant
        link.show(self.world, participant)
        self.pictures[participant.id] = link

    @rule(seconds=st.floats(0.1, 40.0))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.room.expire(self.now)
        assert all(one.away_since is None or self.now - one.away_since < AWAY_SECONDS for one in self.room)

    # The stage

    @precondition(has_people)
    @rule(number=MOVES, deed=st.sampled_from(["raise_hand", "lower_hand", "decline", "step_down"]))
    def move(self, number: int, deed: str) -> None:
        self.try_to(getattr(self.room.stage, deed), self.one(number))

    @precondition(has_people)
    @rule(number=MOVES)
    def accept(self, number: int) -> None:
        participant = self.one(number, lambda one: one.invitation)
        invited = participant.invitation is not None
        self.try_to(self.room.stage.accept, participant, self.now)
        assert invited or participant.invitation is None

    @precondition(has_people)
    @rule(by=MOVES, whom=MOVES)
    def invite(self, by: int, whom: int) -> None:
        moderator = self.moderator(by)
        listener = self.one(whom, lambda one: not one.role.is_on_stage)
        self.try_to(self.room.stage.invite, moderator, listener, self.now)

    @precondition(has_people)
    @rule(by=MOVES, whom=MOVES, role=st.sampled_from(Role))
    def set_role(self, by: int, whom: int, role: Role) -> None:
        moderator = self.moderator(by)
        other = self.other(moderator, whom)
        rank = moderator.role.rank
        before = other.role
        self.try_to(self.room.stage.set_role, moderator, other, role)
        assert other.role is before or max(before.rank, other.role.rank) < rank

    @precondition(has_people)
    @rule(by=MOVES, whom=MOVES, kinds=KINDS, lifts=st.booleans())
    def mute(self, by: int, whom: int, kinds: tuple[Kind, ...], lifts: bool) -> None:
        deed = self.room.stage.unmute if lifts else self.room.stage.mute
        moderator = self.moderator(by)
        self.try_to(deed, moderator, self.other(moderator, whom), kinds)

    @precondition(has_people)
    @rule(by=MOVES, whom=MOVES)
    def remove(self, by: int, whom: int) -> None:
        moderator = self.moderator(by)
        other = self.other(moderator, whom)
        self.try_to(self.room.remove, moderator, other)
        if other.id not in self.room.participants:
            self.removed.add(other.grants.identity)

    # Media

    @precondition(has_people)
    @rule(number=MOVES, kind=st.sampled_from(["audio", "video"]))
    def produce(self, number: int, kind: Kind) -> None:
        participant = self.one(number, lambda one: one.role.is_on_stage)
        if len(participant.media.transports) >= 4:
            return
        transport = self.world.transport(participant)
        parameters = audio_parameters() if kind == "audio" else video_parameters()
        self.try_to(self.room.produce, participant, transport.id, kind, parameters)

    @precondition(has_people)
    @rule(number=MOVES, which=MOVES, deed=st.sampled_from(["pause", "resume", "close"]))
    def change_producer(self, number: int, which: int, deed: str) -> None:
        participant = self.one(number, lambda one: one.media.producers)
        if not participant.media.producers:
            return
        producer = participant.media.producers[which % len(participant.media.producers)]
        if deed == "pause":
            producer.pause()
        elif deed == "resume":
            self.try_to(self.room.resume_producer, participant, producer.id)
        else:
            participant.media.close_producer(producer.id)

    @precondition(has_people)
    @rule(number=MOVES, which=MOVES)
    def consume(self, number: int, which: int) -> None:
        participant = self.one(number, lambda one: one.media.transports)
        producers = list(self.world.router.producers)
        if not producers or not participant.media.transports:
            return
        transport = participant.media.transports[0]
        wanted = producers[which % len(producers)]
        hidden = self.room.spotlight.hides(participant, wanted)
        consumer = self.try_to(
            lambda: participant.media.consume(
                transport.id, wanted, CAPABILITIES, paused=True, suspended=hidden
            )
        )
        if consumer is not None:
            picture = self.pictures[participant.id]
            picture.consumers[consumer.id] = consumer.producer_paused
            if consumer.suspended:
                picture.suspended.add(consumer.id)

    @precondition(has_people)
    @rule(number=MOVES, count=st.none() | st.integers(1, 3), pinned=st.lists(MOVES, max_size=1))
    def choose_video(self, number: int, count: int | None, pinned: list[int]) -> None:
        self.room.spotlight.choose(self.one(number), count, [self.one(which).id for which in pinned])

    @precondition(has_people)
    @rule(number=MOVES)
    def speak(self, number: int) -> None:
        participant = self.one(number, lambda one: one.media.producers)
        sounds = [producer for producer in participant.media.producers if producer.kind == "audio"]
        self.room.on_active_speaker(sounds[0].id if sounds else None)

    @precondition(has_people)
    @rule(number=MOVES)
    def lose_transport(self, number: int) -> None:
        participant = self.one(number)
        if participant.media.transports:
            lost = {one.id for one in participant.media.consumers}
            participant.media.transports[0].close()
            kept = {one.id for one in participant.media.consumers}
            # A client knows what its transport carried.
            for identifier in lost - kept:
                self.pictures[participant.id].forget(identifier)

    # What always holds

    @invariant()
    def only_those_on_the_stage_send(self) -> None:
        for one in self.room:
            assert one.role.is_on_stage or not one.media.producers
            assert not (one.role.is_on_stage and (one.invitation or one.hand_raised))
            for producer in one.media.producers:
                assert producer.paused or producer.kind not in one.muted

    @invariant()
    def the_stage_is_not_overfull(self) -> None:
        guests = [one for one in self.room if one.role in (Role.SPEAKER, Role.CO_HOST)]
        assert len(guests) <= PUBLISHERS
        assert len(self.room.participants) <= 8 + 2  # the host comes in twice, however full it is

    @invariant()
    def nothing_belongs_to_nobody(self) -> None:
        owned = {producer.id for one in self.room for producer in one.media.producers}
        assert owned == set(self.world.router.producers)
        open_transports = {one.id for one in self.world.router.transports if not one.is_closed}
        assert open_transports == {one.id for each in self.room for one in each.media.transports}

    @invariant()
    def everybody_connected_sees_the_room_as_it_is(self) -> None:
        participants = {one.id: one.info for one in self.room}
        producers = {one.producer_id: one.paused for one in self.room.producer_infos()}
        for one in self.room:
            if one.link is None:
                continue
            picture = self.pictures[one.id]
            assert picture.participants == participants
            own = {producer.id for producer in one.media.producers}
            assert {key: value for key, value in picture.producers.items() if key not in own} == {
                key: value for key, value in producers.items() if key not in own
            }
            assert picture.consumers == {each.id: each.producer_paused for each in one.media.consumers}
            assert picture.suspended == {each.id for each in one.media.consumers if each.suspended}

    @invariant()
    def nobody_gets_the_video_of_more_than_they_asked_for(self) -> None:
        for one in self.room:
            choice = one.video_choice
            videos = [each for each in one.media.consumers if each.kind == "video"]
            assert not any(each.suspended for each in one.media.consumers if each not in videos)
            owners = {each.id: self.room.owner_id(each.producer_id) for each in videos}
            shown = {owners[each.id] for each in videos if not (each.suspended or each.producer_paused)}
            sending = self.senders() - {one.id}
            if choice is None:
                assert not any(each.suspended for each in videos)
                continue
            assert len(shown - choice.pinned) <= choice.count
            assert len(choice.shown & sending - choice.pinned) == min(
                choice.count, len(sending - choice.pinned)
            )

    def senders(self) -> set[str]:
        return {
            one.id
            for one in self.room
            if any(each.kind == "video" and not each.paused for each in one.media.producers)
        }


TestRoomMachine = RoomMachine.TestCase
TestRoomMachine.settings = settings(
    max_examples=25,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
