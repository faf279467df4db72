"""WHEP's rules over real HTTP, with a core that only notes what it is asked for."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import ClientError

from sfu.ports import Refusal, RefusalReason
from sfu.protocol import ortc
from sfu.protocol.parameters import (
    Direction,
    Kind,
    RtpCodecParameters,
    RtpEncodingParameters,
    RtpParameters,
)
from sfu.transport import TransportState
from tests.helpers.waiting import eventually
from tests.sfu.http_world import (
    FRAGMENT,
    NEW_ICE,
    ROOM,
    SDP,
    SLUG,
    TOKEN,
    FakeProducer,
    World,
    answered,
    doors,
    options,
    problem,
)
from tests.sfu.protocol.sdp_cases import ROUTER, sample

VIEWER = sample("chromium_whep")
BOTH: tuple[Kind, Kind] = ("audio", "video")


def producer(identifier: str, mime_type: str, is_program: bool = True, profile: str = "") -> FakeProducer:
    kind: Kind = "audio" if mime_type.startswith("audio") else "video"
    codec = RtpCodecParameters(
        mime_type=mime_type,
        payload_type=96,
        clock_rate=48_000 if kind == "audio" else 90_000,
        channels=2 if kind == "audio" else None,
        parameters={"profile-level-id": profile, "packetization-mode": 1} if profile else {},
    )
    parameters = RtpParameters(codecs=(codec,), encodings=(RtpEncodingParameters(ssrc=1),))
    mapping = ortc.producer_mapping(parameters, ROUTER, 1)
    consumable = ortc.consumable_parameters(kind, parameters, ROUTER, mapping)
    return FakeProducer(identifier, kind, consumable, is_program)


def opus(identifier: str = "sound", is_program: bool = True) -> FakeProducer:
    return producer(identifier, "audio/opus", is_program)


def vp8(identifier: str = "picture", is_program: bool = True) -> FakeProducer:
    return producer(identifier, "video/VP8", is_program)


def live(*producers: FakeProducer) -> World:
    world = World()
    world.core.offer(*(producers or (opus(), vp8())))
    return world


@pytest.mark.parametrize("name", ["chromium_whep", "firefox_whep"])
async def test_every_known_viewer_gets_sound_and_picture(name: str) -> None:
    world = live()
    async with doors(world) as served:
        response = await served.watch(sample(name))
        assert response.status == 201
        assert response.headers["Location"].startswith(f"/whep/{ROOM}/session/")
        text = await response.text()
        sections = [section for section in answered(text).sections if section.is_usable]
        assert [section.direction for section in sections] == [Direction.SENDONLY] * 2
        assert {section.stream_id for section in sections} == {ROOM}
        assert {section.track_id for section in sections} == {"sound", "picture"}
        assert [identifier for identifier, _ in world.core.last.consumed] == ["sound", "picture"]
        assert [section.mid for section in sections] == [p.mid for _, p in world.core.last.consumed]


async def test_the_streams_of_a_viewer_have_numbers_of_their_own() -> None:
    world = live()
    async with doors(world) as served:
        await served.watch(VIEWER)
        encodings = [parameters.encodings[0] for _, parameters in world.core.last.consumed]
        numbers = [encoding.ssrc for encoding in encodings]
        numbers += [encoding.rtx.ssrc for encoding in encodings if encoding.rtx]
        assert len(set(numbers)) == 3


async def test_each_viewer_gets_the_codec_it_can_take() -> None:
    """The newest comes first; who does not know it gets the other."""
    world = live(opus(), producer("h264", "video/H264", profile="42e01f"), vp8("vp8"))
    without_vp8 = VIEWER.replace("VP8/90000", "VP1/90000")
    async with doors(world) as served:
        await served.watch(VIEWER)
        assert world.core.last.consumed[1][0] == "vp8"
        await served.watch(without_vp8)
        identifier, parameters = world.core.last.consumed[1]
        assert identifier == "h264"
        assert parameters.codecs[0].mime_type == "video/H264"


async def test_a_profile_that_the_offer_lacks_is_tried_where_there_is_nothing_else() -> None:
    offer = VIEWER.replace("64001f", "42e01f").replace("640c1f", "42e01f").replace("4d001f", "42e01f")
    world = live(opus(), producer("high", "video/H264", profile="64001f"))
    async with doors(world) as served:
        await served.watch(offer)
        assert [identifier for identifier, _ in world.core.last.consumed] == ["sound", "high"]
        world.core.offer(vp8())
        await served.watch(offer)
        assert [identifier for identifier, _ in world.core.last.consumed] == ["sound", "picture"]


async def test_a_section_without_a_producer_stays_inactive() -> None:
    world = live(opus())
    async with doors(world) as served:
        response = await served.watch(VIEWER)
        sections = answered(await response.text()).sections
        assert [section.direction for section in sections] == [Direction.SENDONLY, Direction.INACTIVE]


async def test_without_low_latency_the_program_is_refused_and_participants_are_not() -> None:
    world = live()
    world.participants = {"guest": ["guest-sound"]}
    world.core.offer(opus("guest-sound", is_program=False))
    async with doors(world) as served:
        response = await served.watch(VIEWER)
        world.low_latency = False
        await problem(await served.watch(VIEWER), 403, "low_latency_off")
        assert world.watches_program == [True]
        assert (await served.watch(VIEWER, f"{ROOM}/guest")).status == 201
        assert world.watches_program == [True, False]
        # Who watches is told to leave by whoever knows of the change, and may still say goodbye.
        assert (await served.client.delete(response.headers["Location"])).status == 200


async def test_only_the_program_is_played_or_one_participant() -> None:
    world = live(opus("guest-sound", False), vp8("guest-picture", False), opus(), vp8())
    world.participants = {"guest": ["guest-sound", "guest-picture", "gone"], "silent": []}
    async with doors(world) as served:
        await served.watch(VIEWER)
        assert {identifier for identifier, _ in world.core.last.consumed} == {"sound", "picture"}
        response = await served.watch(VIEWER, f"{ROOM}/guest")
        assert {name for name, _ in world.core.last.consumed} == {"guest-sound", "guest-picture"}
        assert response.headers["Location"].startswith(f"/whep/{ROOM}/session/")
        await problem(await served.watch(VIEWER, f"{ROOM}/nobody"), 404, "no_such_participant")
        await problem(await served.watch(VIEWER, f"{ROOM}/silent"), 409, "not_live")


async def test_a_room_that_is_not_live_is_to_be_asked_again() -> None:
    world = World()
    async with doors(world) as served:
        response = await served.watch(VIEWER)
        await problem(response, 409, "not_live")
        assert int(response.headers["Retry-After"]) > 0
        await problem(await served.watch(VIEWER, "unknown"), 404, "no_such_room")
    assert not world.core.transports


async def test_a_stream_that_starts_is_waited_for() -> None:
    world = World(kinds=())
    async with doors(world) as served:
        waiting = asyncio.create_task(served.watch(VIEWER))
        await eventually(lambda: world.core.listeners)
        world.kinds = BOTH
        world.core.offer(opus())
        world.core.offer(vp8())
        response = await waiting
        assert response.status == 201
        assert [identifier for identifier, _ in world.core.last.consumed] == ["sound", "picture"]
    assert not world.core.listeners


async def test_a_publisher_that_connects_is_waited_for() -> None:
    world = World()
    async with doors(world) as served:
        await served.publish(sample("obs_whip"))
        waiting = asyncio.create_task(served.watch(VIEWER))
        await eventually(lambda: world.core.listeners)
        world.core.last.become(TransportState.CONNECTED)
        world.core.offer(opus(), vp8())
        assert (await waiting).status == 201


async def test_the_second_kind_is_waited_for_but_not_for_ever() -> None:
    world = World(kinds=BOTH)
    world.core.offer(opus())
    async with doors(world) as served:
        response = await served.watch(VIEWER)
        assert response.status == 201
        assert [identifier for identifier, _ in world.core.last.consumed] == ["sound"]


async def test_what_never_starts_is_answered() -> None:
    world = World(kinds=BOTH)
    async with doors(world) as served:
        waiting = asyncio.create_task(served.watch(VIEWER))
        await eventually(lambda: world.core.listeners)
        world.kinds = None
        world.core.listeners[0].on_producer_closed(vp8())
        await problem(await waiting, 409, "not_live")


async def test_why_a_stream_cannot_be_played_is_said() -> None:
    async with doors(World(not_playable="the video has B-frames")) as served:
        response = await served.watch(VIEWER)
        await problem(response, 409, "not_playable")
        assert "Retry-After" not in response.headers
        assert (await response.json())["detail"] == "the video has B-frames"


async def test_who_waits_while_the_server_drains_is_sent_elsewhere() -> None:
    world = World(kinds=("audio", "video"))
    async with doors(world) as served:
        waiting = asyncio.create_task(served.watch(VIEWER))
        await eventually(lambda: world.core.listeners)
        served.whep.drain()
        world.core.offer(opus(), vp8())
        await problem(await waiting, 503, "draining")
        assert world.core.last.is_closed


async def test_a_viewer_that_leaves_while_it_waits_leaves_nothing_behind() -> None:
    world = World(kinds=BOTH)
    async with doors(world) as served:
        waiting = asyncio.create_task(served.watch(VIEWER))
        await eventually(lambda: world.core.listeners)
        waiting.cancel()
        with pytest.raises((asyncio.CancelledError, ClientError)):
            await waiting
        await eventually(lambda: not world.core.listeners)
        await eventually(lambda: not world.watching)
    assert not world.core.transports


async def test_who_must_leave_while_waiting_gets_nothing() -> None:
    world = World(kinds=BOTH)
    async with doors(world) as served:
        waiting = asyncio.create_task(served.watch(VIEWER))
        await eventually(lambda: world.core.listeners)
        world.watching[0]()
        world.core.offer(opus(), vp8())
        await problem(await waiting, 403, "not_allowed")
    assert not world.core.transports


async def test_an_offer_that_understands_nothing_is_not_acceptable() -> None:
    world = live(producer("picture", "video/AV1"))
    offer = VIEWER.replace("AV1/90000", "AV0/90000")
    async with doors(world) as served:
        body = await problem(await served.watch(offer), 406, "unsupported_media")
        assert "AV1" in body["detail"]
        sending = VIEWER.replace("a=recvonly", "a=sendonly")
        await problem(await served.watch(sending), 406, "nothing_received")
        await problem(await served.watch("v=0\r\nx"), 422, "malformed_description")
    assert not world.core.transports


async def test_a_closed_room_wants_a_token_in_the_header_or_the_address() -> None:
    world = live()
    world.needs_token = True
    async with doors(world) as served:
        response = await served.watch(VIEWER)
        await problem(response, 401, "token_required")
        assert response.headers["WWW-Authenticate"] == "Bearer"
        await problem(await served.watch(VIEWER, Authorization="Bearer wrong"), 401, "token_required")
        assert (await served.watch(VIEWER, f"{ROOM}?token={TOKEN}")).status == 201
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        response = await served.watch(VIEWER, **bearer)
        assert response.status == 201
        location = response.headers["Location"]
        await problem(await served.client.delete(location), 401, "token_required")
        assert (await served.client.delete(location, headers=bearer)).status == 200


async def test_a_session_opened_without_a_token_needs_none_later() -> None:
    world = live()
    async with doors(world) as served:
        response = await served.watch(VIEWER, SLUG)
        location, tag = response.headers["Location"], response.headers["ETag"]
        headers = {**FRAGMENT, "If-Match": "*"}
        response = await served.client.patch(location, data=NEW_ICE, headers=headers)
        assert response.status == 200
        assert response.headers["ETag"] != tag
        assert (await served.client.delete(location)).status == 200
        assert world.core.last.is_closed


async def test_the_rules_of_the_room_may_refuse_and_end_a_viewer() -> None:
    world = live()
    async with doors(world) as served:
        await served.watch(VIEWER)
        world.watching[0]()
        assert world.core.last.is_closed
        assert len(served.whep.sessions) == 0
        world.refusal = Refusal(RefusalReason.FORBIDDEN, "banned", "you are banned")
        await problem(await served.watch(VIEWER), 403, "banned")


async def test_a_full_room_takes_no_more() -> None:
    world = live()
    world.max_viewers = 2
    async with doors(world) as served:
        for _ in range(2):
            assert (await served.watch(VIEWER)).status == 201
            world.core.last.become(TransportState.CONNECTED)
        response = await served.watch(VIEWER)
        await problem(response, 503, "room_full")
        assert int(response.headers["Retry-After"]) > 0
        served.whep.sessions.of_room(ROOM)[0].close()
        assert (await served.watch(VIEWER)).status == 201


async def test_who_only_asks_takes_no_viewers_place() -> None:
    world = live()
    world.max_viewers = 1
    async with doors(world) as served:
        for _ in range(5):
            assert (await served.watch(VIEWER)).status == 201
        assert world.viewers == 0
        first, second = world.core.transports[:2]
        first.become(TransportState.CONNECTED)
        assert world.viewers == 1
        second.become(TransportState.CONNECTED)
        await eventually(lambda: second.is_closed)
        assert (world.viewers, first.is_closed) == (1, False)


async def test_who_connects_to_a_full_server_is_sent_away() -> None:
    world = live()
    async with doors(world) as served:
        await served.watch(VIEWER)
        world.is_full = True
        world.core.last.become(TransportState.CONNECTED)
        await eventually(lambda: world.core.last.is_closed)
        assert len(served.whep.sessions) == 0


async def test_the_room_may_fill_while_a_viewer_waits_for_the_stream() -> None:
    world = World(kinds=())
    world.max_viewers = 1
    world.participants = {"guest": ["guest"]}
    world.core.offer(opus("guest", False))
    async with doors(world) as served:
        waiting = asyncio.ensure_future(served.watch(VIEWER))
        await eventually(lambda: world.routers_held == 1)
        await served.watch(VIEWER, f"{ROOM}/guest")
        world.core.last.become(TransportState.CONNECTED)
        world.kinds = ("audio",)
        world.core.offer(opus())
        await problem(await waiting, 503, "room_full")


async def test_one_address_has_few_places_for_who_does_not_come() -> None:
    world = live()
    async with doors(world, options(hurried_after=2, hurried_seconds=0.02)) as served:
        for _ in range(2):
            await served.watch(VIEWER)
            world.core.last.become(TransportState.CONNECTED)
        for _ in range(6):
            await served.watch(VIEWER)
        await eventually(lambda: len(served.whep.sessions) == 4)
        assert [transport.is_closed for transport in world.core.transports] == [False] * 4 + [True] * 4
        world.address = "192.0.2.8"
        for _ in range(2):
            await served.watch(VIEWER)
        sessions = served.whep.sessions
        assert [session.is_closed for session in sessions.all()] == [False] * 6


async def test_who_does_not_come_makes_room_on_a_full_server() -> None:
    world = live()
    async with doors(world, options(most_sessions=2, hurried_seconds=0.0)) as served:
        await served.watch(VIEWER)
        world.core.last.become(TransportState.CONNECTED)
        for _ in range(3):
            assert (await served.watch(VIEWER)).status == 201
        assert [transport.is_closed for transport in world.core.transports] == [False, True, True, False]
        world.core.last.become(TransportState.CONNECTED)
        await problem(await served.watch(VIEWER), 503, "server_full")


async def test_who_does_not_come_makes_room_in_a_full_room() -> None:
    world = live()
    world.core.most_transports = 2
    async with doors(world, options(hurried_seconds=0.0)) as served:
        for _ in range(3):
            assert (await served.watch(VIEWER)).status == 201
        assert [transport.is_closed for transport in world.core.transports] == [True, False, False]
        for transport in world.core.transports[1:]:
            transport.become(TransportState.CONNECTED)
        await problem(await served.watch(VIEWER), 503, "too_many_transports")


async def test_a_full_router_says_when_to_come_again() -> None:
    world = live()
    world.core.most_transports = 1
    async with doors(world) as served:
        assert (await served.watch(VIEWER)).status == 201
        response = await served.watch(VIEWER)
        await problem(response, 503, "too_many_transports")
        assert "Retry-After" in response.headers


async def test_a_viewer_goes_when_what_it_plays_ends() -> None:
    world = live()
    async with doors(world) as served:
        await served.watch(VIEWER)
        transport = world.core.last
        transport.become(TransportState.CONNECTED)
        transport.listener.on_consumer_paused(object())
        transport.listener.on_consumer_layers(object())
        assert not transport.is_closed
        transport.listener.on_consumer_closed(object())
        await eventually(lambda: transport.is_closed)
        assert not world.watching


async def test_viewers_that_never_connect_are_given_up() -> None:
    world = live()
    async with doors(world, options(connect_seconds=0.02)) as served:
        for _ in range(5):
            await served.watch(VIEWER)
        await eventually(lambda: len(served.whep.sessions) == 0)
        assert all(transport.is_closed for transport in world.core.transports)
        assert world.routers_held == 0


async def test_browsers_may_watch_from_any_page() -> None:
    async with doors(live()) as served:
        for path in (f"/whep/{ROOM}", f"/whep/{ROOM}/guest"):
            response = await served.client.options(path, headers={"Origin": "https://example.net"})
            assert response.status == 200
            assert response.headers["Accept-Post"] == "application/sdp"
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert (await served.client.get(path)).status == 405
        response = await served.client.post(f"/whep/{ROOM}", data=VIEWER, headers={"Content-Type": "text/x"})
        await problem(response, 415, "unsupported_media_type")
        assert SDP["Content-Type"] in response.headers["Accept-Post"]
