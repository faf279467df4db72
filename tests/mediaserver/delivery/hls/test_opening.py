"""What the first segment decides."""

import pytest

from mediaserver.delivery.hls.opening import Opening, Timing
from mediaserver.delivery.hls.options import HlsOptions
from mediaserver.media.packet import MediaPacket, Track
from tests.mediaserver.delivery.hls.streams import AUDIO, VIDEO, frames, merged, sounds


def opened(packets: list[MediaPacket], leader: Track, options: HlsOptions | None = None) -> Timing | None:
    """What is decided, None while it is not."""
    opening = Opening(options or HlsOptions())
    return next((opening.timing(leader) for packet in packets if opening.add(packet, leader)), None)


@pytest.mark.parametrize(
    ("rate", "gop", "expected"),
    [
        (30, 2, Timing(2, 0.5)),
        (30, 1, Timing(2, 0.5)),
        (30, 3, Timing(3, 0.5)),
        (30, 3.5, Timing(4, 0.5)),
        (30, 9, Timing(9, 0.5)),
        (30, 30, Timing(10, 0.5)),
        (5, 3, Timing(3, 0.6)),
        (1, 2, Timing(2, 1.0)),
        (25, 2, Timing(2, 0.52)),
        (29.97, 2, Timing(2, 0.501)),
        (30, 2.1, Timing(2, 0.534)),
        (60, 2.4, Timing(3, 0.5)),
    ],
)
def test_what_is_decided(rate: float, gop: float, expected: Timing):
    assert opened(frames(rate, 20, gop), VIDEO) == expected


def test_nothing_is_decided_within_the_first_group():
    assert opened(merged(frames(30, 1.9, 2), sounds(1.9)), VIDEO) is None


def test_audio_alone_takes_a_segment():
    assert opened(sounds(1.7), AUDIO) is None
    assert opened(sounds(1.8), AUDIO) == Timing(2, 0.5)


def test_too_many_bytes_are_not_waited_for():
    assert opened(frames(30, 1, 2), VIDEO, HlsOptions(max_bytes=1000)) == Timing(10, 0.5)


def test_sound_just_ahead_of_the_first_picture_is_kept():
    opening = Opening(HlsOptions())
    for packet in sounds(1):
        opening.add(packet, VIDEO)
    opening.add(frames(30, 1, 2, start=0.8)[0], VIDEO)
    kept = [packet.dts / 48_000 for packet in opening.packets if packet.track is AUDIO]
    assert kept
    assert min(kept) >= 0.8
