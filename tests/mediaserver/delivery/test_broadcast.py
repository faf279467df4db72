"""The broadcast's promises, on a transport that can be told how much it has not sent yet."""

import asyncio
from collections.abc import Sequence

import pytest

from mediaserver.delivery.broadcast import Broadcast, BroadcastCounters, BroadcastOptions, Viewer
from mediaserver.delivery.framing import Framing
from mediaserver.hub.gop_cache import GopCacheLimits
from mediaserver.hub.hub import Hub
from mediaserver.hub.stream import Stream
from mediaserver.media.packet import MediaPacket, Track
from tests.helpers.media import AUDIO, VIDEO, audio, video
from tests.helpers.waiting import eventually

NEVER = 3600.0
"""A merge window that does not pass within a test: only keyframes and explicit reasons flush."""


class NullPublisher:
    def replaced(self) -> None: ...

    def kicked(self, reason: str) -> None: ...


class TextMuxer:
    """Renders payloads as they are, so that tests can read what a viewer got."""

    mime_type = "text/plain"

    def __init__(self, can_go_on: bool = True) -> None:
        self.rendered: list[MediaPacket] = []
        self._can_go_on = can_go_on
        self._track_count = 0

    def configure(self, tracks: Sequence[Track], metadata: object) -> bool:
        self._track_count = len(tracks)
        return self._can_go_on

    def header(self) -> bytes:
        return b"H%d;" % self._track_count

    def resumption(self) -> bytes:
        return b"U;"

    def render(self, packets: Sequence[MediaPacket]) -> bytes:
        self.rendered.extend(packets)
        return b"".join(packet.payload for packet in packets)


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.backlog = 0
        self.is_aborted = False
        self.is_gone = False

    def write(self, data: bytes) -> None:
        if self.is_gone:
            raise RuntimeError("unable to perform operation; the handler is closed")
        self.writes.append(data)

    def get_write_buffer_size(self) -> int:
        return self.backlog

    def abort(self) -> None:
        self.is_aborted = True

    @property
    def text(self) -> bytes:
        return b"".join(self.writes)


class Scene:
    """A live stream with one broadcast on it."""

    def __init__(self, tracks: Sequence[Track] = (VIDEO, AUDIO), **options: float) -> None:
        self.hub = Hub()
        self.stream: Stream = self.hub.open("room", NullPublisher())
        self.hub.set_tracks(self.stream, tracks, {})
        self.muxer = TextMuxer()
        self.counters = BroadcastCounters()
        # Without a budget every backlog is looked at before every write.
        self.options = BroadcastOptions(**{"merge_window": NEVER, "slow_bytes": 0, **options})
        self.gop_cache = GopCacheLimits()
        self.ended: list[Viewer] = []

    @property
    def broadcast(self) -> Broadcast:
        return self.stream.shared("text", self._make)

    def _make(self) -> Broadcast:
        return Broadcast(self.stream, self.muxer, self.options, lambda _: self.counters, self.gop_cache)

    def join(self, framing: Framing = Framing.BARE) -> tuple[Viewer, Transport]:
        transport = Transport()
        viewer = Viewer(transport, framing, lambda: self.ended.append(viewer))
        self.broadcast.join(viewer)
        return viewer, transport

    def publish(self, *packets: MediaPacket) -> None:
        for packet in packets:
            self.stream.publish(packet)


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def test_a_newcomer_gets_header_and_history_from_the_keyframe(scene):
    scene.publish(video(0, is_keyframe=True), video(1), audio(2))
    _, transport = scene.join()
    assert transport.text == b"H2;v0;v1;a2;"


async def test_the_same_bytes_object_goes_to_all_viewers_of_a_framing(scene):
    scene.publish(video(0, is_keyframe=True))
    transports = [scene.join(Framing.HTTP_CHUNK)[1] for _ in range(3)]
    assert len({id(t.writes[0]) for t in transports}) == 1
    scene.publish(video(1), video(2, is_keyframe=True))
    assert len({id(t.writes[1]) for t in transports}) == 1


async def test_each_packet_is_rendered_once_for_all_framings(scene):
    scene.publish(video(0, is_keyframe=True))
    for framing in Framing:
        scene.join(framing)
    scene.publish(video(1), video(2), video(3, is_keyframe=True))
    assert len(scene.muxer.rendered) == 4


async def test_framings(scene):
    scene.publish(video(0, is_keyframe=True))
    _, bare = scene.join(Framing.BARE)
    _, chunked = scene.join(Framing.HTTP_CHUNK)
    _, websocket = scene.join(Framing.WEBSOCKET)
    scene.publish(video(1, is_keyframe=True, payload=b"x" * 300))
    assert bare.writes[1] == b"x" * 300
    assert chunked.writes[1] == b"12c\r\n" + b"x" * 300 + b"\r\n"
    assert websocket.writes[1] == b"\x82\x7e\x01\x2c" + b"x" * 300


async def test_a_keyframe_is_flushed_at_once_with_what_came_before(scene):
    scene.publish(video(0, is_keyframe=True))
    _, transport = scene.join()
    scene.publish(video(1), audio(2))
    assert len(transport.writes) == 1
    scene.publish(video(2, is_keyframe=True))
    assert transport.writes[1] == b"v1;a2;v2;"


async def test_the_merge_window_joins_packets_into_one_write():
    scene = Scene(merge_window=0.01)
    scene.publish(video(0, is_keyframe=True))
    _, transport = scene.join()
    scene.publish(video(1), video(2), audio(3))
    await eventually(lambda: len(transport.writes) == 2)
    assert transport.writes[1] == b"v1;v2;a3;"


async def test_no_window_writes_every_packet():
    scene = Scene(merge_window=0)
    scene.publish(video(0, is_keyframe=True))
    _, transport = scene.join()
    scene.publish(video(1), video(2))
    assert transport.writes[1:] == [b"v1;", b"v2;"]


async def test_without_history_a_newcomer_waits_for_a_keyframe(scene):
    _, transport = scene.join()
    scene.publish(video(1), video(2))
    scene.publish(video(3, is_keyframe=True), video(4), video(5, is_keyframe=True))
    assert transport.text == b"H2;U;v3;v4;v5;"


async def test_without_a_gop_cache_a_newcomer_waits_for_a_keyframe():
    scene = Scene()
    scene.gop_cache = GopCacheLimits(enabled=False)
    scene.publish(video(0, is_keyframe=True))
    _, transport = scene.join()
    scene.publish(video(1), video(2, is_keyframe=True))
    assert transport.text == b"H2;U;v2;"


async def test_audio_only_starts_with_the_last_second():
    scene = Scene(tracks=(AUDIO,), merge_window=0)
    scene.join()
    scene.publish(*(audio(n) for n in range(100)))
    _, transport = scene.join()
    received = transport.text.removeprefix(b"H1;").split(b";")[:-1]
    assert received[-1] == b"a99"
    assert 46 <= len(received) <= 48


async def test_a_slow_viewer_skips_to_the_next_keyframe_and_nobody_else_notices(scene):
    scene.publish(video(0, is_keyframe=True))
    _, slow = scene.join()
    _, other = scene.join()
    slow.backlog = 10**9
    scene.publish(video(1), video(2, is_keyframe=True), video(3), video(4, is_keyframe=True))
    assert slow.text == b"H2;v0;"
    slow.backlog = 0
    scene.publish(video(5), video(6, is_keyframe=True), video(7), video(8, is_keyframe=True))
    assert slow.text == b"H2;v0;U;v6;v7;v8;"
    assert other.text == b"H2;v0;" + b"".join(b"v%d;" % n for n in range(1, 9))
    assert scene.counters.viewers_skipped == 1
    assert scene.counters.viewers_cut == 0


async def test_backlogs_are_looked_at_in_time():
    """A viewer that reads nothing is found before a quarter more than the budget waits for it."""
    scene = Scene(slow_bytes=1000, merge_window=0)
    scene.publish(video(0, is_keyframe=True))
    _, slow = scene.join()
    for n in range(1, 100):
        slow.backlog = sum(map(len, slow.writes[1:]))
        scene.publish(video(n, payload=bytes(100)))
    assert 1000 < slow.backlog <= 1250 + 100
    assert scene.counters.viewers_skipped == 1


async def test_a_viewer_that_stays_behind_is_cut():
    scene = Scene(close_after=0.01)
    scene.publish(video(0, is_keyframe=True))
    viewer, stuck = scene.join()
    _, other = scene.join()
    stuck.backlog = 10**9
    scene.publish(video(1, is_keyframe=True))
    await asyncio.sleep(0.02)
    scene.publish(video(2, is_keyframe=True))
    assert stuck.is_aborted
    assert scene.ended == [viewer]
    assert scene.counters.viewers_cut == 1
    assert scene.broadcast.viewer_count == 1
    assert not other.is_aborted


async def test_the_burst_of_joining_does_not_make_a_viewer_slow(scene):
    big = bytes(5_000_000)
    scene.publish(video(0, is_keyframe=True, payload=big))
    _, transport = scene.join()
    transport.backlog = len(big)
    scene.publish(video(1), video(2, is_keyframe=True))
    assert transport.writes[1] == b"v1;v2;"


async def test_a_transport_that_closed_unheard_costs_nobody_else(scene):
    scene.publish(video(0, is_keyframe=True))
    first, gone = scene.join()
    _, other = scene.join()
    gone.is_gone = True
    scene.publish(video(1), video(2, is_keyframe=True))
    assert scene.ended == [first]
    assert other.text == b"H2;v0;v1;v2;"
    assert scene.counters.viewers == 1


async def test_a_late_track_is_announced_and_nothing_is_lost():
    scene = Scene(tracks=(VIDEO,))
    scene.publish(video(0, is_keyframe=True))
    _, transport = scene.join()
    scene.publish(video(1))
    scene.hub.set_tracks(scene.stream, (VIDEO, AUDIO), {})
    scene.publish(audio(2), video(3, is_keyframe=True))
    assert transport.text == b"H1;v0;v1;U;a2;v3;"


async def test_after_a_changed_configuration_newcomers_wait_for_its_keyframe(scene):
    scene.publish(video(0, is_keyframe=True))
    scene.join()
    changed = Track(0, VIDEO.kind, VIDEO.codec, VIDEO.clock_rate, b"changed")
    scene.hub.set_tracks(scene.stream, (changed, AUDIO), {})
    _, newcomer = scene.join()
    scene.publish(audio(1), video(2, is_keyframe=True, track=changed))
    assert newcomer.text == b"H2;U;v2;"


async def test_viewers_of_a_container_that_cannot_change_are_ended_and_start_anew(scene):
    scene.muxer = TextMuxer(can_go_on=False)
    scene.publish(video(0, is_keyframe=True))
    before = scene.broadcast
    viewer, _ = scene.join()
    scene.hub.set_tracks(scene.stream, (VIDEO,), {})
    assert scene.ended == [viewer]
    assert scene.broadcast is not before


async def test_the_end_of_the_stream_ends_all_viewers(scene):
    scene.publish(video(0, is_keyframe=True))
    viewers = [scene.join(framing)[0] for framing in Framing]
    scene.publish(video(1))
    scene.hub.kick("room", "over")
    assert scene.ended == viewers
    assert scene.counters.viewers == 0


async def test_the_last_to_leave_takes_the_broadcast_off_the_stream(scene):
    broadcast = scene.broadcast
    first, _ = scene.join()
    second, _ = scene.join(Framing.WEBSOCKET)
    broadcast.leave(first)
    assert scene.broadcast is broadcast
    broadcast.leave(second)
    broadcast.leave(second)
    assert scene.broadcast is not broadcast
    assert scene.counters.viewers == 0
