"""WHIP's rules over real HTTP, with a core that only notes what it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from sfu.http_messages import MAX_OFFER_BYTES, IceServer
from sfu.ports import PublishGrant, Refusal, RefusalReason
from sfu.protocol.parameters import Direction
from sfu.transport import TransportState
from tests.helpers.waiting import eventually
from tests.sfu.http_world import (
    BEARER,
    KEY,
    PUBLISHER,
    ROOM,
    SDP,
    SLUG,
    World,
    answered,
    connected,
    doors,
    opened,
    options,
    problem,
)
from tests.sfu.protocol.sdp_cases import sample

PUBLISHERS = ("chromium_whip", "chromium_whip_simulcast", "ffmpeg_whip", "firefox_whip_simulcast",
              "gstreamer_whip", "obs_whip")  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHERS)
async def test_every_known_publisher_gets_a_session_and_an_answer(name: str) -> None:
    world = World()
    async with doors(world) as served:
        response = await served.publish(sample(name))
        assert response.status == 201
        assert response.headers["Content-Type"] == "application/sdp"
        assert response.headers["Location"].startswith(f"/whip/{ROOM}/session/")
        assert response.headers["ETag"].startswith('"')
        answer = answered(await response.text())
        assert {section.direction for section in answer.sections if section.is_usable} == {Direction.RECVONLY}
        assert answer.ice.ice_lite
        assert world.core.last.produced == []
        world.core.last.become(TransportState.CONNECTED)
        kinds = [kind for kind, _, is_program in world.core.last.produced if is_program]
        assert kinds == [section.kind for section in answer.sections if section.is_usable]


async def test_the_roles_of_the_handshake_are_each_others_opposite() -> None:
    world = World()
    async with doors(world) as served:
        for offer, peer, role in (
            (PUBLISHER.replace("a=setup:actpass", "a=setup:passive"), "server", "client"),
            (PUBLISHER.replace("a=setup:actpass", "a=setup:active"), "client", "server"),
            (PUBLISHER, "client", "server"),
        ):
            response = await served.publish(offer)
            assert answered(await response.text()).dtls.role == role
            assert world.core.last.peer is not None
            assert world.core.last.peer.role == peer


async def test_h264_is_taken_where_a_browser_offers_more() -> None:
    world = World()
    async with doors(world) as served:
        await served.publish(sample("chromium_whip"))
        world.core.last.become(TransportState.CONNECTED)
        video = next(parameters for kind, parameters, _ in world.core.last.produced if kind == "video")
        assert video.codecs[0].mime_type == "video/H264"


@pytest.mark.parametrize(
    ("missing", "taken"),
    [
        (("H264",), "video/VP9"),
        (("H264", "VP9"), "video/AV1"),
        (("H264", "VP9", "AV1"), "video/VP8"),
    ],
)
async def test_what_only_webrtc_can_show_is_taken_where_there_is_nothing_else(
    missing: tuple[str, ...], taken: str
) -> None:
    world, offer = World(), sample("chromium_whip")
    for name in missing:
        offer = offer.replace(f" {name}/90000", f" unknown-{name}/90000")
    async with doors(world) as served:
        response = await served.publish(offer)
        [video] = [section for section in answered(await response.text()).sections if section.kind == "video"]
        assert {codec.mime_type for codec in video.codecs} == {taken, "video/rtx"}
        world.core.last.become(TransportState.CONNECTED)
        [produced] = [parameters for kind, parameters, _ in world.core.last.produced if kind == "video"]
        assert produced.codecs[0].mime_type == taken


async def test_only_the_first_section_of_a_kind_is_taken() -> None:
    world = World()
    lines = sample("chromium_whip").split("m=video", 1)
    second = lines[1].replace("a=mid:1", "a=mid:9")
    offer = f"{lines[0]}m=video{lines[1]}m=video{second}".replace("BUNDLE 0 1", "BUNDLE 0 1 9")
    async with doors(world) as served:
        response = await served.publish(offer)
        directions = {section.mid: section.direction for section in answered(await response.text()).sections}
        assert directions["1"] is Direction.RECVONLY
        assert directions["9"] is Direction.INACTIVE
        world.core.last.become(TransportState.CONNECTED)
        assert len(world.core.last.produced) == 2


async def test_a_room_is_found_by_its_slug_and_the_session_under_it() -> None:
    world = World()
    async with doors(world) as served:
        response = await served.publish(PUBLISHER, SLUG)
        location = response.headers["Location"]
        assert location.startswith(f"/whip/{SLUG}/session/")
        assert (await served.client.delete(location, headers=BEARER)).status == 200
    assert world.asked == [(SLUG, KEY, "192.0.2.7")]


async def test_sessions_have_addresses_that_nobody_guesses() -> None:
    async with doors(World()) as served:
        ids = {(await opened(served))[0].rpartition("/")[2] for _ in range(5)}
        assert len(ids) == 5
        assert min(map(len, ids)) >= 32


@pytest.mark.parametrize("key", [None, "sk_wrong"])
async def test_without_the_key_nothing_is_read(key: str | None) -> None:
    world = World()
    async with doors(world) as served:
        response = await served.publish("not SDP at all", key=key)
        await problem(response, 401, "no_such_key")
        assert response.headers["WWW-Authenticate"] == "Bearer"
    assert not world.core.transports


async def test_another_scheme_is_no_bearer() -> None:
    world = World()
    async with doors(world) as served:
        await problem(
            await served.publish(PUBLISHER, key=None, Authorization=f"Basic {KEY}"), 401, "no_such_key"
        )
        await problem(await served.publish(PUBLISHER, key="k" * 5_000), 400, "token_too_long")


@pytest.mark.parametrize(
    ("reason", "status"),
    [(RefusalReason.FORBIDDEN, 403), (RefusalReason.UNAVAILABLE, 503), (RefusalReason.NO_SUCH_ROOM, 404)],
)
async def test_refusals_have_their_status(reason: RefusalReason, status: int) -> None:
    world = World(refusal=Refusal(reason, "some_code", "some reason"))
    async with doors(world) as served:
        response = await served.publish(PUBLISHER)
        await problem(response, status, "some_code")
        assert ("Retry-After" in response.headers) == (status == 503)


async def test_a_malformed_offer_is_answered_with_its_line() -> None:
    world = World()
    async with doors(world) as served:
        lines = PUBLISHER.split("\r\n")
        place = next(index for index, line in enumerate(lines) if line.startswith("a=ice-pwd"))
        lines[place] = "a=ice-pwd:short"
        body = await problem(await served.publish("\r\n".join(lines)), 422, "malformed_description")
        assert body["line"] == place + 1
        body = await problem(await served.publish("not SDP"), 422, "malformed_description")
        assert body["line"] == 1
    assert not world.core.transports


async def test_bytes_that_are_no_text_are_answered_with_their_line() -> None:
    async with doors(World()) as served:
        headers = {**SDP, **BEARER}
        response = await served.client.post(f"/whip/{ROOM}", data=b"v=0\r\ns=\xff\xfe", headers=headers)
        assert (await problem(response, 422, "malformed_description"))["line"] == 2


async def test_other_bodies_are_refused() -> None:
    async with doors(World()) as served:
        headers = {**BEARER, "Content-Type": "application/json"}
        response = await served.client.post(f"/whip/{ROOM}", data="{}", headers=headers)
        await problem(response, 415, "unsupported_media_type")
        assert response.headers["Accept-Post"] == "application/sdp"
        await problem(await served.publish("v" * (MAX_OFFER_BYTES + 1)), 413, "body_too_large")
        await problem(await served.publish(""), 422, "malformed_description")


async def test_a_codec_that_no_one_knows_is_not_acceptable_and_its_section_is_named() -> None:
    world = World()
    async with doors(world) as served:
        offer = PUBLISHER.replace("H264/90000", "H266/90000")
        body = await problem(await served.publish(offer), 406, "unsupported_media")
        assert offer.split("\r\n")[body["line"] - 1].startswith("m=video")
        assert "H264" in body["detail"]
        receiving = PUBLISHER.replace("a=sendonly", "a=recvonly").replace("a=sendrecv", "a=recvonly")
        await problem(await served.publish(receiving), 406, "nothing_sent")
    assert not world.core.transports


async def test_what_the_core_refuses_leaves_nothing_behind() -> None:
    world = World()
    async with doors(world) as served:
        world.core.refuses_streams = True
        await connected(served, world)
        await eventually(lambda: world.core.last.is_closed)
        assert len(served.whip.sessions) == 0
        world.core.transports.clear()
        world.core.most_transports = 0
        response = await served.publish(PUBLISHER)
        await problem(response, 503, "too_many_transports")
        assert int(response.headers["Retry-After"]) > 0


async def test_a_full_server_says_when_to_come_again() -> None:
    async with doors(World(), options(most_sessions=0)) as served:
        response = await served.publish(PUBLISHER)
        await problem(response, 503, "server_full")
        assert int(response.headers["Retry-After"]) > 0


async def test_a_stream_in_two_sections_is_refused() -> None:
    world = World()
    async with doors(world) as served:
        ssrcs = [line for line in PUBLISHER.split("\r\n") if line.startswith("a=ssrc:")]
        numbers = list(dict.fromkeys(line[7:].split()[0] for line in ssrcs))
        offer = PUBLISHER.replace(numbers[-1], numbers[0])
        await problem(await served.publish(offer), 422, "duplicate_stream")
    assert not world.core.transports


async def test_a_second_publisher_takes_over_when_it_is_connected() -> None:
    world = World()
    async with doors(world) as served:
        first = await connected(served, world)
        second, _ = await opened(served)
        assert [transport.is_closed for transport in world.core.transports] == [False, False]
        world.core.last.become(TransportState.CONNECTED)
        assert [transport.is_closed for transport in world.core.transports] == [True, False]
        assert len(world.core.last.produced) == 2
        await problem(await served.client.delete(first, headers=BEARER), 404, "no_such_session")
        assert (await served.client.delete(second, headers=BEARER)).status == 200


async def test_of_publishers_that_did_not_come_the_last_one_counts() -> None:
    world = World()
    async with doors(world) as served:
        await connected(served, world)
        await opened(served)
        await opened(served)
        assert [transport.is_closed for transport in world.core.transports] == [False, True, False]


async def test_a_second_publisher_that_never_comes_takes_nothing_over() -> None:
    world = World()
    async with doors(world) as served:
        await connected(served, world)
        await opened(served)
        for session in served.whip.sessions.of_room(ROOM):
            session.hurry(0.0)
        await eventually(lambda: world.core.last.is_closed)
        assert [transport.is_closed for transport in world.core.transports] == [False, True]


async def test_only_a_publisher_that_deletes_its_session_says_goodbye() -> None:
    world = World()
    async with doors(world) as served:
        await served.client.delete((await opened(served))[0], headers=BEARER)
        await connected(served, world)
        await connected(served, world)
        served.whip.close_room(ROOM)
        assert world.goodbyes == []
        await served.client.delete(await connected(served, world), headers=BEARER)
        assert world.goodbyes == [ROOM]


async def test_a_goodbye_that_fails_keeps_nobody_in_a_server_that_drains() -> None:
    world = World()
    async with doors(world) as served:
        await connected(served, world)
        served.whip._on_goodbye = {}.__getitem__
        served.whip.drain()
        assert world.core.last.is_closed
        await problem(await served.publish(PUBLISHER), 503, "draining")


async def test_a_second_publisher_with_a_bad_offer_takes_nothing_over() -> None:
    world = World()
    async with doors(world) as served:
        await connected(served, world)
        await served.publish("not SDP")
        await served.publish(PUBLISHER.replace("H264/90000", "H266/90000"))
        await served.publish(PUBLISHER, key="sk_wrong")
        assert [transport.is_closed for transport in world.core.transports] == [False]


async def test_the_room_may_end_its_publisher() -> None:
    world = World()
    async with doors(world) as served:
        location, _ = await opened(served)
        served.whip.close_room(ROOM)
        assert world.core.last.is_closed
        await problem(await served.client.delete(location, headers=BEARER), 404, "no_such_session")


async def test_a_publisher_whose_offer_comes_slowly_is_ended_with_the_others() -> None:
    world = World()
    ended = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield PUBLISHER[:100].encode()
        await ended.wait()
        yield PUBLISHER[100:].encode()

    async with doors(world) as served:
        headers = {**SDP, "Authorization": f"Bearer {KEY}"}
        answer = asyncio.create_task(served.client.post(f"/whip/{ROOM}", data=slowly(), headers=headers))
        await eventually(lambda: world.asked)
        served.whip.close_room("another")
        served.whip.close_room(ROOM)
        ended.set()
        await problem(await answer, 403, "not_allowed")
        assert world.core.transports == []
        await connected(served, world)
        served.whip.close_room("another")
        assert len(served.whip.sessions) == 1


async def test_a_publisher_whose_token_counts_no_more_is_ended() -> None:
    world = World(publisher_id=UUID(int=7))
    async with doors(world) as served:
        await connected(served, world)
        await served.whip.review(str(UUID(int=8)))
        assert world.reviewed == []
        await served.whip.review(str(UUID(int=7)))
        assert world.reviewed == [PublishGrant(ROOM, UUID(int=7))]
        assert len(served.whip.sessions) == 1
        world.refusal = Refusal(RefusalReason.FORBIDDEN, "forbidden", "no more")
        await served.whip.review()
        assert len(served.whip.sessions) == 0
        assert (world.core.last.is_closed, world.goodbyes) == (True, [ROOM])


async def test_who_ends_while_it_is_asked_about_says_goodbye_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(publisher_id=UUID(int=7))
    async with doors(world) as served:
        await connected(served, world)
        [session] = served.whip.sessions.of_room(ROOM)

        async def taken_over_meanwhile(grant: PublishGrant) -> bool:
            session.close()
            return False

        monkeypatch.setattr(world, "may_still_publish", taken_over_meanwhile)
        await served.whip.review()
        assert (session.is_closed, world.goodbyes) == (True, [])


async def test_who_publishes_by_the_stream_key_is_not_asked_for_a_token() -> None:
    world = World()
    async with doors(world) as served:
        await connected(served, world)
        world.refusal = Refusal(RefusalReason.FORBIDDEN, "forbidden", "no more")
        await served.whip.review()
        assert (world.reviewed, len(served.whip.sessions)) == ([], 1)


async def test_browsers_may_ask_from_any_page() -> None:
    async with doors(World()) as served:
        response = await served.client.options(f"/whip/{ROOM}")
        assert response.status == 200
        assert response.headers["Accept-Post"] == "application/sdp"
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Access-Control-Allow-Methods"] == "OPTIONS, POST"
        assert {"Authorization", "Content-Type", "If-Match"} <= set(
            response.headers["Access-Control-Allow-Headers"].split(", ")
        )
        location, _ = await opened(served)
        response = await served.client.options(location)
        assert response.headers["Access-Control-Allow-Methods"] == "OPTIONS, PATCH, DELETE"
        response = await served.publish(PUBLISHER)
        exposed = set(response.headers["Access-Control-Expose-Headers"].split(", "))
        assert {"Location", "ETag", "Link"} <= exposed


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
async def test_other_methods_are_kept_for_later(method: str) -> None:
    async with doors(World()) as served:
        response = await served.client.request(method, f"/whip/{ROOM}", headers=BEARER)
        assert response.status == 405
        assert response.headers["Allow"] == "OPTIONS, POST"
        location, _ = await opened(served)
        for other in ("GET", "HEAD", "PUT", "POST"):
            response = await served.client.request(other, location, headers=BEARER)
            assert response.status == 405
            assert response.headers["Allow"] == "OPTIONS, PATCH, DELETE"


async def test_ice_servers_are_told_with_their_credentials() -> None:
    servers = (
        IceServer(url="stun:stun.example.net"),
        IceServer(url="turn:turn.example.net?transport=udp", username='a"b', credential="c\\d"),
    )
    async with doors(World(), options(ice_servers=servers)) as served:
        links = (await served.publish(PUBLISHER)).headers.getall("Link")
    assert links == [
        '<stun:stun.example.net>; rel="ice-server"',
        '<turn:turn.example.net?transport=udp>; rel="ice-server"; username="a\\"b"; credential="c\\\\d"; '
        'credential-type="password"',
    ]


async def test_a_peer_that_never_comes_is_given_up() -> None:
    world = World()
    async with doors(world, options(connect_seconds=0.02)) as served:
        await opened(served)
        await eventually(lambda: world.core.last.is_closed)
        assert len(served.whip.sessions) == 0
        assert world.routers_held == 0


async def test_a_peer_that_came_is_waited_for_when_it_is_lost() -> None:
    world = World()
    async with doors(world) as served:
        await opened(served)
        transport = world.core.last
        transport.become(TransportState.CONNECTED)
        session = served.whip.sessions.of_room(ROOM)[0]
        assert session._timer is None
        transport.become(TransportState.DISCONNECTED)
        assert not transport.is_closed
        session.hurry(0.0)
        await eventually(lambda: transport.is_closed)


async def test_a_failed_transport_ends_the_session() -> None:
    world = World()
    async with doors(world) as served:
        await opened(served)
        transport = world.core.last
        transport.become(TransportState.FAILED)
        await eventually(lambda: transport.is_closed)
        assert len(served.whip.sessions) == 0


async def test_a_flood_of_one_address_is_stopped_before_anything_is_read() -> None:
    world = World()
    limits = options(posts_per_second=0.0, post_burst=3.0)
    async with doors(world, limits) as served:
        statuses = [(await served.publish(PUBLISHER)).status for _ in range(20)]
        assert statuses == [201] * 3 + [429] * 17
        assert len(world.asked) == 3
        response = await served.publish(PUBLISHER)
        await problem(response, 429, "rate_limited")
        assert "Retry-After" in response.headers
        world.address = "198.51.100.1"
        assert (await served.publish(PUBLISHER)).status == 201
