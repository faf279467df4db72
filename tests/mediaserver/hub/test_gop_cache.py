from hypothesis import given
from hypothesis import strategies as st

from mediaserver.hub.gop_cache import GopCache, GopCacheLimits
from mediaserver.media.packet import MediaPacket
from tests.helpers.media import AUDIO, VIDEO, audio, interleaved, video


def cache_with(*packets: MediaPacket, tracks=(VIDEO, AUDIO), **limits) -> GopCache:
    cache = GopCache(GopCacheLimits(**limits))
    cache.set_tracks(tracks, frozenset())
    for packet in packets:
        cache.add(packet)
    return cache


def test_begins_at_the_last_keyframe():
    second = video(5, is_keyframe=True)
    cache = cache_with(video(0, is_keyframe=True), video(1), second, audio(9), video(6))
    assert [p.dts for p in cache] == [second.dts, audio(9).dts, video(6).dts]


def test_is_empty_before_the_first_keyframe():
    assert len(cache_with(video(1), audio(1), video(2))) == 0


def test_keyframe_of_another_video_track_does_not_restart():
    other = type(VIDEO)(2, VIDEO.kind, VIDEO.codec, VIDEO.clock_rate, b"other")
    cache = cache_with(
        video(0, is_keyframe=True), video(1, is_keyframe=True, track=other), tracks=(VIDEO, AUDIO, other)
    )
    assert len(cache) == 2


def test_a_group_over_the_bounds_is_dropped_whole_until_the_next_keyframe():
    cache = cache_with(video(0, is_keyframe=True), video(1), video(2), max_packets=2)
    assert len(cache) == 0
    cache.add(video(3))
    assert len(cache) == 0
    cache.add(video(4, is_keyframe=True))
    assert len(cache) == 1


def test_bounded_in_bytes():
    cache = cache_with(
        video(0, is_keyframe=True, payload=bytes(60)), video(1, payload=bytes(60)), max_bytes=100
    )
    assert cache.payload_bytes == 0


def test_audio_only_keeps_the_last_second():
    cache = cache_with(*(audio(n) for n in range(200)), tracks=(AUDIO,))
    kept = list(cache)
    assert kept[-1].dts == audio(199).dts
    assert 48_000 - 1024 <= kept[-1].dts - kept[0].dts <= 48_000


def test_a_changed_video_track_empties_it():
    cache = cache_with(video(0, is_keyframe=True))
    changed = type(VIDEO)(0, VIDEO.kind, VIDEO.codec, VIDEO.clock_rate, b"other")
    cache.set_tracks((changed, AUDIO), frozenset({0}))
    assert len(cache) == 0


def test_a_late_track_does_not_empty_it():
    cache = cache_with(video(0, is_keyframe=True), tracks=(VIDEO,))
    cache.set_tracks((VIDEO, AUDIO), frozenset())
    assert len(cache) == 1


def test_disabled_keeps_nothing():
    assert len(cache_with(video(0, is_keyframe=True), enabled=False)) == 0


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 20))
def test_is_empty_or_begins_with_a_keyframe_and_is_gapless(keyframes: list[bool], max_packets: int):
    packets = [video(n, is_keyframe=is_key) for n, is_key in enumerate(keyframes)]
    cache = cache_with(*packets, max_packets=max_packets)
    kept = list(cache)
    assert len(kept) <= max_packets
    if kept:
        assert kept[0].is_keyframe
        assert kept == packets[-len(kept) :]
        assert cache.payload_bytes == sum(len(p.payload) for p in kept)


def test_interleaved_media_stays_within_one_group():
    cache = cache_with(*interleaved(9.9))
    assert next(iter(cache)).is_keyframe
    assert sum(p.track is VIDEO for p in cache) == 247 - 200
