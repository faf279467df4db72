"""How long the stream for MediaSource says that the last frame of each fragment lasts."""

from itertools import pairwise

import pytest

from mediaserver.containers.fmp4 import Fmp4Muxer
from mediaserver.media.packet import MediaPacket, Track
from tests.helpers.hls_checker import fragment_times
from tests.mediaserver.delivery.hls.streams import AUDIO, VIDEO


def claims(track: Track, times: list[int]) -> list[tuple[int, int]]:
    """(decode time, claimed duration) of frames that come one by one."""
    muxer = Fmp4Muxer()
    muxer.configure([track], {})
    rendered = [muxer.render([MediaPacket(track, dts, dts, dts == 0, b"x", 0.0)]) for dts in times]
    fragments = [fragment_times(data) for data in rendered]
    return [(fragment.decode_time, fragment.durations[-1]) for fragment in fragments]


@pytest.mark.parametrize("rate", [5, 10, 25, 60])
def test_a_steady_rate_is_known_from_the_second_frame_on(rate: int):
    frame = 90_000 // rate
    found = claims(VIDEO, [n * frame for n in range(40)])
    assert [dts for dts, _ in found] == [n * frame for n in range(40)]
    assert all(frame <= claimed for _, claimed in found[1:])
    assert found[-1][1] == frame


def test_alternating_distances_are_no_discontinuity_to_media_source():
    times = [0]
    for n in range(30):
        times.append(times[-1] + (3000 if n % 3 else 12_000))
    found = claims(VIDEO, times)
    for (dts, claimed), (following, _) in pairwise(found[4:]):
        assert following - dts <= 2 * claimed


def test_a_hole_in_the_sound_is_not_taken_for_a_long_sound():
    times = [n * 1024 + (48_000 if n > 5 else 0) for n in range(12)]
    assert [claimed for _, claimed in claims(AUDIO, times)][7:] == [1024] * 5


def test_a_batch_says_how_long_its_frames_really_lasted():
    muxer = Fmp4Muxer()
    muxer.configure([VIDEO], {})
    times = [0, 3000, 6100, 9000]
    packets = [MediaPacket(VIDEO, dts, dts, dts == 0, b"x", 0.0) for dts in times]
    assert fragment_times(muxer.render(packets)).durations[:3] == (3000, 3100, 2900)


def test_a_freeze_is_claimed_for_a_second_at_most_and_once():
    found = claims(VIDEO, [0, 3000, 6000, 906_000, 909_000, 912_000])
    assert [claimed for _, claimed in found][3:] == [90_000, 22_500, 19_687]
