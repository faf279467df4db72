"""VP9 and AV1 samples through RTP payloads and back."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.gateways.rtp_av1 import Av1Format
from mediaserver.gateways.rtp_h264 import MAX_PAYLOAD
from mediaserver.gateways.rtp_vpx import Vp9Format
from mediaserver.gateways.webrtc_packets import Av1Packetizer, Vp9Packetizer
from mediaserver.media.codecs.av1 import OBU_SEQUENCE_HEADER, split_obus
from mediaserver.media.errors import CodecConfigError
from mediaserver.media.packet import Codec, TrackKind
from sfu.protocol.payloads import vp9
from sfu.protocol.payloads.keyframes import keyframe_test
from tests.helpers.encoded import encode

Z, Y, N = 0x80, 0x40, 0x08


def _obu(kind: int, body: bytes, *, has_size: bool = True) -> bytes:
    assert len(body) < 128 * 128
    size = bytes((len(body),)) if len(body) < 128 else bytes((len(body) & 0x7F | 0x80, len(body) >> 7))
    return bytes((kind << 3 | (2 if has_size else 0),)) + (size if has_size else b"") + body


@pytest.mark.parametrize("max_payload", [60, MAX_PAYLOAD])
def test_vp9_comes_back_as_it_was(max_payload: int) -> None:
    clip = encode(Codec.VP9, None)
    packetizer, reader = Vp9Packetizer(max_payload), Vp9Format()
    for picture in clip.of(TrackKind.VIDEO):
        payloads = packetizer.packetize(picture.payload, picture.is_keyframe)
        assert max(map(len, payloads)) <= max_payload
        assert [reader.starts_frame(payload) for payload in payloads] == [True] + [False] * (
            len(payloads) - 1
        )
        assert reader.assemble(payloads) == (picture.payload, picture.is_keyframe)


def test_vp9_pictures_are_numbered_round() -> None:
    packetizer = Vp9Packetizer()
    numbers = [vp9.parse(packetizer.packetize(b"picture", False)[0]).picture_id for _ in range(0x8001)]
    assert numbers[0] == numbers[-1]
    assert len(set(numbers)) == 0x8000
    assert packetizer.packetize(b"", False) == []


@pytest.mark.parametrize("max_payload", [60, MAX_PAYLOAD])
def test_av1_comes_back_as_it_was(max_payload: int) -> None:
    clip = encode(Codec.AV1, None)
    packetizer, reader = Av1Packetizer(clip.tracks[0].config, max_payload), Av1Format()
    is_keyframe = keyframe_test("video/AV1")
    assert is_keyframe is not None
    for picture in clip.of(TrackKind.VIDEO):
        payloads = packetizer.packetize(picture.payload, picture.is_keyframe)
        assert max(map(len, payloads)) <= max_payload
        assert reader.assemble(payloads) == (picture.payload, picture.is_keyframe)
        assert is_keyframe(payloads[0]) == picture.is_keyframe


def test_av1_keyframes_begin_with_a_sequence_header() -> None:
    clip = encode(Codec.AV1, None)
    keyframe = clip.packets[0].payload
    without = b"".join(obu for kind, obu in split_obus(keyframe) if kind != OBU_SEQUENCE_HEADER)
    assert without != keyframe
    [payload, *_] = Av1Packetizer(clip.tracks[0].config).packetize(without, True)
    assert payload[0] & N
    assert payload[2] >> 3 & 0x0F == OBU_SEQUENCE_HEADER
    assert Av1Format().assemble(Av1Packetizer(clip.tracks[0].config).packetize(without, True))[1]


def _flags(payloads: Sequence[bytes]) -> list[int]:
    return [payload[0] & (Z | Y) for payload in payloads]


@given(st.lists(st.binary(min_size=0, max_size=300), min_size=1, max_size=12), st.integers(20, 80))
def test_av1_packets_hang_together_and_lose_nothing(bodies: list[bytes], max_payload: int) -> None:
    sample = b"".join(_obu(6, b"\x10" + body) for body in bodies)
    payloads = Av1Packetizer(bytes(4), max_payload).packetize(sample, False)
    assert all(len(payload) <= max_payload for payload in payloads)
    assert _flags(payloads)[0] & Z == 0 and _flags(payloads)[-1] & Y == 0
    for one, following in pairwise(_flags(payloads)):
        assert one & Y and following & Z
    assert Av1Format().assemble(payloads)[0] == sample


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40))
def test_av1_obus_of_no_length_at_all_do_no_harm(sizes: list[int]) -> None:
    sample = b"".join(_obu(5, bytes(size)) for size in sizes)
    payloads = Av1Packetizer(bytes(4), 20).packetize(sample, False)
    assert Av1Format().assemble(payloads)[0] == sample


def test_av1_delimiters_are_left_out_and_the_last_obu_may_have_no_size() -> None:
    sample = _obu(2, b"") + _obu(6, b"\x30" + b"first") + _obu(6, b"\x30" + b"last", has_size=False)
    payloads = Av1Packetizer(bytes(4)).packetize(sample, False)
    assert Av1Format().assemble(payloads)[0] == _obu(6, b"\x30first") + _obu(6, b"\x30last")


@given(st.binary(max_size=60))
def test_av1_garbage_is_an_error_or_packets(sample: bytes) -> None:
    with suppress(CodecConfigError):
        Av1Packetizer(bytes(4)).packetize(sample, True)
