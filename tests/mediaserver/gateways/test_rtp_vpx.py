"""VP8 and VP9 frames out of RTP payloads."""

from fractions import Fraction

import av
import numpy as np
import pytest
from aiortc.codecs.vpx import Vp8Encoder
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.gateways.rtp_vpx import Vp8Format, Vp9Format
from mediaserver.media.codecs.vp9 import describe
from mediaserver.media.packet import Codec
from sfu.protocol.errors import MalformedPacket
from tests.helpers.encoded import encode

VP8_KEYFRAME = b"\x10\x00\x00\x9d\x01\x2a" + bytes(60)
VP8_FRAME = b"\x11\x00\x00" + bytes(60)
START, END, NOT_A_KEYFRAME, HAS_LAYERS = 0x08, 0x04, 0x40, 0x20


def _vp9_keyframe() -> bytes:
    return encode(Codec.VP9, None).packets[0].payload


def _vp9_payloads(frame: bytes, size: int, flags: int = 0, layer: bytes = b"") -> list[bytes]:
    parts = [frame[start : start + size] for start in range(0, len(frame), size)]
    payloads = []
    for index, part in enumerate(parts):
        edges = START * (index == 0) | END * (index == len(parts) - 1)
        payloads.append(bytes((flags | edges,)) + layer + part)
    return payloads


def test_vp8_of_aiortc_comes_back_and_decodes() -> None:
    encoder, decoder = Vp8Encoder(), av.CodecContext.create("vp8", "r")
    payload_format = Vp8Format()
    noise = np.random.default_rng(1)
    for number in range(3):
        picture = av.VideoFrame.from_ndarray(noise.integers(0, 255, (120, 160, 3), np.uint8), "rgb24")
        picture.pts, picture.time_base = number * 3000, Fraction(1, 90_000)
        payloads, _ = encoder.encode(picture)
        assert len(payloads) > 1
        assert payload_format.starts_frame(payloads[0])
        assert not payload_format.starts_frame(payloads[1])
        frame, is_keyframe = payload_format.assemble(payloads)
        assert is_keyframe == (number == 0)
        [decoded] = decoder.decode(av.Packet(frame))
        assert (decoded.width, decoded.height) == (160, 120)


@pytest.mark.parametrize(
    "payloads",
    [
        [b"\x00" + VP8_FRAME],
        [b"\x10" + VP8_FRAME, b"\x10" + VP8_FRAME],
        [b"\x80"],
        [b"\x10\x10\x00\x00aaa" + bytes(20)],
    ],
)
def test_malformed_vp8_is_refused(payloads: list[bytes]) -> None:
    with pytest.raises(MalformedPacket):
        Vp8Format().assemble(payloads)


def test_vp8_probes_are_no_frames() -> None:
    assert Vp8Format().assemble([b"", b""]) == (b"", False)
    assert not Vp8Format().starts_frame(b"")
    assert Vp8Format().assemble([b"\x10" + VP8_KEYFRAME, b""]) == (VP8_KEYFRAME, True)


@pytest.mark.parametrize("size", [50, 1200])
def test_vp9_comes_back_with_its_configuration(size: int) -> None:
    encoded = encode(Codec.VP9, None)
    payload_format = Vp9Format()
    for packet in encoded.packets:
        flags = 0 if packet.is_keyframe else NOT_A_KEYFRAME
        payloads = _vp9_payloads(packet.payload, size, flags)
        assert payload_format.starts_frame(payloads[0])
        assert payload_format.assemble(payloads) == (packet.payload, packet.is_keyframe)
    assert payload_format.config == encoded.tracks[0].config
    assert describe(payload_format.config).codec_string == "vp09.00.10.08"


def test_vp9_probes_are_no_frames() -> None:
    assert Vp9Format().assemble([b"", b"\x0c"]) == (b"", False)
    assert not Vp9Format().starts_frame(b"")


def test_layers_of_a_picture_are_one_frame_with_an_index() -> None:
    keyframe = _vp9_keyframe()
    upper = b"\x86" + bytes(299)
    payload_format = Vp9Format()
    payloads = _vp9_payloads(keyframe, 1000, HAS_LAYERS, b"\x00\x07") + _vp9_payloads(
        upper, 100, HAS_LAYERS, b"\x03\x07"
    )
    frame, is_keyframe = payload_format.assemble(payloads)
    sizes = len(keyframe).to_bytes(2, "little") + len(upper).to_bytes(2, "little")
    marker = b"\xc9"
    assert frame == keyframe + upper + marker + sizes + marker
    assert is_keyframe
    assert not payload_format.starts_frame(payloads[-3])
    assert payload_format.config is not None and payload_format.config[1] == 20, "four times as large"


@pytest.mark.parametrize(
    "payloads",
    [
        [b"\x04aaa"],
        [b"\xa0"],
        [b"\x0c" + bytes(20)],
        [b"\x0c\x82\x49\x83"],
        [b"\x48a"] * 9,
    ],
)
def test_malformed_vp9_is_refused(payloads: list[bytes]) -> None:
    with pytest.raises(MalformedPacket):
        Vp9Format().assemble(payloads)


@pytest.mark.parametrize(
    ("header", "colours"),
    [
        # marker, profile, kind, flags, sync code, then what the profile has; sizes are ones
        ("10 00 00 00", "001 0"),
        ("10 10 00 00", "001 0 0 0 0"),
        ("10 01 00 00", "0 001 1"),
        ("10 11 0 00 00", "1 111 0"),
    ],
)
def test_colours_of_every_profile_are_read(header: str, colours: str) -> None:
    bits = f"{header}{0x498342:024b}{colours}{'0' * 32}".replace(" ", "")
    frame = int(bits.ljust(88, "0"), 2).to_bytes(11, "big")
    payload_format = Vp9Format()
    payload_format.assemble([b"\x0c" + frame])
    expected = {"10 00": "00 0a 82", "10 10": "01 0a 86", "10 01": "02 0a a3", "10 11": "03 0a c7"}
    assert payload_format.config is not None
    assert payload_format.config[:3] == bytes.fromhex(expected[header[:5]])


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=8))
def test_whatever_comes_is_read_or_refused(payloads: list[bytes]) -> None:
    for payload_format in (Vp8Format(), Vp9Format()):
        payload_format.starts_frame(payloads[0])
        try:
            payload_format.assemble(payloads)
        except MalformedPacket:
            continue
