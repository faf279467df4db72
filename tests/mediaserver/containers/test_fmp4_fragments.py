"""Fragments box by box; test_fmp4 has a demuxer's word on them."""

from fractions import Fraction
from itertools import pairwise
from struct import unpack_from

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.containers.fmp4 import Fmp4Muxer, fragment, init_segment
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind
from tests.helpers.encoded import Encoded, encode
from tests.helpers.mp4_boxes import Fragment, child, read_boxes, read_fragments
from tests.mediaserver.media.codecs import vectors

VIDEO = Track(0, TrackKind.VIDEO, Codec.H264, 90_000, vectors.H264_720P)
AUDIO = Track(1, TrackKind.AUDIO, Codec.AAC, 48_000, vectors.AAC_STEREO)


def _packet(track: Track, dts: int, delay: int = 0, payload: bytes = b"x") -> MediaPacket:
    return MediaPacket(track, dts, dts + delay, dts == 0, payload, 0.0)


def _fragments(encoded: Encoded, cuts: list[int]) -> list[Fragment]:
    muxer = Fmp4Muxer()
    assert muxer.configure(encoded.tracks, {})
    edges = [0, *sorted(cuts), len(encoded.packets)]
    stream = b"".join(muxer.render(encoded.packets[start:end]) for start, end in pairwise(edges))
    return list(read_fragments(stream))


@given(st.lists(st.integers(0, 80), max_size=30), st.sampled_from([0, 2]))
def test_samples_and_times_survive_any_cutting(cuts: list[int], b_frames: int) -> None:
    encoded = encode(Codec.H264, Codec.AAC, b_frames)
    fragments = _fragments(encoded, cuts)
    assert [part.sequence_number for part in fragments] == list(range(1, len(fragments) + 1))
    for number, track in enumerate(encoded.tracks, 1):
        runs = [run for part in fragments for run in part.runs if run.track_number == number]
        sent = [packet for packet in encoded.packets if packet.track is track]
        samples = [sample for run in runs for sample in run.samples]
        assert [time for run in runs for time in run.times] == [(p.dts, p.pts) for p in sent]
        assert [sample.data for sample in samples] == [packet.payload for packet in sent]
        assert [sample.is_sync for sample in samples] == [packet.is_keyframe for packet in sent]


def test_a_fragment_ends_where_an_even_stream_goes_on() -> None:
    packets = [_packet(VIDEO, frame * 3_000) for frame in range(4)]
    muxer = Fmp4Muxer()
    muxer.configure((VIDEO,), {})
    first, second = read_fragments(muxer.render(packets[:2]) + muxer.render(packets[2:]))
    assert first.runs[0].end == second.runs[0].decode_time == 6_000


def test_a_lone_sample_lasts_as_long_as_its_codec_says() -> None:
    muxer = Fmp4Muxer()
    muxer.configure((VIDEO, AUDIO), {})
    [part] = read_fragments(muxer.render([_packet(VIDEO, 0), _packet(AUDIO, 0)]))
    assert [Fraction(run.end) for run in part.runs] == [3_000, 1_024]


@pytest.mark.parametrize("dts", [0, 2**32 - 1, 2**40])
@pytest.mark.parametrize("delay", [-90_000, 0, 6_000])
def test_late_times_and_negative_offsets_have_room(dts: int, delay: int) -> None:
    [part] = read_fragments(fragment(7, [(1, [_packet(VIDEO, dts, delay)], 3_000)]))
    assert part.sequence_number == 7
    assert part.runs[0].times == [(dts, dts + delay)]


def test_a_segment_type_stands_before_the_fragment() -> None:
    data = fragment(1, [(1, [_packet(VIDEO, 0)], 3_000)], styp=b"\x00\x00\x00\x0cstypmsdh")
    assert [box.kind for box in read_boxes(data)] == ["styp", "moof", "mdat"]
    assert len(list(read_fragments(data))) == 1


def test_the_initialization_segment_says_timescale_and_size() -> None:
    moov = child(init_segment([(5, VIDEO)]), "moov").payload
    [timescale] = unpack_from(">I", child(moov, "trak", "mdia", "mdhd").payload, 12)
    [number] = unpack_from(">I", child(moov, "trak", "tkhd").payload, 12)
    width, height = unpack_from(">II", child(moov, "trak", "tkhd").payload, 76)
    assert (timescale, number, width >> 16, height >> 16) == (90_000, 5, 1_280, 720)
    assert unpack_from(">I", child(moov, "mvex", "trex").payload, 4) == (5,)
    description = child(moov, "trak", "mdia", "minf", "stbl", "stsd").payload[8:]
    entry = child(description, "avc1").payload[78:]
    assert child(entry, "avcC").payload == VIDEO.config


def test_there_are_no_samples_in_the_initialization_segment() -> None:
    tables = child(init_segment([(1, VIDEO)]), "moov", "trak", "mdia", "minf", "stbl").payload
    empty = {
        box.kind: unpack_from(">I", box.payload, len(box.payload) - 4)[0] for box in read_boxes(tables)[1:]
    }
    assert empty == {"stts": 0, "stsc": 0, "stsz": 0, "stco": 0}
