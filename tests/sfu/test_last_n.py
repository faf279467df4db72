"""Who wants the video of a few only gets that of who spoke last: real rooms on a clock that tests move."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from sfu.bandwidth import ALLOCATION_SECONDS, Bandwidth
from sfu.consumer import Consumer
from sfu.participant import Participant, Role
from sfu.protocol import rtcp
from sfu.protocol.parameters import Kind, RtpEncodingParameters
from sfu.protocol.simulcast import NONE
from sfu.room import Room, RoomOptions
from sfu.room_messages import ConsumerPaused, ConsumerResumed
from sfu.room_ports import Grants
from sfu.transport import WebRtcTransport
from tests.sfu.linked_world import LEVEL_ID, Peer, World, audio, encoding, packet, video, vp8
from tests.sfu.rooms_world import HOST, ROOM, FakeLink, granted

PACKET_SECONDS = 0.02
QUIET, LOUD = 120, 15
LARGE = 1010


class Person:
    """Somebody in the room with a browser; `come` makes them."""

    def __init__(self, meeting: Meeting, participant: Participant, peer: Peer, link: FakeLink) -> None:
        self.participant = participant
        self.peer = peer
        self.link = link
        self.pictures = 0
        self.camera_is_on = False
        self._meeting = meeting
        self._number = 0
        self._sends_large = False

    @property
    def id(self) -> str:
        return self.participant.id

    def produce(self, kind: Kind, *encodings: RtpEncodingParameters) -> str:
        parameters = audio() if kind == "audio" else video(*encodings)
        self.camera_is_on = self.camera_is_on or kind == "video"
        self._sends_large = len(encodings) > 1
        transport_id = self.peer.transport.id
        return self._meeting.room.produce(self.participant, transport_id, kind, parameters).id

    def send(self, level: int) -> None:
        """20 ms of sound, and a picture: a keyframe if anybody asked for one."""
        self._number += 1
        number, extensions = self._number, [(LEVEL_ID, bytes((level,)))]
        self.peer.send_rtp(packet(number, ssrc=5000, payload_type=111, extensions=extensions))
        if not self.camera_is_on:
            return
        wanted = any(isinstance(event, rtcp.PictureLossIndication) for event in self.peer.events)
        self.peer.events.clear()
        is_key = wanted or not self.pictures
        self.pictures += 1
        self.peer.send_rtp(packet(self.pictures, payload=vp8(is_key, self.pictures), marker=True))
        if self._sends_large:
            payload = vp8(is_key, self.pictures, 1200)
            self.peer.send_rtp(packet(self.pictures, ssrc=LARGE, payload=payload, marker=True))

    def watch(self, other: Person) -> Consumer:
        """Consume what another sends by video, as `consume` does."""
        producer = next(one for one in other.participant.media.producers if one.kind == "video")
        return self._consume(producer.id)

    def listen(self, other: Person) -> Consumer:
        producer = next(one for one in other.participant.media.producers if one.kind == "audio")
        return self._consume(producer.id)

    def _consume(self, producer_id: str) -> Consumer:
        room = self._meeting.room
        consumer = self.participant.media.consume(
            self.peer.transport.id,
            producer_id,
            self._meeting.world.router.rtp_capabilities,
            paused=False,
            suspended=room.spotlight.hides(self.participant, producer_id),
        )
        assert isinstance(consumer, Consumer)
        return consumer

    def choose(self, count: int | None, *pinned: Person) -> None:
        self._meeting.room.spotlight.choose(self.participant, count, [one.id for one in pinned])

    def got(self, consumer: Consumer) -> list[bytes]:
        """What came of a consumer since the last time it was asked."""
        found = self.peer.of_ssrc(consumer.ssrc)
        self.peer.packets = [one for one in self.peer.packets if one not in found]
        return found

    def told(self, consumer: Consumer) -> list[tuple[str, str]]:
        return [
            (one.method, one.reason)
            for one in self.link.said
            if isinstance(one, ConsumerPaused | ConsumerResumed) and one.consumer_id == consumer.id
        ]


class Meeting:
    """A room on a real router."""

    def __init__(self) -> None:
        self.world = World()
        self.room = Room(ROOM, self.world.router, RoomOptions())
        self.people: list[Person] = []

    async def come(self, grants: Grants, *kinds: Kind) -> Person:
        link = FakeLink()
        participant = self.room.join(grants, link)
        transport = participant.media.create_transport(enable_sctp=False)
        assert isinstance(transport, WebRtcTransport)
        peer = await self.world.connected(f"192.0.2.{10 + len(self.people)}", transport)
        person = Person(self, participant, peer, link)
        for kind in kinds:
            person.produce(kind)
        self.people.append(person)
        return person

    def talk(self, speaker: Person | None, seconds: float = 2.0) -> None:
        """Let everybody send while one speaks."""
        for _ in range(round(seconds / PACKET_SECONDS)):
            for one in self.people:
                if one.participant.media.producers:
                    one.send(LOUD if one is speaker else QUIET)
            self.world.run(PACKET_SECONDS)


class Three:
    """A viewer, and three with cameras and microphones of whom it sees who spoke last."""

    def __init__(self, meeting: Meeting, viewer: Person, others: list[Person]) -> None:
        self.meeting, self.viewer, self.others = meeting, viewer, others
        self.consumers = [viewer.watch(one) for one in others]

    @classmethod
    async def meet(cls) -> Three:
        meeting = Meeting()
        viewer = await meeting.come(HOST)
        names = ("bo", "cy", "di")
        others = [await meeting.come(granted(name, can_publish=True), "audio", "video") for name in names]
        meeting.talk(None, 1.0)  # how loud silence is has to be learned
        return cls(meeting, viewer, others)

    def seen(self) -> list[int]:
        """Whose video comes, after the second in which no producer is asked for another keyframe."""
        self.meeting.talk(None, 1.1)
        for consumer in self.consumers:
            self.viewer.got(consumer)
        self.meeting.talk(None, 0.2)
        return [index for index, one in enumerate(self.consumers) if self.viewer.got(one)]


async def test_video_comes_only_of_who_spoke_last_and_sound_of_all() -> None:
    three = await Three.meet()
    viewer, meeting = three.viewer, three.meeting
    bo, cy, di = three.others
    sounds, before = [viewer.listen(one) for one in three.others], bo.pictures
    meeting.talk(bo)
    assert three.seen() == [0, 1, 2]

    viewer.choose(1)
    assert three.seen() == [0]
    meeting.talk(di)
    assert three.seen() == [2]
    viewer.choose(2)
    assert three.seen() == [0, 2]
    meeting.talk(cy)
    assert three.seen() == [1, 2]
    viewer.choose(None)
    assert three.seen() == [0, 1, 2]

    assert all(len(viewer.got(sound)) == bo.pictures - before for sound in sounds)
    paused, resumed = ("consumerPaused", "lastN"), ("consumerResumed", "lastN")
    assert [viewer.told(one) for one in three.consumers] == [
        [paused, resumed, paused, resumed],
        [paused, resumed],
        [paused, resumed],
    ]


async def test_it_comes_back_with_a_keyframe_and_without_a_gap() -> None:
    three = await Three.meet()
    di = three.consumers[2]
    three.meeting.talk(None, 0.5)
    first = three.viewer.got(di)
    three.viewer.choose(1)
    three.meeting.talk(None, 2.0)
    assert three.viewer.got(di) == []
    three.meeting.talk(three.others[2])
    again = three.viewer.got(di)
    assert again and not again[0][-101] & 1  # the bit of VP8's first byte that keyframes have not set
    assert int.from_bytes(again[0][2:4], "big") == int.from_bytes(first[-1][2:4], "big") + 1


async def test_each_reason_to_stop_comes_and_goes_by_itself() -> None:
    three = await Three.meet()
    viewer, bo = three.viewer, three.consumers[0]
    producer = three.others[0].participant.media.producers[1]
    viewer.choose(1)
    bo.pause()
    assert three.seen() == []
    bo.resume()
    assert three.seen() == [0]
    producer.pause()  # a camera that is off takes no place
    assert three.seen() == [1]
    producer.resume()
    assert three.seen() == [0]
    three.meeting.talk(three.others[1])
    bo.pause()
    bo.resume()
    producer.pause()
    producer.resume()
    assert three.seen() == [1]
    bo.request_keyframe()
    assert not [event for event in three.others[0].peer.events if isinstance(event, rtcp.Pli)]
    viewer.choose(None)
    assert three.seen() == [0, 1, 2]


async def test_who_comes_leaves_or_goes_off_the_stage_changes_what_is_seen() -> None:
    three = await Three.meet()
    meeting, viewer = three.meeting, three.viewer
    bo, _, di = three.others
    viewer.choose(2)
    meeting.talk(di)
    assert three.seen() == [0, 2]
    meeting.room.stage.set_role(viewer.participant, bo.participant, Role.LISTENER)
    assert three.seen() == [1, 2]
    meeting.room.leave(di.participant)
    assert three.seen() == [1]

    ed, flo = [
        await meeting.come(granted(name, can_publish=True), "audio", "video") for name in ("ed", "flo")
    ]
    three.consumers += [viewer.watch(ed), viewer.watch(flo)]
    assert three.seen() == [1, 3]
    meeting.talk(flo)
    assert three.seen() == [1, 4]


async def test_a_connection_that_is_lost_changes_nothing() -> None:
    three = await Three.meet()
    viewer, room = three.viewer, three.meeting.room
    viewer.choose(1)
    room.detach(viewer.participant, viewer.link, 0.0)
    three.meeting.talk(three.others[2])
    link = FakeLink()
    assert room.resume(viewer.participant.resume_token, HOST, link) is viewer.participant
    assert three.seen() == [2]
    three.meeting.talk(three.others[0])
    assert {one.reason for one in (*link.of(ConsumerPaused), *link.of(ConsumerResumed))} == {"lastN"}
    assert three.seen() == [0]


async def test_pinned_ones_are_seen_besides() -> None:
    three = await Three.meet()
    _, cy, di = three.others
    three.viewer.choose(1, di)
    assert three.seen() == [0, 2]
    three.meeting.talk(cy)
    assert three.seen() == [1, 2]
    three.meeting.talk(di)
    assert three.seen() == [1, 2]


async def test_who_sends_takes_no_place_among_what_they_see() -> None:
    meeting = Meeting()
    bo, cy = [await meeting.come(granted(name, can_publish=True), "audio", "video") for name in ("bo", "cy")]
    consumer = bo.watch(cy)
    bo.choose(1)
    meeting.talk(bo)
    bo.got(consumer)
    meeting.talk(bo, 0.5)
    assert bo.got(consumer)


async def test_what_belongs_to_nobody_is_seen_always() -> None:
    three = await Three.meet()
    viewer = three.viewer
    viewer.choose(1)
    outside = await three.meeting.world.connected("192.0.2.99")
    programme = viewer._consume(outside.transport.produce("video", video(encoding(1000), mid="p")).id)
    outside.send_rtp(packet(1, payload=vp8(True), marker=True))
    assert viewer.got(programme)


async def test_nothing_is_allocated_at_the_moment_in_which_a_whole_room_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    meeting = Meeting()
    viewer = await meeting.come(HOST)
    others = [await meeting.come(granted(name, can_publish=True), "audio") for name in ("bo", "cy")]
    for one in others:
        one.produce("video", encoding(1000), encoding(LARGE))
    consumers = [viewer.watch(one) for one in others]
    meeting.talk(None, 1.0)
    allocations: list[float] = []
    allocate = Bandwidth.allocate

    def count(bandwidth: Bandwidth, consumers: Collection[Consumer], now: float) -> None:
        allocations.append(now)
        allocate(bandwidth, consumers, now)

    monkeypatch.setattr(Bandwidth, "allocate", count)
    viewer.choose(1)
    others[0].participant.media.producers[1].pause()
    assert ([one.target for one in consumers], allocations) == ([NONE, NONE], [])
    meeting.talk(None, ALLOCATION_SECONDS + PACKET_SECONDS)
    assert consumers[1].target != NONE
    assert allocations


async def test_what_the_path_carries_goes_to_who_is_seen() -> None:
    """600 kb/s are thought to fit: two pictures, one of which may be large and takes 480."""
    meeting = Meeting()
    viewer = await meeting.come(HOST)
    bo, cy = [await meeting.come(granted(name, can_publish=True), "audio") for name in ("bo", "cy")]
    for one in (bo, cy):
        one.produce("video", encoding(1000), encoding(LARGE))
    consumers = [viewer.watch(one) for one in (bo, cy)]
    meeting.talk(None, 2.0)
    assert [one.target for one in consumers] == [1, 0]
    viewer.choose(1)
    meeting.talk(cy, 8.0)
    assert [one.target for one in consumers] == [NONE, 1]
    viewer.choose(None)
    meeting.talk(None, 1.0)
    assert sorted(one.target for one in consumers) == [0, 1]
