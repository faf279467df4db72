"""`GET /rtc` over real sockets, with a router without any."""

from collections.abc import AsyncIterator

import pytest

from sfu.room import CLOSE_REMOVED, CLOSE_REPLACED, RoomOptions
from sfu.signalling_protocol import Encoding
from tests.helpers.waiting import eventually
from tests.sfu.rooms_world import (
    CAPABILITIES,
    DTLS,
    ROOM,
    video_parameters,
)
from tests.sfu.rtc_world import RtcWorld, joined, plain, produce, rtc_world


@pytest.fixture
async def world() -> AsyncIterator[RtcWorld]:
    async with rtc_world() as world:
        yield world


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
    leo_id = leo.info["participantId"]
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
    info = sam.info
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
    pinned = [sam.info["participantId"]]
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
    shown = await again.join("ana", resumeToken=ana.info["resumeToken"])
    assert (shown["own"]["lastN"], shown["own"]["pinned"]) == (1, [])
    assert [one["suspended"] for one in shown["own"]["consumers"]] == [True]
    await again.request("setLastN", n=None)
    assert (await again.notification("consumerResumed"))["reason"] == "lastN"


async def test_resuming_takes_over_from_a_connection_that_seems_alive(world: RtcWorld) -> None:
    sam = await joined(world, "sam")
    again = await world.connect()
    shown = await again.join("sam", resumeToken=sam.info["resumeToken"])

    assert shown["resumed"] is True
    assert await sam.closed() == CLOSE_REPLACED
    assert len((await again.request("getStats"))["transports"]) == 0


async def test_too_late_to_resume_means_to_join_anew(world: RtcWorld) -> None:
    sam = await joined(world, "sam")
    shown = await (await world.connect()).join("sam", resumeToken="long-gone")

    assert shown["resumed"] is False
    assert shown["participantId"] != sam.info["participantId"]


async def test_who_does_not_come_back_leaves_and_the_room_ends() -> None:
    async with rtc_world(room_options=RoomOptions(away_seconds=0.0)) as world:
        sam = await joined(world, "sam")
        await sam.socket.close()
        await eventually(
            lambda: world.directory.rooms[ROOM].participant(sam.info["participantId"]).link is None
        )
        world.directory.tick()

        assert not world.directory.rooms and world.fake_routers.uses[ROOM] == 0


async def test_leaving_ends_the_room_and_allows_to_join_again(world: RtcWorld) -> None:
    sam = await joined(world, "sam")
    assert await sam.refused("join", room=ROOM, token="sam") == "already_joined"
    await sam.request("leave")
    assert await sam.refused("leave") == "not_joined"
    assert not world.directory.rooms and world.fake_routers.uses[ROOM] == 0
    await sam.join("sam")
