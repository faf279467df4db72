"""A consumer's picture numbers, and the same numbers again in a retransmission."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol.payloads import vp8, vp9
from sfu.protocol.payloads.consumer_pictures import ConsumerPictures, consumer_pictures


def _vp8(picture: int, index: int) -> bytes:
    return bytes((0x90, 0xC0, 0x80 | picture >> 8, picture & 0xFF, index, 1))


def _send(pictures: ConsumerPictures, payload: bytes) -> tuple[bytes, int]:
    buffer = bytearray(b"header") + payload + b"behind"
    written = pictures.rewrite(buffer, 6, 6 + len(payload))
    assert (bytes(buffer[:6]), bytes(buffer[-6:])) == (b"header", b"behind")
    again = bytearray(b"header") + payload + b"behind"
    pictures.restore(again, 6, 6 + len(payload), written)
    assert again == buffer
    return bytes(buffer[6:-6]), written


def _pictures(mime_type: str) -> ConsumerPictures:
    pictures = consumer_pictures(mime_type)
    assert pictures is not None
    return pictures


def test_numbers_run_on_over_drops_and_switches() -> None:
    pictures = _pictures("video/VP8")
    assert _send(pictures, _vp8(0x7FFE, 254))[0] == _vp8(0x7FFE, 254)
    pictures.drop(_vp8(0x7FFF, 254))
    assert _send(pictures, _vp8(0, 255))[0] == _vp8(0x7FFF, 255)
    pictures.sync(_vp8(77, 3))
    assert _send(pictures, _vp8(77, 3))[0] == _vp8(0, 0)


def test_every_packet_of_a_picture_gets_its_number() -> None:
    pictures = _pictures("video/VP8")
    _send(pictures, _vp8(9, 1))
    pictures.drop(_vp8(10, 1))
    expected = _vp8(10, 2)
    for first in (0x90, 0x80, 0x80, 0x80):
        sent, _ = _send(pictures, bytes((first,)) + _vp8(11, 2)[1:])
        assert sent == bytes((first,)) + expected[1:]
    pictures.sync(_vp8(11, 2))
    assert _send(pictures, b"\x80" + _vp8(11, 2)[1:])[0] == b"\x80" + _vp8(11, 3)[1:]


def test_vp9_in_flexible_mode_has_short_numbers_and_no_index() -> None:
    pictures = _pictures("video/vp9")
    assert _send(pictures, b"\xb8\x05\x00\x00")[0] == b"\xb8\x05\x00\x00"
    pictures.sync(b"\xb8\x7f\x00\x00")
    assert _send(pictures, b"\xb8\x7f\x00\x00")[0] == b"\xb8\x06\x00\x00"


def test_vp9_in_flexible_mode_keeps_the_differences_of_its_numbers() -> None:
    """The picture after the dropped one refers two numbers back, to the one before it."""
    pictures = _pictures("video/vp9")
    assert _send(pictures, b"\xbc\x05\x00\x00")[0] == b"\xbc\x05\x00\x00"
    pictures.drop(b"\xfc\x06\x40\x02\x00")
    assert _send(pictures, b"\xfc\x07\x20\x04\x00")[0] == b"\xfc\x07\x20\x04\x00"


@pytest.mark.parametrize("payload", [b"", b"\x90\x80"])
def test_a_malformed_payload_stays_as_it_is(payload: bytes) -> None:
    pictures = _pictures("video/VP8")
    pictures.sync(payload)
    pictures.drop(payload)
    assert _send(pictures, payload) == (payload, 0)


def test_other_codecs_number_nothing() -> None:
    assert consumer_pictures("video/H264") is None


@given(st.sampled_from((vp8.parse, vp9.parse)), st.lists(st.binary(max_size=20), max_size=8))
def test_any_bytes_are_restored_as_they_were_sent(parse: object, payloads: list[bytes]) -> None:
    assert callable(parse)
    pictures = ConsumerPictures(parse)
    for payload in payloads:
        sent, written = _send(pictures, payload)
        assert len(sent) == len(payload)
        assert 0 <= written < 1 << 32
