"""Redundant audio: what is sound is taken apart, what is not is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu.protocol import red, rtp
from sfu.protocol.errors import MalformedPacket
from sfu.protocol.parameters import RtpCodecParameters
from tests.sfu.linked_world import LEVEL_ID, packet
from tests.sfu.protocol.red_payloads import OPUS_NUMBER, block, red_payload

RED_NUMBER = 63
FRAMES = st.binary(min_size=1, max_size=300)


def red_packet(payload: bytes, *, marker: bool = False) -> bytes:
    return packet(
        7, payload_type=RED_NUMBER, payload=payload, marker=marker, extensions=[(LEVEL_ID, b"\x85")]
    )


def plain_of(found: bytes) -> bytes:
    return red.unwrapped(found, rtp.parse(found), OPUS_NUMBER)


@settings(deadline=None)
@given(FRAMES, st.lists(FRAMES, max_size=4), st.booleans())
def test_a_packets_own_frame_keeps_its_number_time_and_extensions(
    frame: bytes, copies: list[bytes], marker: bool
) -> None:
    found = plain_of(red_packet(red_payload(frame, *copies), marker=marker))
    expected = packet(
        7, payload_type=OPUS_NUMBER, payload=frame, marker=marker, extensions=[(LEVEL_ID, b"\x85")]
    )
    assert found == expected


@settings(deadline=None)
@given(FRAMES, st.lists(FRAMES, max_size=4))
def test_only_payload_types_are_written_anew(frame: bytes, copies: list[bytes]) -> None:
    found = red_packet(red_payload(frame, *copies))
    expected = red_packet(red_payload(frame, *copies, payload_type=100))
    assert red.renumbered(found, rtp.parse(found), 100) == expected


@settings(deadline=None)
@given(FRAMES)
def test_plain_audio_is_wrapped_and_unwrapped(frame: bytes) -> None:
    plain = packet(7, payload_type=OPUS_NUMBER, payload=frame)
    wrapped = red.wrapped(plain, rtp.parse(plain), OPUS_NUMBER)
    assert wrapped[12:] == red_payload(frame)
    assert plain_of(wrapped) == plain


def test_padding_is_left_out() -> None:
    padded = bytearray(red_packet(red_payload(b"frame", b"copy") + b"\0\0\3"))
    padded[0] |= 0x20
    assert plain_of(bytes(padded)).endswith(b"frame")
    assert rtp.parse(plain_of(bytes(padded))).padding == 0


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        bytes((OPUS_NUMBER,)),
        block(960, b"copy")[0],
        block(960, b"copy")[0][:3],
        block(960, b"copy")[0] + bytes((OPUS_NUMBER,)) + b"cop",
        red_payload(b"", b"copy"),
        red_payload(b"frame", payload_type=RED_NUMBER),
        block(960, b"copy", RED_NUMBER)[0] + bytes((OPUS_NUMBER,)) + b"copy" + b"frame",
        block(960, b"copy")[0] + b"\x0d" + b"copy" + b"frame",
        b"\xff" * 200,
        red_payload(b"frame", *[b""] * red.MAX_BLOCKS),
    ],
    ids=[
        "nothing",
        "no frame",
        "one header only",
        "half a header",
        "longer copies than there are",
        "copies alone",
        "nested",
        "nested copy",
        "another codec",
        "ones",
        "too many blocks",
    ],
)
def test_what_is_unsound_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedPacket):
        plain_of(red_packet(payload))


def test_plain_audio_without_room_or_content_is_refused() -> None:
    empty = packet(7, payload_type=OPUS_NUMBER, payload=b"")
    full = packet(7, payload_type=OPUS_NUMBER, payload=b"x" * (rtp.MAX_PACKET_SIZE - 12))
    for plain in (empty, full):
        with pytest.raises(MalformedPacket):
            red.wrapped(plain, rtp.parse(plain), OPUS_NUMBER)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"111/111": ""}, 111),
        ({"": "111/111"}, 111),
        ({"": "111/111/111"}, 111),
        ({"": 111}, 111),
        ({}, None),
        ({"111/112": ""}, None),
        ({"111/": ""}, None),
        ({"/": ""}, None),
        ({"128/128": ""}, None),
        ({"²/²": ""}, None),
        ({"9" * 60: ""}, None),
    ],
)
def test_both_shapes_of_the_format_parameters(parameters: dict[str, str | int], expected: int | None) -> None:
    named = RtpCodecParameters(
        mime_type="audio/RED", payload_type=RED_NUMBER, clock_rate=48_000, channels=2, parameters=parameters
    )
    assert red.carried_payload_type(named) == expected
    other = RtpCodecParameters(
        mime_type="video/red", payload_type=RED_NUMBER, clock_rate=90_000, parameters=parameters
    )
    assert red.carried_payload_type(other) is None
