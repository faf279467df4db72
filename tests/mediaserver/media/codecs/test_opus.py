import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.media.codecs import opus
from mediaserver.media.errors import CodecConfigError
from tests.mediaserver.media.codecs import vectors


@pytest.mark.parametrize(
    ("head", "box"),
    [
        (vectors.OPUS_STEREO, "0002 0138 0000bb80 0000 00"),
        (vectors.OPUS_5_1, "0006 0138 0000bb80 0000 01 0402 000401020305"),
    ],
)
def test_makes_the_box_payload(head: bytes, box: str) -> None:
    assert opus.specific_box(head) == bytes.fromhex(box)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"OpusTags" + vectors.OPUS_STEREO[8:],
        vectors.OPUS_STEREO[:-1],
        vectors.OPUS_STEREO[:8] + b"\x10" + vectors.OPUS_STEREO[9:],
        vectors.OPUS_STEREO[:9] + b"\x00" + vectors.OPUS_STEREO[10:],
        vectors.OPUS_5_1[:-1],
    ],
    ids=["nothing", "other magic", "short", "version 16", "no channels", "mapping cut off"],
)
def test_refuses_malformed_heads(head: bytes) -> None:
    with pytest.raises(CodecConfigError, match="OpusHead"):
        opus.describe(head)


@pytest.mark.parametrize(
    ("packet", "samples"),
    [
        ("fc", 960),  # CELT, 20 ms
        ("e0", 120),  # CELT, 2.5 ms
        ("f8", 960),
        ("78", 960),  # hybrid, 20 ms
        ("00", 480),  # SILK, 10 ms
        ("18", 2880),  # SILK, 60 ms
        ("fd", 1920),  # two frames of equal size
        ("fe", 1920),
        ("ff03", 2880),  # three frames
        ("ff06", 5760),
        ("ff07", 0),  # 140 ms: more than a packet may hold
        ("ff", 0),
        ("ff00", 0),
        ("", 0),
    ],
)
def test_counts_the_samples_of_a_packet(packet: str, samples: int) -> None:
    assert opus.packet_samples(bytes.fromhex(packet)) == samples


@given(st.binary(max_size=8))
def test_no_packet_is_longer_than_120_ms(packet: bytes) -> None:
    assert 0 <= opus.packet_samples(packet) <= opus.MAX_PACKET_SAMPLES
