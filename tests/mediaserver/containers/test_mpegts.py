from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.containers.mpegts import CLOCK_RATE, START_DELAY, MpegTsMuxer
from mediaserver.containers.mpegts_tables import FIRST_PID, PMT_PID
from mediaserver.media.codecs.h264 import AvcConfiguration
from mediaserver.media.codecs.hevc import HevcConfiguration
from mediaserver.media.codecs.nal_units import join_units, split_units
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind
from tests.helpers.encoded import FRAMES, Encoded, decoded_frames, demux, encode
from tests.helpers.mpegts import read_packets, read_pes, split_byte_stream
from tests.mediaserver.media.codecs import vectors

VIDEO = Track(0, TrackKind.VIDEO, Codec.H264, 90_000, vectors.H264_720P)
AUDIO = Track(1, TrackKind.AUDIO, Codec.AAC, 48_000, vectors.AAC_STEREO)
AV1 = Track(0, TrackKind.VIDEO, Codec.AV1, 90_000, vectors.AV1_360P)
VIDEO_PID, AUDIO_PID = FIRST_PID, FIRST_PID + 1
[SPS] = AvcConfiguration.parse(vectors.H264_720P).sequence_parameter_sets
[PPS] = AvcConfiguration.parse(vectors.H264_720P).picture_parameter_sets
DELIMITER = b"\x09\xf0"
IDR, SLICE, SEI = b"\x65idr", b"\x41slice", b"\x06sei"

STREAMS = [
    (Codec.H264, Codec.AAC, 0),
    (Codec.H264, Codec.AAC, 2),
    (Codec.H264, Codec.AC3, 0),
    (Codec.HEVC, Codec.OPUS, 2),
    (Codec.H264, None, 0),
    (None, Codec.AAC, 0),
    (None, Codec.MP3, 0),
    (None, Codec.OPUS, 0),
]


def _muxer(*tracks: Track) -> MpegTsMuxer:
    muxer = MpegTsMuxer()
    assert muxer.configure(tracks, {})
    return muxer


def _video(*units: bytes, is_keyframe: bool = True, at: int = 0, delay: int = 0) -> MediaPacket:
    return MediaPacket(VIDEO, at, at + delay, is_keyframe, join_units(list(units)), 0.0)


def _audio(payload: bytes, at: int = 0) -> MediaPacket:
    return MediaPacket(AUDIO, at, at, True, payload, 0.0)


def _ts(encoded: Encoded) -> bytes:
    muxer = _muxer(*encoded.tracks)
    half = len(encoded.packets) // 2
    return muxer.header() + muxer.render(encoded.packets[:half]) + muxer.render(encoded.packets[half:])


@pytest.mark.parametrize(("video", "audio", "b_frames"), STREAMS)
def test_a_demuxer_reads_back_what_was_encoded(
    video: Codec | None, audio: Codec | None, b_frames: int
) -> None:
    encoded = encode(video, audio, b_frames)
    streams = demux(_ts(encoded), "mpegts")
    assert len(streams) == len(encoded.tracks)
    for stream, track in zip(streams, encoded.tracks, strict=True):
        sent = [packet for packet in encoded.packets if packet.track is track]
        assert [_bare(track, data) for data in stream.payloads] == [_sent(packet) for packet in sent]
        for (pts, dts), packet in zip(stream.times, sent, strict=True):
            assert abs(dts - _seconds(packet.dts, track)) <= Fraction(1, CLOCK_RATE)
            assert abs(pts - _seconds(packet.pts, track)) <= Fraction(1, CLOCK_RATE)


def _seconds(ticks: int, track: Track) -> Fraction:
    return Fraction(ticks, track.clock_rate) + Fraction(START_DELAY, CLOCK_RATE)


def _sent(packet: MediaPacket) -> object:
    track = packet.track
    if track.codec is Codec.H264:
        sets = AvcConfiguration.parse(track.config)
        head = [*sets.sequence_parameter_sets, *sets.picture_parameter_sets] if packet.is_keyframe else []
        return head + list(split_units(packet.payload))
    if track.codec is Codec.HEVC:
        head = list(HevcConfiguration.parse(track.config).parameter_sets) if packet.is_keyframe else []
        return head + list(split_units(packet.payload))
    return packet.payload


def _bare(track: Track, data: bytes) -> object:
    """Without what a transport stream adds: access unit delimiters, ADTS and Opus control headers."""
    if track.kind is TrackKind.VIDEO:
        return split_byte_stream(data)[1:]
    if track.codec is Codec.AAC:
        return data[7:]
    return data


@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_decoder_finds_every_picture(b_frames: int) -> None:
    assert decoded_frames(_ts(encode(Codec.H264, Codec.AAC, b_frames)), "mpegts") == FRAMES


def test_a_keyframe_is_where_a_viewer_can_join() -> None:
    muxer = _muxer(VIDEO, AUDIO)
    packets = read_packets(
        muxer.render([_video(SLICE, is_keyframe=False), _audio(b"a"), _video(IDR, at=3600)])
    )
    assert [packet.pid for packet in packets] == [VIDEO_PID, AUDIO_PID, 0, PMT_PID, VIDEO_PID]
    assert [packet.is_random_access for packet in packets] == [False, False, False, False, True]


def test_with_audio_alone_every_batch_can_be_joined_at() -> None:
    muxer = _muxer(AUDIO)
    for at in (0, 2048):
        packets = read_packets(muxer.render([_audio(b"a", at), _audio(b"b", at + 1024)]))
        assert [packet.pid for packet in packets] == [0, PMT_PID, AUDIO_PID, AUDIO_PID]


@pytest.mark.parametrize(
    ("units", "is_keyframe", "written"),
    [
        ([IDR], True, [DELIMITER, SPS, PPS, IDR]),
        ([SEI, IDR], True, [DELIMITER, SPS, PPS, SEI, IDR]),
        ([SLICE], False, [DELIMITER, SLICE]),
        ([DELIMITER, SLICE], False, [DELIMITER, SLICE]),
        ([b"\x67own", b"\x68own", IDR], True, [DELIMITER, b"\x67own", b"\x68own", IDR]),
        ([b"\x09\x10", SEI, IDR, IDR], True, [DELIMITER, SPS, PPS, SEI, IDR, IDR]),
    ],
    ids=["keyframe", "with SEI", "inter frame", "own delimiter", "own parameter sets", "two slices"],
)
def test_access_units_are_complete(units: list[bytes], is_keyframe: bool, written: list[bytes]) -> None:
    packets = read_packets(_muxer(VIDEO).render([_video(*units, is_keyframe=is_keyframe)]))
    [pes] = read_pes(packets, VIDEO_PID)
    assert split_byte_stream(pes.data) == written


def test_a_malformed_frame_is_left_out_alone() -> None:
    broken = MediaPacket(VIDEO, 3600, 3600, False, b"\x00\x00\xff\xffab", 0.0)
    packets = [_video(IDR), broken, _video(SLICE, is_keyframe=False, at=7200)]
    pes = read_pes(read_packets(_muxer(VIDEO).render(packets)), VIDEO_PID)
    assert [unit.dts - START_DELAY for unit in pes] == [0, 7200]


def test_codecs_without_a_place_in_a_transport_stream_are_left_out() -> None:
    muxer = _muxer(AV1, AUDIO)
    packets = [MediaPacket(AV1, 0, 0, True, b"\x0a\x00", 0.0), _audio(b"a")]
    assert {packet.pid for packet in read_packets(muxer.render(packets))} == {0, PMT_PID, AUDIO_PID}
    assert {packet.pid for packet in read_packets(_muxer(AV1).render(packets))} == {0, PMT_PID}


def test_a_configuration_adts_cannot_say_costs_its_track_only() -> None:
    odd = Track(1, TrackKind.AUDIO, Codec.AAC, 6_000, bytes.fromhex("17800bb810"))
    packets = [_video(IDR), MediaPacket(odd, 0, 0, True, b"a", 0.0)]
    assert {packet.pid for packet in read_packets(_muxer(VIDEO, odd).render(packets))} == {
        0,
        PMT_PID,
        VIDEO_PID,
    }


def test_counters_go_on_and_the_map_says_what_changed() -> None:
    muxer = _muxer(VIDEO)
    before = read_packets(muxer.render([_video(IDR), _video(IDR + bytes(1000), at=3600)]))
    muxer.configure((VIDEO,), {"title": "another"})
    same = read_packets(muxer.render([_video(IDR, at=7200)]))
    muxer.configure((VIDEO, AUDIO), {})
    changed = read_packets(muxer.render([_video(IDR, at=10_800), _audio(b"a")]))
    for pid in (0, PMT_PID, VIDEO_PID):
        counters = [packet.continuity for packet in before + same + changed if packet.pid == pid]
        assert all(later == (earlier + 1) % 16 for earlier, later in pairwise(counters))
    maps = [packet.payload for packet in before + same + changed if packet.pid == PMT_PID]
    assert maps[0] == maps[1] == maps[2] != maps[3]
    versions = [section[6] >> 1 & 31 for section in maps]
    assert versions[3] == (versions[2] + 1) % 32


@given(
    st.lists(st.tuples(st.integers(1, 800), st.booleans()), min_size=1, max_size=12),
    st.integers(0, 2**34),
    st.integers(0, 9000),
)
def test_any_frames_come_out_whole(frames: list[tuple[int, bool]], start: int, delay: int) -> None:
    muxer = _muxer(VIDEO, AUDIO)
    packets: list[MediaPacket] = []
    for number, (size, is_video) in enumerate(frames):
        at = start + 3600 * number
        unit = bytes((0x41,)) + bytes((number + 1,)) * size
        is_keyframe = number % 3 == 0
        packets.append(
            _video(unit, is_keyframe=is_keyframe, at=at, delay=delay)
            if is_video
            else _audio(unit, at * 48_000 // CLOCK_RATE)
        )
    written = read_packets(muxer.render(packets))
    for pid, track in ((VIDEO_PID, VIDEO), (AUDIO_PID, AUDIO)):
        sent = [packet for packet in packets if packet.track is track]
        units = read_pes(written, pid)
        assert len(units) == len(sent)
        for pes, packet in zip(units, sent, strict=True):
            assert pes.data.endswith(packet.payload[4:] if track is VIDEO else packet.payload)
            assert pes.dts == (packet.dts * CLOCK_RATE // track.clock_rate + START_DELAY) % 2**33
            assert pes.pts == (packet.pts * CLOCK_RATE // track.clock_rate + START_DELAY) % 2**33
        counters = [packet.continuity for packet in written if packet.pid == pid]
        assert counters == [number % 16 for number in range(len(counters))]
    clocks = [packet.clock for packet in written if packet.clock is not None]
    dts = [packet.dts for packet in packets if packet.track is VIDEO]
    assert all(
        0 < (at + START_DELAY - clock) % 2**33 <= START_DELAY for at, clock in zip(dts, clocks, strict=True)
    )
