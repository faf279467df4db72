"""What may be done with a session of WHIP: trickle, restart, end."""

from __future__ import annotations

import pytest

from sfu.http_messages import MAX_FRAGMENT_BYTES
from sfu.protocol.sdp import parse_fragment
from tests.sfu.http_world import (
    BEARER,
    FRAGMENT,
    NEW_ICE,
    OTHER_KEY,
    PUBLISHER,
    Doors,
    World,
    doors,
    opened,
    problem,
)


async def test_delete_ends_the_session_whatever_its_tag() -> None:
    world = World()
    async with doors(world) as served:
        location, _ = await opened(served)
        response = await served.client.delete(location, headers={**BEARER, "If-Match": '"old"'})
        assert response.status == 200
        assert world.core.last.is_closed
        await problem(await served.client.delete(location, headers=BEARER), 404, "no_such_session")


async def test_every_request_needs_a_bearer_that_counts() -> None:
    world = World()
    async with doors(world) as served:
        location, tag = await opened(served)
        for headers in ({}, {"Authorization": "Bearer sk_wrong"}):
            await problem(await served.client.delete(location, headers=headers), 401, "no_such_key")
            headers = {**headers, **FRAGMENT, "If-Match": tag}
            await problem(await served.client.patch(location, data="", headers=headers), 401, "no_such_key")
        assert not world.core.last.is_closed
        renewed = {"Authorization": f"Bearer {OTHER_KEY}"}
        assert (await served.client.delete(location, headers=renewed)).status == 200


async def trickle(served: Doors, location: str, body: str, **headers: str) -> tuple[int, str, str]:
    given = {**FRAGMENT, **BEARER, **{name.replace("_", "-"): value for name, value in headers.items()}}
    response = await served.client.patch(location, data=body, headers=given)
    return response.status, response.headers.get("ETag", ""), await response.text()


def candidates(offer: str = PUBLISHER) -> str:
    """Return a fragment with the credentials of an offer."""
    ice = [line for line in offer.split("\r\n") if line.startswith(("a=ice-ufrag", "a=ice-pwd"))][:2]
    line = "a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host"
    return "\r\n".join(["m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0", *ice, line, ""])


@pytest.mark.parametrize("tag", ["its own", "*", '"*"', '"other", its own'])
async def test_trickled_candidates_are_taken_without_an_answer(tag: str) -> None:
    world = World()
    async with doors(world) as served:
        location, own = await opened(served)
        status, new_tag, text = await trickle(
            served, location, candidates(), If_Match=tag.replace("its own", own)
        )
        assert (status, new_tag, text) == (204, "", "")
        assert world.core.last.restarts == 0


@pytest.mark.parametrize("tag", ["its own", "*", '"*"'])
async def test_new_credentials_restart_ice(tag: str) -> None:
    world = World()
    async with doors(world) as served:
        location, own = await opened(served)
        body = f"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n{NEW_ICE}"
        status, new_tag, text = await trickle(served, location, body, If_Match=tag.replace("its own", own))
        assert status == 200
        assert new_tag not in ("", own)
        fragment = parse_fragment(text)
        assert fragment.ice == world.core.last.ice_parameters
        assert fragment.ice.username_fragment == "restarted1"
        assert [one.address for one in fragment.candidates] == ["2001:db8::1", "192.0.2.1", "192.0.2.1"]
        assert fragment.has_ended_candidates
        # the same again adds candidates to the new session; the old tag is of none
        assert (await trickle(served, location, body, If_Match=new_tag))[0] == 204
        assert (await trickle(served, location, body, If_Match=own))[0] == 412
        assert world.core.last.restarts == 1


async def test_fragments_need_the_right_tag() -> None:
    async with doors(World()) as served:
        location, tag = await opened(served)
        headers = {**FRAGMENT, **BEARER}
        response = await served.client.patch(location, data=candidates(), headers=headers)
        await problem(response, 428, "precondition_required")
        for stale in ('"stale"', f"W/{tag}", ""):
            response = await served.client.patch(
                location, data=candidates(), headers={**headers, "If-Match": stale}
            )
            await problem(response, 412, "stale_entity_tag")


async def test_bad_fragments_are_refused_and_the_session_stays() -> None:
    world = World()
    async with doors(world) as served:
        location, tag = await opened(served)
        headers = {**FRAGMENT, **BEARER, "If-Match": tag}

        async def answer(body: str, status: int, code: str, **other: str) -> dict[str, object]:
            response = await served.client.patch(location, data=body, headers={**headers, **other})
            return await problem(response, status, code)

        found = await answer("a=ice-ufrag:abcd\r\na=candidate:x", 422, "malformed_description")
        assert found["line"] == 2
        unknown = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:nobody\r\n"
        await answer(unknown, 422, "unknown_mid")
        await answer("a" * (MAX_FRAGMENT_BYTES + 1), 413, "body_too_large")
        changed = {"Content-Type": "application/sdp"}
        await answer(candidates(), 415, "unsupported_media_type", **changed)
        assert not world.core.last.is_closed


async def test_fragments_are_limited_per_session() -> None:
    async with doors(World()) as served:
        location, tag = await opened(served)
        statuses = [(await trickle(served, location, candidates(), If_Match=tag))[0] for _ in range(60)]
        assert set(statuses) == {204, 429}
