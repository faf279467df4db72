"""`GET /rtc` over real sockets, with a router without any."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from sfu import signalling_session
from sfu.participant import Link
from sfu.protocol.parameters import RtpParameters
from sfu.room import CLOSE_REMOVED, CLOSE_REPLACED, RoomOptions
from sfu.room_errors import Refusal
from sfu.room_messages import Volumes
from sfu.room_ports import Grants
from sfu.signalling import (
    CLOSE_GOING_AWAY,
    CLOSE_NOT_JOINED,
    CLOSE_TOO_MANY_FRAMES,
    CLOSE_TOO_SLOW,
    CLOSE_WRONG_KIND,
    SignallingOptions,
)
from sfu.signalling_protocol import MAX_FRAME_BYTES, Encoding
from sfu.signalling_visit import METHODS
from tests.helpers.waiting import eventually
from tests.sfu.rooms_world import (
    CAPABILITIES,
    DTLS,
    ROOM,
    FakeAccess,
    audio_parameters,
    everybody,
    granted,
    video_parameters,
)
from tests.sfu.rtc_world import RtcClient, RtcWorld, rtc_world


@pytest.fixture
async def world() -> AsyncIterator[RtcWorld]:
    async with rtc_world() as world:
        yield world


def plain(shape: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(shape))


async def joined(world: RtcWorld, token: str | None, encoding: Encoding = Encoding.JSON) -> RtcClient:
    client = await world.connect(encoding)
    client.info = await client.join(token, rtpCapabilities=plain(CAPABILITIES))  # type: ignore[attr-defined]
    return client


async def produce(client: RtcClient, parameters: RtpParameters | None = None, **data: Any) -> str:
    transport = await client.request("createWebRtcTransport")
    parameters = parameters or audio_parameters()
    created = await client.request(
        "produce",
        transportId=transport["id"],
        kind=parameters.codecs[0].kind,
        rtpParameters=plain(parameters),
        **data,
    )
    return created["id"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("encoding", Encoding)
async def test_two_participants_send_and_receive(world: RtcWorld, encoding: Encoding) -> None:
    ana = await joined(world, "ana", encoding)
    sam = await joined(world, "sam", encoding)
    assert (await ana.notification("participantJoined"))["participant"]["name"] == "Sam"

    transport = await sam.request("createWebRtcTransport")
    assert transport["iceParameters"]["iceLite"] is True
    assert {one["protocol"] for one in transport["iceCandidates"]} == {"udp", "tcp"}
    await sam.request("connectWebRtcTransport", transportId=transport["id"], dtlsParameters=plain(DTLS))
    created = await sam.request(
        "produce",
        transportId=transport["id"],
        kind="video",
        rtpParameters={**plain(video_parameters()), "msid": "what newer clients add"},
        appData={"source": "camera"},
    )

    new = (await ana.notification("newProducer"))["producer"]
    assert new["producerId"] == created["id"] and new["appData"] == {"source": "camera"}
    receiving = await ana.request("createWebRtcTransport", forceTcp=True)
    assert {one["protocol"] for one in receiving["iceCandidates"]} == {"tcp"}
    consumer = await ana.request("consume", transportId=receiving["id"], producerId=new["producerId"])
    assert consumer["kind"] == "video" and consumer["rtpParameters"]["mid"] == "1"
    await ana.request("resumeConsumer", consumerId=consumer["id"])
    await ana.request(
        "setConsumerPreferredLayers", consumerId=consumer["id"], spatialLayer=2, temporalLayer=1
    )
    await ana.request("setConsumerPriority", consumerId=consumer["id"], priority=200)
    await ana.request("requestConsumerKeyFrame", consumerId=consumer["id"])
    await ana.request("pauseConsumer", consumerId=consumer["id"])

    fake = world.fake_routers.routers[ROOM].transports[1].consumers[consumer["id"]]
    assert fake.calls == [("layers", 2, 1), ("priority", 200), ("keyframe",)] and fake.paused
    assert world.fake_routers.routers[ROOM].transports[0].connected == DTLS
    await sam.request("pauseProducer", producerId=created["id"])
    assert (await ana.notification("consumerPaused"))["consumerId"] == consumer["id"]
    await sam.request("resumeProducer", producerId=created["id"])
    assert (await ana.notification("consumerResumed"))["consumerId"] == consumer["id"]
    await sam.request("closeProducer", producerId=created["id"])
    assert (await ana.notification("consumerClosed"))["consumerId"] == consumer["id"]


async def test_the_response_to_join_shows_the_room(world: RtcWorld) -> None:
    sam = await joined(world, "sam")
    producer_id = await produce(sam)
    ana = await world.connect(Encoding.MSGPACK)
    shown = await ana.request("join", room="the-room", token="ana")

    assert shown["roomId"] == ROOM and shown["resumed"] is False
    assert shown["routerRtpCapabilities"] == plain(CAPABILITIES)
    assert [one["role"] for one in shown["participants"]] == ["speaker", "host"]
    assert [one["producerId"] for one in shown["producers"]] == [producer_id]
    assert (await ana.request("getRouterRtpCapabilities"))["routerRtpCapabilities"] == plain(CAPABILITIES)


async def test_data_channels(world: RtcWorld) -> None:
    ana, sam = await joined(world, "ana"), await joined(world, "sam")
    sctp = {"numStreams": {"OS": 1024, "MIS": 1024}}
    sending = await sam.request("createWebRtcTransport", sctpCapabilities=sctp)
    assert sending["sctpParameters"] == {"port": 5000, "OS": 1024, "MIS": 1024, "maxMessageSize": 262_144}
    channel = await sam.request(
        "produceData",
        transportId=sending["id"],
        sctpStreamParameters={"streamId": 3, "ordered": True},
        label="cursor",
        protocol="json",
    )
    new = (await ana.notification("newDataProducer"))["dataProducer"]
    receiving = await ana.request("createWebRtcTransport", sctpCapabilities=sctp)
    consumer = await ana.request(
        "consumeData", transportId=receiving["id"], dataProducerId=new["dataProducerId"]
    )
    assert (consumer["label"], consumer["sctpStreamParameters"]["streamId"]) == ("cursor", 1)
    await sam.request("closeDataProducer", dataProducerId=channel["id"])
    assert (await ana.notification("dataProducerClosed"))["dataProducerId"] == channel["id"]

    plain_transport = await sam.request("createWebRtcTransport")
    refusal = await sam.refused(
        "produceData", transportId=plain_transport["id"], sctpStreamParameters={"streamId": 1}
    )
    assert refusal == "no_data_channels"
    listener = await joined(world, "leo")
    carrier = await listener.request("createWebRtcTransport", sctpCapabilities=sctp)
    refusal = await listener.refused(
        "produceData", transportId=carrier["id"], sctpStreamParameters={"streamId": 1}
    )
    assert refusal == "not_on_stage"


async def test_transports_restart_close_and_count(world: RtcWorld) -> None:
    sam = await joined(world, "sam")
    transport = await sam.request("createWebRtcTransport")
    restarted = await sam.request("restartIce", transportId=transport["id"])
    assert restarted["iceParameters"]["usernameFragment"] == "again"
    for data in ({}, {"transportId": transport["id"]}):
        stats = await sam.request("getStats", **data)
        assert stats["transports"][0]["stats"][0]["type"] == "transport"
    await sam.request("closeTransport", transportId=transport["id"])
    assert await sam.refused("restartIce", transportId=transport["id"]) == "not_found"


async def test_the_stage_by_frames(world: RtcWorld) -> None:
    ana, leo = await joined(world, "ana"), await joined(world, "leo")
    leo_id = leo.info["participantId"]  # type: ignore[attr-defined]
    await leo.request("raiseHand")
    assert (await ana.notification("handRaised"))["participantId"] == leo_id
    await ana.request("inviteToStage", participantId=leo_id)
    assert (await leo.notification("invited"))["expiresIn"] == 60
    await leo.request("acceptInvitation")
    await produce(leo)
    await ana.request("muteParticipant", participantId=leo_id)
    assert (await leo.notification("muted"))["kinds"] == ["audio"]
    await ana.request("unmuteParticipant", participantId=leo_id)
    await leo.notification("unmuted")
    await ana.request("setRole", participantId=leo_id, role="co-host")
    await leo.request("leaveStage")
    await leo.request("raiseHand")
    await leo.request("lowerHand")
    await ana.request("inviteToStage", participantId=leo_id)
    await leo.request("declineInvitation")
    assert (await ana.notification("invitationDeclined"))["participantId"] == leo_id
    await ana.request("removeParticipant", participantId=leo_id)
    assert (await leo.notification("removed"))["reason"] == "removed"
    assert await leo.closed() == CLOSE_REMOVED
    assert await ana.refused("inviteToStage", participantId=leo_id) == "participant_not_found"


async def test_a_lost_connection_is_resumed(world: RtcWorld) -> None:
    ana, sam = await joined(world, "ana"), await joined(world, "sam")
    producer_id = await produce(sam)
    await sam.socket.close()
    away = await ana.notification("participantChanged")
    assert away["participant"]["isAway"] is True

    again = await world.connect(Encoding.MSGPACK)
    info = sam.info  # type: ignore[attr-defined]
    shown = await again.join("sam", resumeToken=info["resumeToken"])
    assert shown["resumed"] is True and shown["participantId"] == info["participantId"]
    assert shown["own"]["producers"] == [producer_id] and len(shown["own"]["transports"]) == 1
    await again.request("restartIce", transportId=shown["own"]["transports"][0])
    await again.request("closeProducer", producerId=producer_id)
    assert (await ana.notification("producerClosed"))["producerId"] == producer_id


async def test_who_resumes_still_gets_the_video_that_was_asked_for(world: RtcWorld) -> None:
    sam, mia, ana = await joined(world, "sam"), await joined(world, "mia"), await joined(world, "ana")
    await produce(sam, video_parameters())
    hidden = await produce(mia, video_parameters())
    transport = await ana.request("createWebRtcTransport")
    pinned = [sam.info["participantId"]]  # type: ignore[attr-defined]
    for n in (0, 51, "5"):
        assert await ana.refused("setLastN", n=n) == "bad_request"
    assert await ana.refused("setLastN", n=1, pinned=17 * pinned) == "bad_request"
    await ana.request("setLastN", n=1)
    consumer = await ana.request("consume", transportId=transport["id"], producerId=hidden)
    await ana.request("setLastN", n=1, pinned=pinned)
    assert await ana.notification("consumerResumed") == {"consumerId": consumer["id"], "reason": "lastN"}
    await ana.request("setLastN", n=1)
    await ana.socket.close()

    again = await world.connect()
    shown = await again.join("ana", resumeToken=ana.info["resumeToken"])  # type: ignore[attr-defined]
    assert (shown["own"]["lastN"], shown["own"]["pinned"]) == (1, [])
    assert [one["suspended"] for one in shown["own"]["consumers"]] == [True]
    await again.request("setLastN", n=None)
    assert (await again.notification("consumerResumed"))["reason"] == "lastN"


async def test_resuming_takes_over_from_a_connection_that_seems_alive(world: RtcWorld) -> None:
    sam = await joined(world, "sam")
    again = await world.connect()
    shown = await again.join("sam", resumeToken=sam.info["resumeToken"])  # type: ignore[attr-defined]

    assert shown["resumed"] is True
    assert await sam.closed() == CLOSE_REPLACED
    assert len((await again.request("getStats"))["transports"]) == 0


async def test_too_late_to_resume_means_to_join_anew(world: RtcWorld) -> None:
    sam = await joined(world, "sam")
    shown = await (await world.connect()).join("sam", resumeToken="long-gone")

    assert shown["resumed"] is False
    assert shown["participantId"] != sam.info["participantId"]  # type: ignore[attr-defined]


async def test_who_does_not_come_back_leaves_and_the_room_ends() -> None:
    async with rtc_world(room_options=RoomOptions(away_seconds=0.0)) as world:
        sam = await joined(world, "sam")
        await sam.socket.close()
        await eventually(
            lambda: world.directory.rooms[ROOM].participant(sam.info["participantId"]).link is None
        )  # type: ignore[attr-defined]
        world.directory.tick()

        assert not world.directory.rooms and world.fake_routers.uses[ROOM] == 0


async def test_leaving_ends_the_room_and_allows_to_join_again(world: RtcWorld) -> None:
    sam = await joined(world, "sam")
    assert await sam.refused("join", room=ROOM, token="sam") == "already_joined"
    await sam.request("leave")
    assert await sam.refused("leave") == "not_joined"
    assert not world.directory.rooms and world.fake_routers.uses[ROOM] == 0
    await sam.join("sam")


# Rights


async def test_who_may_not_enter_is_refused(world: RtcWorld) -> None:
    client = await world.connect()
    world.fake_access.refused["banned"] = Refusal("banned", "You are banned from this room.")

    assert await client.refused("join", room="elsewhere") == "room_not_found"
    assert await client.refused("join", room=ROOM, token="forged") == "invalid_token"
    assert await client.refused("join", room=ROOM, token="banned") == "banned"
    assert not world.directory.rooms


async def test_nothing_is_done_for_somebody_in_no_room(world: RtcWorld) -> None:
    client = await world.connect()
    body = {"participantId": "x", "role": "speaker"}

    assert await client.refused("raiseHand") == "not_joined"
    assert await client.refused("setRole", **body) == "not_joined"


async def test_who_may_not_subscribe_consumes_nothing(world: RtcWorld) -> None:
    sam, deaf = await joined(world, "sam"), await joined(world, "deaf")
    producer_id = await produce(sam)
    transport = await deaf.request("createWebRtcTransport")

    refusal = await deaf.refused("consume", transportId=transport["id"], producerId=producer_id)
    assert refusal == "may_not_subscribe"


async def test_what_the_core_refuses_has_a_code(world: RtcWorld) -> None:
    sam, ana = await joined(world, "sam"), await joined(world, "ana")
    producer_id = await produce(sam)
    transport_id = (await sam.request("getStats"))["transports"][0]["transportId"]
    own = (await ana.request("createWebRtcTransport"))["id"]
    audio = plain(audio_parameters())

    assert await sam.refused("produce", transportId=transport_id, kind="audio", rtpParameters=audio) == (
        "duplicate_stream"
    )
    assert await sam.refused("produce", transportId=transport_id, kind="video", rtpParameters=audio) == (
        "invalid_parameters"
    )
    assert await ana.refused("consume", transportId=own, producerId="nobody") == "no_such_producer"
    assert (
        await ana.refused("consume", transportId=own, producerId=producer_id, rtpCapabilities={})
        == "cannot_consume"
    )


async def test_what_is_revoked_takes_effect_on_live_connections(world: RtcWorld) -> None:
    ana, sam = await joined(world, "ana"), await joined(world, "sam")
    await produce(sam)
    world.fake_access.refused["sam"] = Refusal("banned", "You are banned.")
    await world.signalling.review(identity="user-ana")
    assert (await sam.request("getStats"))["transports"]
    await world.signalling.review(room_id=ROOM, identity="user-sam")

    assert (await sam.notification("removed")) == {"by": None, "reason": "revoked"}
    assert await sam.closed() == CLOSE_REMOVED
    assert (await ana.notification("participantLeft"))["reason"] == "revoked"


async def test_a_review_that_cannot_be_made_changes_nothing(world: RtcWorld) -> None:
    sam = await joined(world, "sam")
    world.fake_access.refused["sam"] = Refusal("unavailable", "No database.")
    await world.signalling.review()

    await sam.request("getRouterRtpCapabilities")


class SlowAccess(FakeAccess):
    """Answers reviews when told to, of whom it was told; the others at once."""

    def __init__(self) -> None:
        known = everybody()
        super().__init__(known.grants)
        self.gates: dict[str, asyncio.Event] = {}
        self.failing = ""
        self.asked: list[str] = []
        self.at_once: list[int] = [0]
        self._running = 0

    async def review(self, grants: Grants, principal: object) -> Grants:
        token = grants.identity.removeprefix("user-")
        self.asked.append(token)
        if token == self.failing:
            raise RuntimeError("a bug elsewhere")
        answer = await super().review(grants, principal)
        self._running += 1
        self.at_once.append(self._running)
        try:
            gate = self.gates.get(token)
            await (gate.wait() if gate is not None else asyncio.sleep(0))
        finally:
            self._running -= 1
        return answer


def demote(access: FakeAccess, *tokens: str) -> None:
    for token in tokens:
        access.grants[token] = granted(token)


async def test_a_review_that_fails_or_takes_long_holds_up_nobody() -> None:
    access = SlowAccess()
    async with rtc_world(access=access) as world:
        sam, mia, ana = await joined(world, "sam"), await joined(world, "mia"), await joined(world, "ana")
        access.failing, access.gates = "sam", {"mia": asyncio.Event()}
        demote(access, "mia", "ana")
        with capture_logs() as lines:
            reviewed = asyncio.create_task(world.signalling.review())
            for name in ("Ana", "Mia"):
                changed = await ana.notification("participantChanged")
                assert (changed["participant"]["name"], changed["participant"]["role"]) == (name, "listener")
                access.gates["mia"].set()
            await reviewed
        assert [line["event"] for line in lines] == ["rtc_review_failed"]
        await sam.request("getStats")
        await mia.request("getStats")


async def test_who_is_not_answered_for_in_time_stays_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signalling_session, "AUTHORIZE_SECONDS", 0.05)
    access = SlowAccess()
    async with rtc_world(access=access) as world:
        _mia = await joined(world, "mia")
        access.gates = {"mia": asyncio.Event()}
        demote(access, "mia")
        await world.signalling.review()
        assert [one.role for one in world.directory.rooms[ROOM]] == ["co-host"]


async def test_only_a_few_are_reviewed_at_once() -> None:
    access = SlowAccess()
    async with rtc_world(access=access, options=SignallingOptions(reviews_at_once=2)) as world:
        clients = [await joined(world, token) for token in ("ana", "mia", "sam", "leo", "deaf")]
        access.gates = {"ana": asyncio.Event()}
        reviews = [asyncio.create_task(world.signalling.review())]
        await eventually(lambda: len(access.asked) == len(clients))
        reviews += [asyncio.create_task(world.signalling.review()) for _ in range(20)]
        await eventually(lambda: len(access.asked) >= 2 * len(clients) - 1)
        access.gates["ana"].set()
        await asyncio.gather(*reviews)
        assert access.asked.count("ana") == 2  # once for the first review, and once for all that came later
        assert max(access.at_once) == 2


async def test_the_answer_to_a_later_review_is_the_one_that_counts() -> None:
    access = SlowAccess()
    async with rtc_world(access=access) as world:
        _ana = await joined(world, "ana")
        access.gates = {"ana": asyncio.Event()}
        first = asyncio.create_task(world.signalling.review())
        await eventually(lambda: access.asked)
        demote(access, "ana")
        gate, access.gates = access.gates["ana"], {}
        second = asyncio.create_task(world.signalling.review())
        for _ in range(10):
            await asyncio.sleep(0)
        assert access.asked == ["ana"]
        gate.set()
        await asyncio.gather(first, second)
        assert [one.grants.is_host for one in world.directory.rooms[ROOM]] == [False]


async def test_a_review_knows_a_guest_who_came_back(world: RtcWorld) -> None:
    world.fake_access.grants[None] = replace(granted("guest"), is_guest=True)
    guest = await joined(world, None)
    again = await world.connect()
    world.fake_access.grants[None] = replace(granted("other"), is_guest=True)
    shown = await again.join(resumeToken=guest.info["resumeToken"])  # type: ignore[attr-defined]
    world.fake_access.grants["guest"] = replace(granted("third"), is_guest=True)
    await world.signalling.review()

    assert shown["resumed"] is True
    await again.request("getStats")


async def test_a_review_lets_moderators_step_down(world: RtcWorld) -> None:
    ana, mia = await joined(world, "ana"), await joined(world, "mia")
    world.fake_access.grants["mia"] = granted("mia")
    await world.signalling.review()

    changed = await ana.notification("participantChanged")
    assert (changed["participant"]["name"], changed["participant"]["role"]) == ("Mia", "listener")
    assert await mia.refused("muteParticipant", participantId=changed["participant"]["id"]) == "not_moderator"


async def test_who_may_watch_no_more_receives_nothing(world: RtcWorld) -> None:
    sam, leo = await joined(world, "sam"), await joined(world, "leo")
    producer_id = await produce(sam)
    transport = await leo.request("createWebRtcTransport")
    consumer = await leo.request("consume", transportId=transport["id"], producerId=producer_id)
    world.fake_access.grants["leo"] = granted("leo", can_subscribe=False)
    await world.signalling.review(room_id=ROOM)

    assert (await leo.notification("consumerClosed"))["consumerId"] == consumer["id"]
    assert await leo.refused("resumeConsumer", consumerId=consumer["id"]) == "not_found"


async def test_who_repeats_what_everybody_hears_is_slowed_down(world: RtcWorld) -> None:
    leo = await joined(world, "leo")
    answers = [
        await leo.response(leo.frame(method, {})) for _ in range(60) for method in ("raiseHand", "lowerHand")
    ]

    refused = [answer["errorCode"] for answer in answers if not answer["ok"]]
    assert refused and set(refused) == {"rate_limited"}
    await leo.request("getRouterRtpCapabilities")


# Bad input


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ({"request": True, "id": 1, "method": "dance", "data": {}}, "unknown_method"),
        ({"request": True, "id": 1, "method": "join", "data": {"colour": "red"}}, "bad_request"),
        ({"request": True, "id": 1, "method": "join"}, "bad_request"),
        ({"request": True, "id": 1, "method": "join", "data": []}, "bad_request"),
        ({"request": True, "id": 1, "method": "join", "data": {"room": "a\0b"}}, "bad_request"),
        ({"request": True, "id": 1, "method": "join", "data": {"room": "x" * 65}}, "bad_request"),
        ({"request": False, "id": 1, "method": "join"}, "bad_frame"),
        ({"request": True, "id": 1, "method": 5}, "bad_frame"),
        ({"request": True, "id": 1, "method": "join", "extra": 1}, "bad_frame"),
        ({"response": True, "id": 1, "ok": True}, "bad_frame"),
    ],
)
@pytest.mark.parametrize("encoding", Encoding)
async def test_a_bad_frame_is_answered_and_the_connection_stays(
    world: RtcWorld, encoding: Encoding, frame: dict[str, Any], reason: str
) -> None:
    client = await world.connect(encoding)
    answer = await client.response(frame)

    assert (answer["ok"], answer["errorCode"], answer["id"]) == (False, reason, 1)
    await client.join("sam")


async def test_an_error_names_the_field(world: RtcWorld) -> None:
    sam = await joined(world, "sam")
    parameters = plain(audio_parameters())
    parameters["codecs"][0]["clockRate"] = "fast"
    answer = await sam.response(
        sam.frame("produce", {"transportId": "t", "kind": "audio", "rtpParameters": parameters})
    )

    assert "data.rtpParameters.codecs[0].clockRate" in answer["errorReason"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{",
        '{"id": -1}',
        "[" * 50_000,
        '{"request": true, "id": 1.5, "method": "join"}',
        '{"a":' * 10_000,
        "\ud7ff",
    ],
)
async def test_what_has_no_id_is_answered_by_a_notification(world: RtcWorld, text: str) -> None:
    client = await world.connect()
    await client.socket.send_str(text)

    assert (await client.notification("error"))["errorCode"] == "bad_frame"


@pytest.mark.parametrize(
    "data", ['{"room": "\\ud800"}', '{"room": "x", "rtpCapabilities": ' + '{"codecs": [' * 5_000 + "}"]
)
async def test_texts_that_are_none_are_refused(world: RtcWorld, data: str) -> None:
    client = await world.connect()
    await client.socket.send_str('{"request": true, "id": 7, "method": "join", "data": ' + data + "}")
    frame = await client.receive()

    assert "bad_" in str(frame)
    await client.join("sam")


async def test_bytes_that_are_no_utf_8_in_msgpack(world: RtcWorld) -> None:
    client = await world.connect(Encoding.MSGPACK)
    await client.socket.send_bytes(
        b"\x84\xa7request\xc3\xa2id\x01\xa6method\xa4join\xa4data\x81\xa4room\xa1\xff"
    )

    assert (await client.receive())["errorCode"] == "bad_request"


async def test_the_wrong_kind_of_messages_closes(world: RtcWorld) -> None:
    text, binary = await world.connect(Encoding.JSON), await world.connect(Encoding.MSGPACK)
    await text.socket.send_bytes(b"{}")
    await binary.socket.send_str("{}")

    assert await text.closed() == CLOSE_WRONG_KIND
    assert await binary.closed() == CLOSE_WRONG_KIND


async def test_a_frame_that_is_too_long_closes(world: RtcWorld) -> None:
    client = await world.connect()
    await client.socket.send_str("x" * (MAX_FRAME_BYTES + 1))

    assert await client.closed() == 1009


@pytest.mark.parametrize("is_ping", [True, False])
async def test_a_flood_is_cut(is_ping: bool) -> None:
    async with rtc_world(options=SignallingOptions(frames_per_second=1, frame_burst=20)) as world:
        client = await world.connect()
        for _ in range(40):
            await (client.socket.ping() if is_ping else client.socket.send_str("{}"))

        assert await client.closed() == CLOSE_TOO_MANY_FRAMES


async def test_frames_that_came_together_leave_turns_to_others(
    world: RtcWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn, turns = 0, []
    answer = signalling_session.Session.answer

    async def noting(session: signalling_session.Session, frame: bytes, link: Link) -> bytes | None:
        turns.append(turn)
        return await answer(session, frame, link)

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    client = await joined(world, "leo")
    monkeypatch.setattr(signalling_session.Session, "answer", noting)
    counting = asyncio.create_task(count_turns())
    for _ in range(100):
        await client.send(client.frame("getRouterRtpCapabilities", {}))
    await eventually(lambda: len(turns) == 100)
    counting.cancel()
    assert len(set(turns)) == 100


async def test_who_joins_no_room_is_sent_away() -> None:
    async with rtc_world(options=SignallingOptions(join_seconds=0.05)) as world:
        assert await (await world.connect()).closed() == CLOSE_NOT_JOINED


async def test_who_is_in_a_room_may_be_silent() -> None:
    async with rtc_world(options=SignallingOptions(join_seconds=0.05)) as world:
        client = await joined(world, "sam")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.socket.receive()
        assert world.signalling.connection_count == 1


async def test_who_answers_no_ping_is_cut_and_may_come_back() -> None:
    async with rtc_world(options=SignallingOptions(ping_seconds=0.1)) as world:
        socket = await world.http.ws_connect(world.server.make_url("/rtc"), autoping=False)
        client = RtcClient(socket, Encoding.JSON)
        shown = await client.join("sam")
        room = world.directory.rooms[ROOM]

        await eventually(lambda: room.participant(shown["participantId"]).link is None)


async def test_who_answers_pings_stays() -> None:
    async with rtc_world(options=SignallingOptions(ping_seconds=0.1)) as world:
        client = await joined(world, "sam")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await client.socket.receive()
        await client.request("getStats")


async def test_who_does_not_read_is_cut_and_costs_nobody_else(world: RtcWorld) -> None:
    sam, ana = await joined(world, "sam"), await joined(world, "ana")
    room = world.directory.rooms[ROOM]
    stuck = room.participant(sam.info["participantId"])  # type: ignore[attr-defined]
    assert stuck.link is not None
    for _ in range(2_000):
        room.tell_changed(stuck)

    assert stuck.link is None or stuck.link._goodbye == (CLOSE_TOO_SLOW, "too slow")  # type: ignore[attr-defined]
    await eventually(lambda: stuck.link is None)
    assert ana is not None


async def test_volumes_are_left_out_for_who_is_behind(world: RtcWorld) -> None:
    sam = await joined(world, "sam")
    room = world.directory.rooms[ROOM]
    for _ in range(2_000):
        room.on_volumes([])

    assert (await sam.notification(Volumes.method)) == {"volumes": []}
    await sam.request("getStats")


# The handshake and the end


async def test_a_client_without_subprotocol_speaks_json(world: RtcWorld) -> None:
    socket = await world.http.ws_connect(world.server.make_url("/rtc"))

    await RtcClient(socket, Encoding.JSON).join("sam")


async def test_other_subprotocols_and_plain_requests_are_refused(world: RtcWorld) -> None:
    url = world.server.make_url("/rtc")
    plain_request = await world.http.get(url)
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Protocol": "protoo"}
    other = await world.http.get(url, headers=headers)

    assert (plain_request.status, (await plain_request.json())["code"]) == (400, "not_websocket")
    assert (other.status, (await other.json())["code"]) == (400, "unknown_subprotocol")


@pytest.mark.parametrize(
    ("code", "status"), [("invalid_token", 401), ("bad_origin", 403), ("rate_limited", 429), ("other", 503)]
)
async def test_who_is_not_admitted_hears_it_over_http(world: RtcWorld, code: str, status: int) -> None:
    world.fake_access.admission = Refusal(code, "No.", 3)
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    answer = await world.http.get(world.server.make_url("/rtc"), headers=headers)

    assert (answer.status, (await answer.json())["code"]) == (status, code)
    assert int(answer.headers["Retry-After"]) >= 3


async def test_a_full_server_lets_nobody_in() -> None:
    async with rtc_world(options=SignallingOptions(max_connections=1)) as world:
        kept = await world.connect()
        headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
        answer = await world.http.get(world.server.make_url("/rtc"), headers=headers)

        assert answer.status == 503 and answer.headers["Retry-After"]
        await kept.join()


async def test_a_server_that_stops_says_goodbye(world: RtcWorld) -> None:
    sam, nobody = await joined(world, "sam"), await world.connect()
    world.signalling.close()

    assert [await sam.closed(), await nobody.closed()] == [CLOSE_GOING_AWAY] * 2
    assert not world.directory.rooms


async def test_a_fault_of_ours_is_told_without_detail(
    world: RtcWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    sam = await joined(world, "sam")
    monkeypatch.setattr(type(world.directory.rooms[ROOM].stage), "raise_hand", lambda *_: 1 / 0)

    assert await sam.refused("raiseHand") == "internal_error"
    await sam.request("getStats")


def test_every_method_has_a_name_of_its_own() -> None:
    assert not {"join", "leave"} & set(METHODS)
