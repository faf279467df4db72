from collections.abc import Mapping

import pytest

from mediaserver.gateways.track_gathering import MAX_PACKETS, TrackGathering
from mediaserver.media.packet import Track
from tests.helpers.media import AUDIO, VIDEO, audio, video


def gathering(metadata: Mapping[str, object] | None = None, *tracks: Track) -> TrackGathering:
    gathered = TrackGathering()
    if metadata is not None:
        gathered.expect(metadata)
    for track in tracks:
        gathered.add_track(track)
    return gathered


def test_both_kinds_are_awaited_when_nothing_is_announced() -> None:
    gathered = gathering(None, VIDEO)
    gathered.add_packet(video(0, is_keyframe=True))
    assert not gathered.is_complete
    gathered.add_track(AUDIO)
    assert gathered.is_complete


@pytest.mark.parametrize("absent", [{}, {"audiocodecid": 0.0}, {"audiocodecid": None}, {"audiocodecid": ""}])
def test_a_kind_that_is_not_announced_is_not_awaited(absent: dict[str, object]) -> None:
    gathered = gathering({"videocodecid": 7.0, **absent}, VIDEO)
    gathered.add_packet(video(0, is_keyframe=True))
    assert gathered.is_complete


def test_metadata_without_codecs_expects_both() -> None:
    gathered = gathering({"encoder": "x"}, AUDIO)
    gathered.add_packet(audio(0))
    assert not gathered.is_complete


def test_tracks_without_a_packet_are_not_enough() -> None:
    assert not gathering(None, VIDEO, AUDIO).is_complete


def test_an_announced_track_that_never_comes_costs_a_second_of_media() -> None:
    gathered = gathering({"videocodecid": 7.0, "audiocodecid": 10.0}, VIDEO)
    for frame in range(25):
        gathered.add_packet(video(frame))
        assert not gathered.is_complete
    gathered.add_packet(video(25))
    assert gathered.is_complete


def test_held_packets_are_bounded() -> None:
    gathered = gathering(None, VIDEO)
    for _ in range(MAX_PACKETS):
        gathered.add_packet(video(0))
    assert gathered.is_complete
