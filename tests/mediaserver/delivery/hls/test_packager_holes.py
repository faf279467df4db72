"""Picture and sound that break off and come back, each at its own time, through the packager."""

import random

import pytest

from mediaserver.media.packet import MediaPacket
from tests.mediaserver.delivery.hls.streams import AUDIO, VIDEO, Watch, frames, merged, sounds


def _in_pieces(seed: int, offsets: tuple[int, ...]) -> list[MediaPacket]:
    """About half a minute in groups of pictures: some late, some shown later, some silent."""
    chance = random.Random(seed)
    packets: list[MediaPacket] = []
    at = 0.0
    for _ in range(12):
        seconds = chance.uniform(0.5, 4)
        if chance.random() < 0.3:
            at += chance.uniform(0, 9)
        offset = chance.choice(offsets) * 90
        packets += (
            MediaPacket(VIDEO, p.dts, p.pts + offset, p.is_keyframe, p.payload, at)
            for p in frames(25, seconds, seconds, start=at)
        )
        if chance.random() < 0.8:
            packets += sounds(seconds, start=at)
        at += seconds
    return merged(packets)


@pytest.mark.parametrize("seed", [19, 48, 50])
def test_holes_are_listed_by_the_letter(seed: int):
    watch = Watch()
    watch.tracks(VIDEO, AUDIO)
    watch.feed(_in_pieces(seed, (0,)))
    assert watch.rendition().sequence == watch.rendition(AUDIO).sequence


@pytest.mark.parametrize("seed", range(6))
def test_pictures_that_jump_within_their_own_time_break_nothing(seed: int):
    watch = Watch()
    packager = watch.packager
    packager.on_tracks((VIDEO, AUDIO), {})
    for packet in _in_pieces(seed, (0, 0, 3_000, -3_000, 9_000, -9_000)):
        packager.on_packet(packet)
    packager.on_end()
    assert all(rendition.is_ended for rendition in packager.renditions.values())
