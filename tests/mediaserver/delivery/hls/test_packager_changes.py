"""Tracks that come late, change, break off or go, through the packager."""

import pytest

from mediaserver.delivery.hls.opening import SHORTEST_TAIL
from mediaserver.delivery.hls.packager import PackagerState
from mediaserver.media.packet import Codec, Track, TrackKind
from tests.mediaserver.delivery.hls.streams import (
    AUDIO,
    OTHER_VIDEO,
    SECOND_AUDIO,
    SECOND_VIDEO,
    VIDEO,
    Watch,
    frames,
    sounds,
)

ALIGNED = SHORTEST_TAIL + 0.025
"""Seconds by which segments of sound may begin before those of video: a tail too short, and half a frame."""


def test_audio_that_appears_late_joins_at_the_next_segment():
    watch = Watch()
    watch.tracks(VIDEO)
    watch.feed(frames(30, 7, 2))
    assert "EXT-X-MEDIA:" not in watch.packager.multivariant().decode()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 12, 2, start=8), sounds(12, start=7))
    assert watch.last(AUDIO).media_sequence > 0
    assert "EXT-X-MEDIA:TYPE=AUDIO" in watch.packager.multivariant().decode()
    assert watch.last(AUDIO).segments[-1].sequence == watch.last().segments[-1].sequence
    assert not any(segment.is_discontinuous for segment in watch.last().segments)


def test_video_that_appears_late_takes_the_lead():
    watch = Watch()
    watch.tracks(AUDIO)
    watch.feed(sounds(7))
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 13, 2, start=7.3)[5:], sounds(13, start=7))
    starts = {segment.sequence: segment.start for segment in watch.rendition().window.listed}
    audio = {segment.sequence: segment.start for segment in watch.rendition(AUDIO).window.listed}
    assert all(abs(starts[number] - audio[number]) < ALIGNED for number in starts)
    assert 'AUDIO="audio"' in watch.packager.multivariant().decode()


def test_audio_announced_and_late_within_the_first_segment_is_there_from_the_start():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 8, 2), sounds(6.5, start=1.5))
    assert watch.last(AUDIO).media_sequence == 0
    assert watch.seen[watch.rendition(AUDIO).name][0].segments[0].parts[0].is_gap


def test_announced_audio_that_never_comes_costs_nothing():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 8, 2))
    assert "EXT-X-MEDIA:" not in watch.packager.multivariant().decode()
    assert watch.durations()


def test_announced_video_that_never_comes_costs_a_while():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(sounds(30))
    assert watch.durations(AUDIO)


def test_a_changed_configuration_is_a_discontinuity_with_a_new_map_everywhere():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 6, 2), sounds(6))
    watch.tracks(OTHER_VIDEO, AUDIO)
    watch.feed(frames(30, 6, 2, start=6, track=OTHER_VIDEO), sounds(6, start=6))
    video, audio = watch.last(), watch.last(AUDIO)
    assert len({segment.map_uri for segment in video.segments}) == 2
    broken = [segment.sequence for segment in video.segments if segment.is_discontinuous]
    assert len(broken) == 1
    assert broken == [segment.sequence for segment in audio.segments if segment.is_discontinuous]
    watch.feed(frames(30, 60, 2, start=12, track=OTHER_VIDEO), sounds(60, start=12))
    assert watch.last().discontinuity_sequence == watch.last(AUDIO).discontinuity_sequence == 1
    assert watch.packager.data(video.segments[0].map_uri) is None, "forgotten with its last segment"


def test_many_changes_of_configuration_are_bounded():
    watch = Watch()
    watch.tracks(VIDEO)
    for n in range(40):
        track = Track(0, TrackKind.VIDEO, Codec.H264, 90_000, VIDEO.config[:-1] + bytes((n,)))
        watch.tracks(track)
        watch.feed(frames(30, 4, 2, start=n * 4.0, track=track))
    rendition = watch.rendition(track)
    assert len(rendition._maps) <= len([*rendition.window]) + 1


def test_an_interruption_is_listed_as_gaps_and_then_a_discontinuity():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 7.3, 2), sounds(7.3))
    watch.interrupt()
    assert watch.packager.state is PackagerState.INTERRUPTED
    watch.sweep(5)
    assert sum(segment.is_gap for segment in watch.last().segments) == 2
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 6, 2, start=13), sounds(6, start=13))
    for track in (VIDEO, AUDIO):
        segments = watch.last(track).segments
        assert [segment.is_discontinuous for segment in segments].count(True) == 1
        assert [segment.sequence for segment in segments] == [*range(len(segments))]


def test_a_short_interruption_is_a_discontinuity_only():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 7.3, 2), sounds(7.3))
    watch.interrupt()
    watch.sweep(1)
    watch.tracks(OTHER_VIDEO, AUDIO)
    watch.feed(frames(30, 6, 2, start=9, track=OTHER_VIDEO)[3:], sounds(6, start=9))
    assert [s.is_discontinuous for s in watch.last().segments].count(True) == 1
    assert not any(segment.is_gap for segment in watch.last().segments)
    assert watch.last().is_independent, "it waited for a keyframe"


def test_an_interruption_before_anything_is_listed_starts_anew():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 1, 2), sounds(1))
    watch.interrupt()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 6, 2, start=3), sounds(6, start=3))
    assert not any(segment.is_discontinuous for segment in watch.last().segments)


def test_audio_that_drops_out_is_listed_as_gaps():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 16, 2), sounds(4.3) + sounds(6, start=10.2))
    audio = watch.last(AUDIO)
    assert any(segment.is_gap for segment in audio.segments)
    assert audio.segments[-1].sequence == watch.last().segments[-1].sequence
    starts = {segment.sequence: segment.start for segment in watch.rendition().window.listed}
    for segment in watch.rendition(AUDIO).window.listed:
        assert abs(segment.start - starts[segment.sequence]) < ALIGNED


def test_video_that_freezes_for_long_lets_audio_go_on():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 5, 2) + frames(30, 5, 2, start=14), sounds(19))
    assert watch.last(AUDIO).segments[-1].sequence == watch.last().segments[-1].sequence
    assert any(part.is_gap for playlist in watch.seen[watch.rendition().name] for part in playlist.parts)


def test_several_tracks_are_variants_and_a_group():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO, SECOND_VIDEO, SECOND_AUDIO)
    watch.feed(
        frames(30, 8, 2),
        frames(30, 8, 2, track=SECOND_VIDEO),
        sounds(8),
        sounds(8, track=SECOND_AUDIO),
    )
    text = watch.packager.multivariant().decode()
    assert text.count("#EXT-X-STREAM-INF:") == 2
    assert text.count("#EXT-X-MEDIA:") == 2
    assert text.count("DEFAULT=YES") == 1
    assert len(watch.last().reports) == 3
    starts = {segment.sequence: segment.start for segment in watch.rendition().window.listed}
    for segment in watch.rendition(SECOND_VIDEO).window.listed:
        assert segment.start == pytest.approx(starts[segment.sequence], abs=0.01)


def test_a_further_video_with_other_keyframes_follows_all_the_same():
    watch = Watch()
    watch.tracks(VIDEO, SECOND_VIDEO)
    watch.feed(frames(30, 20, 2), frames(30, 20, 5, track=SECOND_VIDEO))
    assert abs(watch.last(SECOND_VIDEO).segments[-1].sequence - watch.last().segments[-1].sequence) <= 1


def test_a_track_that_cannot_be_packaged_costs_only_itself():
    broken = Track(3, TrackKind.AUDIO, Codec.OPUS, 48_000, b"not an OpusHead")
    watch = Watch()
    watch.tracks(VIDEO, broken)
    watch.feed(frames(30, 6, 2), sounds(6, track=broken))
    assert len(watch.packager.renditions) == 1
    assert watch.durations()


def test_a_track_that_goes_ends_its_playlist_and_the_other_goes_on():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 6, 2), sounds(6))
    audio = watch.rendition(AUDIO)
    watch.tracks(VIDEO)
    assert audio.is_ended
    assert watch.packager.find(audio.name) is audio
    before = watch.last().segments[-1].sequence
    watch.feed(frames(30, 6, 2, start=6))
    assert watch.last().segments[-1].sequence > before


def test_when_the_video_goes_the_audio_leads():
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(frames(30, 6, 2), sounds(6))
    watch.tracks(AUDIO)
    watch.feed(sounds(8, start=6))
    assert len(watch.durations(AUDIO)) >= 6
