"""One transcoder for all who want it, begun on demand, ended by itself."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import pytest

from mediaserver.hub.gop_cache import GopCacheLimits
from mediaserver.hub.stream import Stream
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind
from mediaserver.transcode import audio_sharing
from mediaserver.transcode.audio_sharing import MAX_BATCH, MAX_QUEUED, make_executor, transcoded_audio
from tests.helpers.media import VIDEO, video
from tests.helpers.waiting import eventually
from tests.mediaserver.transcode.clicks import decode, encode, find_clicks, sound


class _User:
    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self.packets: list[MediaPacket] = []
        self.ends: list[str] = []

    def on_audio_track(self, track: Track) -> None:
        self.tracks.append(track)

    def on_audio_packet(self, packet: MediaPacket) -> None:
        assert packet.track == self.tracks[-1]
        self.packets.append(packet)

    def on_audio_end(self, reason: str) -> None:
        self.ends.append(reason)


class _HeldExecutor(Executor):
    """Does nothing until it is told to."""

    def __init__(self) -> None:
        self.futures: list[Future[object]] = []

    def submit(self, *args: object, **kwargs: object) -> "Future[object]":  # type: ignore[override]
        self.futures.append(Future())
        return self.futures[-1]


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with make_executor(1) as executor:
        yield executor


def _stream(packets: Sequence[MediaPacket], *others: Track) -> Stream:
    stream = Stream("room", GopCacheLimits())
    stream.set_tracks([*others, packets[0].track], {})
    return stream


def _publish(stream: Stream, packets: Sequence[MediaPacket]) -> None:
    for packet in packets:
        stream.publish(packet)


async def test_all_users_share_one_transcoder(executor: ThreadPoolExecutor) -> None:
    packets = encode(sound(2, (0.5, 1.5), 48_000), Codec.AAC)
    stream = _stream(packets, VIDEO)
    users = [_User(), _User()]
    for user in users:
        transcoded_audio(stream, Codec.OPUS, executor).add(user)
    _publish(stream, [video(0, is_keyframe=True), *packets])
    await eventually(lambda: users[0].packets and users[0].packets[-1].dts > 1.9 * 48_000)
    assert users[0].packets == users[1].packets
    assert [track.codec for track in users[0].tracks] == [Codec.OPUS]
    assert find_clicks(decode(users[0].packets)) == pytest.approx([0.5, 1.5], abs=0.005)
    assert transcoded_audio(stream, Codec.OPUS, executor).user_count == 2


async def test_who_comes_later_is_told_the_track(executor: ThreadPoolExecutor) -> None:
    packets = encode(sound(1, (), 48_000), Codec.AAC)
    stream = _stream(packets)
    early, late = _User(), _User()
    shared = transcoded_audio(stream, Codec.OPUS, executor)
    shared.add(early)
    _publish(stream, packets)
    await eventually(lambda: early.packets)
    shared.add(late)
    assert late.tracks == early.tracks


async def test_what_has_the_codec_already_passes_at_once(executor: ThreadPoolExecutor) -> None:
    packets = encode(sound(1, (), 48_000), Codec.OPUS)
    stream = _stream(packets)
    user = _User()
    transcoded_audio(stream, Codec.OPUS, executor).add(user)
    _publish(stream, packets)
    assert user.packets == packets


async def test_publishers_of_both_codecs_take_turns_and_time_goes_on(executor: ThreadPoolExecutor) -> None:
    turns = [
        [_later(packet, second) for packet in encode(sound(1, (), 48_000), codec)]
        for second, codec in ((0, Codec.AAC), (2, Codec.OPUS), (4, Codec.AAC))
    ]
    stream, user = _stream(turns[0]), _User()
    transcoded_audio(stream, Codec.OPUS, executor).add(user)
    for packets in turns:
        count = len(user.packets)
        stream.set_tracks([packets[0].track], {})
        _publish(stream, packets)
        await eventually(lambda count=count: len(user.packets) > count + 20)
    stamps = [packet.dts for packet in user.packets]
    assert stamps == sorted(stamps)


def _later(packet: MediaPacket, seconds: int) -> MediaPacket:
    dts = packet.dts + seconds * packet.track.clock_rate
    return MediaPacket(packet.track, dts, dts, True, packet.payload, packet.received_at)


async def test_ends_some_time_after_the_last_user(executor: ThreadPoolExecutor) -> None:
    stream = _stream(encode(sound(1, (), 48_000), Codec.AAC))
    user = _User()
    shared = transcoded_audio(stream, Codec.OPUS, executor, linger_seconds=0.05)
    shared.add(user)
    shared.remove(user)
    shared.remove(user)
    assert transcoded_audio(stream, Codec.OPUS, executor) is shared, "it lingers"
    await eventually(lambda: shared.is_over)
    assert stream.find_shared("audio-opus") is None
    assert user.ends == [], "it left before"
    assert transcoded_audio(stream, Codec.OPUS, executor) is not shared


async def test_a_user_that_comes_back_in_time_keeps_it(executor: ThreadPoolExecutor) -> None:
    packets = encode(sound(1, (), 48_000), Codec.AAC)
    stream = _stream(packets)
    user, other = _User(), _User()
    lingering = transcoded_audio(stream, Codec.AAC, executor, linger_seconds=0.01)
    kept = transcoded_audio(stream, Codec.OPUS, executor, linger_seconds=0.01)
    kept.add(user)
    kept.remove(user)
    kept.add(other)
    await eventually(lambda: lingering.is_over)
    assert not kept.is_over


async def test_nobody_at_all_ends_it_too(executor: ThreadPoolExecutor) -> None:
    stream = _stream(encode(sound(1, (), 48_000), Codec.AAC))
    shared = transcoded_audio(stream, Codec.OPUS, executor, linger_seconds=0.01)
    await eventually(lambda: shared.is_over)
    assert stream.find_shared("audio-opus") is None


async def test_the_end_of_the_stream_is_the_users_end(executor: ThreadPoolExecutor) -> None:
    packets = encode(sound(1, (), 48_000), Codec.AAC)
    stream = _stream(packets)
    user, late = _User(), _User()
    shared = transcoded_audio(stream, Codec.OPUS, executor)
    shared.add(user)
    _publish(stream, packets)
    stream.end()
    shared.add(late)
    assert user.ends == ["stream ended"]
    assert late.ends == ["transcoding is over"]
    executor.submit(lambda: None).result()
    await asyncio.sleep(0)
    assert user.packets == [], "what was still at work is not delivered after the end"


async def test_what_cannot_be_transcoded_ends_the_users_and_nobody_else(executor: ThreadPoolExecutor) -> None:
    track = Track(1, TrackKind.AUDIO, Codec.AAC, 48_000, b"\xff\xff\xff")
    packets = [MediaPacket(track, 0, 0, True, b"\x00" * 20, 0.0)]
    stream = _stream(packets)
    user = _User()
    transcoded_audio(stream, Codec.OPUS, executor).add(user)
    _publish(stream, packets)
    await eventually(lambda: user.ends)
    assert "aac" in user.ends[0]
    assert stream.find_shared("audio-opus") is None


async def test_a_defect_ends_it_without_its_details(
    executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(*_: object) -> list[MediaPacket]:
        raise RuntimeError("secret")

    monkeypatch.setattr(audio_sharing.AudioConverter, "convert", convert)
    packets = encode(sound(1, (), 48_000), Codec.AAC)
    stream = _stream(packets)
    user = _User()
    transcoded_audio(stream, Codec.OPUS, executor).add(user)
    _publish(stream, packets)
    await eventually(lambda: user.ends)
    assert user.ends == ["transcoding failed"]


async def test_an_executor_that_does_not_keep_up_costs_old_packets_only() -> None:
    held = _HeldExecutor()
    packets = encode(sound(0.1, (), 48_000), Codec.AAC)
    stream = _stream(packets)
    shared = transcoded_audio(stream, Codec.OPUS, held)
    shared.add(_User())
    many = [MediaPacket(packets[0].track, n, n, True, b"x", 0.0) for n in range(MAX_QUEUED + MAX_BATCH + 7)]
    _publish(stream, many)
    assert len(held.futures) == 1, "one batch of a stream is at work at a time"
    assert shared.dropped_packets == MAX_BATCH + 6, "one was at work, the queue is full"


async def test_a_stream_without_audio_gives_nothing(executor: ThreadPoolExecutor) -> None:
    stream = Stream("room", GopCacheLimits())
    stream.set_tracks([VIDEO], {})
    user = _User()
    transcoded_audio(stream, Codec.OPUS, executor).add(user)
    stream.publish(video(0, is_keyframe=True))
    assert (user.tracks, user.packets, user.ends) == ([], [], [])
    stream.end()
