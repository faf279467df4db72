"""The HLS doors over HTTP, with a stream that the test moves on by hand."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest

from tests.helpers.hls_checker import check_delta, parse
from tests.helpers.waiting import eventually
from tests.mediaserver.delivery.hls.stage import Stage, make_stage


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with make_stage() as stage:
        yield stage


@pytest.fixture
async def live(stage: Stage) -> Stage:
    stage.go_live()
    stage.play(5)
    return stage


async def test_from_the_multivariant_playlist_down_to_media(live: Stage):
    text = await live.text("/hls/room/index.m3u8")
    media = [line for line in text.splitlines() if not line.startswith("#")]
    playlist = parse(await live.text(f"/hls/room/{media[0]}"))
    segment = playlist.segments[0]
    for uri in (segment.map_uri, segment.uri, segment.parts[0].uri):
        response = await live.client.get(f"/hls/room/{uri}")
        assert response.status == 200
        assert response.content_type == "video/mp4"
        assert "immutable" in response.headers["Cache-Control"]
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert (await response.read())[4:8] in (b"ftyp", b"moof")
    assert (await live.client.head(f"/hls/room/{segment.uri}")).status == 200


async def test_a_segment_is_its_parts_together(live: Stage):
    segment = parse(await live.text(live.video)).segments[0]
    parts = [await (await live.client.get(f"/hls/room/{part.uri}")).read() for part in segment.parts]
    assert await (await live.client.get(f"/hls/room/{segment.uri}")).read() == b"".join(parts)


@pytest.mark.parametrize(
    "path",
    [
        "/hls/nowhere/index.m3u8",
        "/hls/room/nothing.m3u8",
        "/hls/room/0000000000000000-v0.m3u8",
        "/hls/room/0000000000000000-v0.p1.m4s",
        "/hls/room/-.m4s",
        "/hls/room/ts/nothing.ts",
        "/hls/room/ts/..%2findex.m3u8",
        "/hls/..%2f..%2fetc/index.m3u8",
        "/hls/room/..%2f..%2fpasswd",
        "/hls/room/%00.m3u8",
    ],
)
async def test_what_is_not_there_is_not_found(live: Stage, path: str):
    assert (await live.client.get(path)).status == 404


async def test_a_room_that_is_not_live_says_when_to_try_again(stage: Stage):
    response = await stage.client.get("/hls/room/index.m3u8")
    assert response.status == 404
    assert response.headers["Retry-After"]


async def test_the_first_request_waits_until_there_is_something_to_list(stage: Stage):
    stage.go_live()
    waiting = asyncio.ensure_future(stage.text("/hls/room/index.m3u8"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    stage.play(3)
    assert "#EXT-X-STREAM-INF" in await waiting


@pytest.mark.parametrize(
    "query",
    [
        "_HLS_part=0",
        "_HLS_msn=x",
        "_HLS_msn=-1",
        "_HLS_msn=1.5",
        "_HLS_msn=99999999999999",
        "_HLS_msn=5",
        "_HLS_skip=NO",
        "_HLS_msn=1&_HLS_part=x",
    ],
)
async def test_directives_that_make_no_sense(live: Stage, query: str):
    text = await live.text(f"{live.video}?{query}", 400)
    assert text.startswith("_HLS_")


async def test_an_old_sequence_number_is_answered_at_once(live: Stage):
    assert await live.text(f"{live.video}?_HLS_msn=0&_HLS_part=0") == await live.text(live.video)


async def test_a_blocked_request_is_answered_by_its_part(live: Stage):
    sequence, part = live.rendition.last_part
    blocked = asyncio.ensure_future(live.text(f"{live.video}?_HLS_msn={sequence}&_HLS_part={part + 1}"))
    await asyncio.sleep(0.05)
    assert not blocked.done()
    live.play(0.6)
    playlist = parse(await blocked)
    assert len(playlist.segments[-1].parts) >= part + 1


async def test_a_part_past_the_end_of_a_segment_means_the_next_segment(live: Stage):
    sequence, part = live.rendition.last_part
    blocked = asyncio.ensure_future(live.text(f"{live.video}?_HLS_msn={sequence}&_HLS_part={part + 4}"))
    await eventually(lambda: len(live.rendition.waiters))
    live.play(1)
    assert not blocked.done()
    live.play(1.6)
    assert parse(await blocked).segments[-1].sequence == sequence + 1


async def test_a_sequence_number_alone_waits_for_the_first_part_of_that_segment(live: Stage):
    sequence, _ = live.rendition.last_part
    blocked = asyncio.ensure_future(live.text(f"{live.video}?_HLS_msn={sequence + 1}"))
    await eventually(lambda: len(live.rendition.waiters))
    live.play(2)
    playlist = parse(await blocked)
    assert playlist.last_part == (sequence + 1, 0)


@pytest.mark.parametrize(("ahead", "status"), [(7, 400), (6, 200)])
async def test_a_part_beyond_the_advance_part_limit_is_refused(live: Stage, ahead: int, status: int):
    """Three seconds of parts are six parts of half a second (6.2.5.2)."""
    sequence, part = live.rendition.last_part
    asked = asyncio.ensure_future(
        live.text(f"{live.video}?_HLS_msn={sequence}&_HLS_part={part + ahead}", status)
    )
    await eventually(lambda: asked.done() or len(live.rendition.waiters))
    live.play(3)
    await asked


async def test_two_segments_ahead_of_the_last_complete_one_is_the_limit(live: Stage):
    last = parse(await live.text(live.video)).complete[-1].sequence
    await live.text(f"{live.video}?_HLS_msn={last + 3}", 400)
    blocked = asyncio.ensure_future(live.text(f"{live.video}?_HLS_msn={last + 2}"))
    await eventually(lambda: len(live.rendition.waiters))
    live.play(4.1)
    assert parse(await blocked).last_part[0] == last + 2


async def test_a_hinted_part_sends_nothing_before_it_is_complete(live: Stage):
    hint = parse(await live.text(live.video)).hint
    blocked = asyncio.ensure_future(live.client.get(f"/hls/room/{hint}"))
    await asyncio.sleep(0.05)
    assert not blocked.done()
    live.play(0.6)
    response = await blocked
    assert response.status == 200
    assert (await response.read())[4:8] == b"moof"


async def test_a_hinted_part_that_never_comes_is_not_found(live: Stage):
    hint = parse(await live.text(live.video)).hint
    blocked = asyncio.ensure_future(live.client.get(f"/hls/room/{hint}"))
    await eventually(lambda: len(live.rendition.part_waiters))
    live.hub.kick("room", "over")
    await live.text(f"/hls/room/{live.rendition.hint}", 404)
    assert (await blocked).status in (200, 404)


async def test_a_part_behind_the_hinted_one_is_not_found(live: Stage):
    name, _, number = live.rendition.hint.removesuffix(".m4s").rpartition(".p")
    await live.text(f"/hls/room/{name}.p{int(number) + 1}.m4s", 404)


async def test_all_who_wait_get_the_same_bytes_and_leave_nothing_behind(live: Stage):
    sequence, part = live.rendition.last_part
    path = f"{live.video}?_HLS_msn={sequence}&_HLS_part={part + 1}"
    blocked = [asyncio.ensure_future(live.text(path)) for _ in range(90)]
    await eventually(lambda: len(live.rendition.waiters) == 90)
    blocked.pop().cancel()
    await eventually(lambda: len(live.rendition.waiters) == 89)
    live.play(0.6)
    assert len(set(await asyncio.gather(*blocked))) == 1
    assert len(live.rendition.waiters) == 0
    assert len(live.rendition.rendered) == 2, "rendered once for all, and compressed once"


async def test_nothing_for_three_target_durations_is_unavailable(live: Stage):
    sequence, _ = live.rendition.last_part
    playlist = asyncio.ensure_future(live.client.get(f"{live.video}?_HLS_msn={sequence + 1}"))
    part = asyncio.ensure_future(live.client.get(f"/hls/room/{live.rendition.hint}"))
    await eventually(lambda: len(live.rendition.waiters) and len(live.rendition.part_waiters))
    now = asyncio.get_running_loop().time()
    live.directory.sweep(now + 3 * live.packager.target_duration - 1)
    assert not playlist.done()
    live.directory.sweep(now + 3 * live.packager.target_duration + 1)
    for response in (await playlist, await part):
        assert response.status == 503
        assert response.headers["Retry-After"]
        assert response.headers["Cache-Control"] == "no-store"


async def test_a_stream_that_never_lists_anything_is_unavailable_after_a_while(stage: Stage):
    stage.go_live()
    waiting = asyncio.ensure_future(stage.client.get("/hls/room/index.m3u8"))
    await eventually(lambda: len(stage.packager.waiters))
    stage.directory.sweep(asyncio.get_running_loop().time() + stage.directory.options.start_wait + 1)
    assert (await waiting).status == 503


async def test_playlists_are_compressed_for_those_who_can_take_it(live: Stage):
    plain = await live.client.get(live.video, headers={"Accept-Encoding": "identity"})
    packed = await live.client.get(live.video, headers={"Accept-Encoding": "gzip"}, auto_decompress=False)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(await packed.read()) == await plain.read()


async def test_how_long_answers_may_be_kept(live: Stage):
    sequence, part = live.rendition.last_part
    policies = {
        live.video: "public, max-age=1",
        f"{live.video}?_HLS_msn={sequence}&_HLS_part={part}": "public, max-age=12",
        "/hls/room/index.m3u8": "public, max-age=1",
        f"/hls/room/{live.rendition.window.listed[0].name}": "public, max-age=3600, immutable",
    }
    for path, policy in policies.items():
        assert (await live.client.get(path)).headers["Cache-Control"] == policy


async def test_a_delta_update_stands_for_the_full_playlist(live: Stage):
    live.play(17)
    full = parse(await live.text(live.video))
    for value, version in (("YES", 9), ("v2", 10)):
        text = await live.text(f"{live.video}?_HLS_skip={value}")
        delta = parse(text)
        assert delta.version == version
        assert ("RECENTLY-REMOVED-DATERANGES" in text) is (value == "v2")
        check_delta(full, delta, full)
        assert delta.skipped


async def test_another_preflight_and_other_methods(live: Stage):
    response = await live.client.options(live.video)
    assert response.status == 204
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert (await live.client.post(live.video)).status == 405
    head = await live.client.head(live.video)
    assert (head.status, await head.read()) == (200, b"")
