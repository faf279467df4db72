"""H.264 samples through RTP payloads and back."""

import pytest
from aiortc.codecs.h264 import H264Encoder, h264_depayload
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.gateways.rtp_h264 import MAX_PARAMETER_SETS, MAX_PAYLOAD, H264Format, H264Packetizer
from mediaserver.media.codecs.h264 import AvcConfiguration, describe
from mediaserver.media.codecs.nal_units import START_CODE, join_units, split_units
from mediaserver.media.errors import CodecConfigError
from mediaserver.media.packet import Codec
from sfu.protocol.errors import MalformedPacket
from sfu.protocol.payloads.h264 import is_keyframe
from tests.helpers.encoded import encode
from tests.mediaserver.media.codecs import vectors

RECORD = vectors.H264_720P
CONFIGURATION = AvcConfiguration.parse(RECORD)
SPS, PPS = CONFIGURATION.sequence_parameter_sets[0], CONFIGURATION.picture_parameter_sets[0]
IDR = b"\x65\x88" + bytes(range(256)) * 20
SLICE = b"\x41\x9a" + b"\x55" * 100
SETS = b"\x78" + join_units([SPS, PPS], 2)


def _sample(*units: bytes) -> bytes:
    return join_units(list(units))


def test_parameter_sets_go_in_one_packet_before_every_idr() -> None:
    packetizer = H264Packetizer(RECORD)
    for _ in range(2):
        payloads = packetizer.packetize(_sample(IDR))
        assert payloads[0] == SETS
        assert is_keyframe(payloads[0])
    assert packetizer.packetize(_sample(SLICE)) == [SLICE]


def test_only_once_however_many_slices_the_picture_has() -> None:
    payloads = H264Packetizer(RECORD).packetize(_sample(b"\x06\x05\x01\x80", b"\x65\x88", b"\x65\x11"))
    assert payloads == [b"\x06\x05\x01\x80", SETS, b"\x65\x88", b"\x65\x11"]


def test_the_samples_own_parameter_sets_are_the_newer_ones() -> None:
    packetizer = H264Packetizer(RECORD)
    newer = PPS + b"\x01"
    [first, _] = packetizer.packetize(_sample(b"\x09\xf0", SPS, newer, b"\x65\x88", b"\x0c\xff\x80"))
    assert first == b"\x78" + join_units([SPS, newer], 2)
    assert packetizer.packetize(_sample(b"\x65\x88"))[0] == first


def test_no_payload_is_larger_than_allowed_and_fragments_are_alike() -> None:
    payloads = H264Packetizer(RECORD).packetize(_sample(IDR))[1:]
    sizes = [len(payload) for payload in payloads]
    assert max(sizes) <= MAX_PAYLOAD
    assert max(sizes) - min(sizes) < len(sizes)
    assert [payload[1] >> 6 for payload in payloads] == [2, 0, 0, 0, 1]


def test_aiortc_reads_what_we_write() -> None:
    payloads = H264Packetizer(RECORD).packetize(_sample(IDR))
    data = b"".join(h264_depayload(payload) for payload in payloads)
    assert data == b"".join(START_CODE + unit for unit in (SPS, PPS, IDR))


def test_we_read_what_aiortc_writes() -> None:
    units = [SPS, PPS, IDR, SLICE]
    payloads = H264Encoder._packetize(iter(units))
    sample, is_key = H264Format().assemble(payloads)
    assert (sample, is_key) == (_sample(IDR, SLICE), True)


@given(st.lists(st.binary(min_size=1, max_size=5000), min_size=1, max_size=5), st.integers(50, 1500))
def test_round_trip(bodies: list[bytes], max_payload: int) -> None:
    units = [b"\x41" + body for body in bodies]
    payloads = H264Packetizer(RECORD, max_payload).packetize(_sample(*units))
    assert max(map(len, payloads)) <= max_payload
    assert H264Format().assemble(payloads) == (_sample(*units), False)


def test_encoded_video_comes_back_with_its_configuration() -> None:
    encoded = encode(Codec.H264, None)
    record = encoded.tracks[0].config
    packetizer, payload_format = H264Packetizer(record), H264Format()
    for packet in encoded.packets:
        payloads = packetizer.packetize(packet.payload)
        assert payload_format.starts_frame(payloads[0])
        sample, is_key = payload_format.assemble(payloads)
        assert list(split_units(sample)) == list(split_units(packet.payload))
        assert is_key == packet.is_keyframe
    assert payload_format.config == record


def test_the_configuration_follows_the_parameter_sets() -> None:
    payload_format = H264Format()
    assert payload_format.config is None
    payload_format.assemble([SETS, b"\x65\x88"])
    first = payload_format.config
    other = AvcConfiguration.parse(vectors.H264_1080P_BASELINE)
    payload_format.assemble(
        [*other.sequence_parameter_sets, *other.picture_parameter_sets, b"\x65\x88"],
    )
    assert first is not None and payload_format.config is not None
    assert describe(first).width == 1280
    assert describe(payload_format.config).width == 1920


def test_parameter_sets_may_come_before_their_frame() -> None:
    payload_format = H264Format()
    payload_format.assemble([SETS, b"\x65\x88"])
    other = AvcConfiguration.parse(vectors.H264_1080P_BASELINE)
    sets = [*other.sequence_parameter_sets, *other.picture_parameter_sets]
    assert payload_format.assemble(sets) == (b"", False)
    assert payload_format.config is not None
    assert describe(payload_format.config).width == 1280, "they hold from the next keyframe on"
    payload_format.assemble([b"\x65\x88"])
    assert describe(payload_format.config).width == 1920


def test_too_large_parameter_sets_go_one_by_one() -> None:
    payloads = H264Packetizer(RECORD, len(SPS)).packetize(_sample(b"\x65\x88"))
    assert payloads == [SPS, PPS, b"\x65\x88"]


def test_no_bytes_no_frame() -> None:
    assert H264Format().assemble([b""]) == (b"", False)
    assert H264Format().assemble([SETS]) == (b"", False)


@pytest.mark.parametrize(
    ("payloads", "text"),
    [
        ([b"\x7c"], "without its header"),
        ([b"\x7c\x05aa"], "do not begin"),
        ([b"\x7c\x85aa", b"\x7c\x85aa"], "begin twice"),
        ([b"\x7c\x85aa"], "last fragment"),
        ([b"\x7c\x85aa", b"\x41\x9a"], "last fragment"),
        ([b"\x7c\x85aa", b""], "last fragment"),
        ([b"\x78\x00"], "aggregation"),
        ([b"\x78\x00\x05\x67"], "aggregation"),
        ([b"\x79\x00\x00\x00"], "type 25"),
        ([b"\x1f\x00"], "type 31"),
        ([b"\x00\x00"], "type 0"),
        ([b"\x65\x88"], "without parameter sets"),
        ([b"\x67\x42\x00\x1f" + bytes(8)], "Exp-Golomb"),
        ([SPS[:6], PPS, b"\x65\x88"], "keyframe"),
        ([b"\x78" + b"\x00\x01\x41" * 5000], "units"),
    ],
)
def test_refuses_malformed_frames(payloads: list[bytes], text: str) -> None:
    with pytest.raises(MalformedPacket, match=text):
        H264Format().assemble(payloads)


def test_parameter_sets_do_not_pile_up() -> None:
    # 4 zeros before the 5 bits of n + 1 are ue(v) of a picture parameter set's number n
    units = [b"\x68" + ((n + 1) << 7).to_bytes(2, "big") for n in range(15, 16 + MAX_PARAMETER_SETS)]
    with pytest.raises(MalformedPacket, match="parameter sets"):
        H264Format().assemble(units)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=8))
def test_whatever_comes_is_read_or_refused(payloads: list[bytes]) -> None:
    payload_format = H264Format()
    payload_format.starts_frame(payloads[0])
    try:
        sample, _ = payload_format.assemble(payloads)
    except MalformedPacket:
        return
    list(split_units(sample))


def test_a_slice_in_the_middle_does_not_start_a_frame() -> None:
    payload_format = H264Format()
    starts = [SETS, b"\x06\x05", b"\x65\x88", b"\x7c\x85\x88", b"\x78\x00\x02\x65\x88", b"\x7c\x87\x00"]
    middles = [b"", b"\x65\x08", b"\x7c\x05\x88", b"\x7c\x85\x08", b"\x7c\x85", b"\x78\x00", b"\x1f\x00"]
    assert all(payload_format.starts_frame(payload) for payload in starts)
    assert not any(payload_format.starts_frame(payload) for payload in middles)


def test_refuses_a_malformed_sample() -> None:
    with pytest.raises(CodecConfigError):
        H264Packetizer(RECORD).packetize(b"\x00\x00\x00\x09\x41")
