"""VP9 descriptors: layers, structures, keyframes, and payloads that lie."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol.errors import MalformedPacket
from sfu.protocol.payloads import vp9

KEYFRAME = b"\xaa\x81\x23\x00\x07" + b"\x38\x02\x80\x01\x68\x05\x00\x02\xd0\x01\x00" + b"frame"
"""I, L, B, V: picture 0x123, base layers, TL0PICIDX 7, two layers of 640x360 and 1280x720, a group of one."""


def test_a_keyframe_tells_the_layers() -> None:
    found = vp9.parse(KEYFRAME)
    assert (found.picture_id, found.picture_id_size, found.tl0picidx) == (0x123, 2, 7)
    assert (found.spatial_layers, found.resolutions) == (2, ((640, 360), (1280, 720)))
    assert (found.keyframe, found.size) == (True, len(KEYFRAME) - len(b"frame"))
    assert vp9.is_keyframe(KEYFRAME)


@given(st.integers(0, 7), st.integers(0, 7), st.booleans(), st.booleans(), st.integers(0, 127))
def test_layers_are_read(spatial: int, temporal: int, up: bool, inter: bool, picture: int) -> None:
    octet = temporal << 5 | up << 4 | spatial << 1 | inter
    found = vp9.parse(bytes((0xE5, picture, octet, 9, 0)))
    assert (found.spatial_layer, found.temporal_layer, found.tl0picidx) == (spatial, temporal, 9)
    assert (found.switching_point, found.inter_layer, found.inter_picture) == (up, inter, True)
    assert (found.picture_id, found.picture_id_size) == (picture, 1)
    assert (found.start_of_frame, found.end_of_frame, found.unused_above) == (False, True, True)
    assert not found.keyframe


def test_flexible_mode_has_references_instead_of_tl0picidx() -> None:
    found = vp9.parse(b"\xf8\x05\x22\x03\x05\x06frame")
    assert (found.tl0picidx_offset, found.spatial_layer, found.temporal_layer) == (-1, 1, 1)
    assert found.size == 6


@pytest.mark.parametrize(
    "payload",
    [
        b"\x00\x00",
        b"\x48\x00",
        b"\x28\x02\x00\x00",
        b"\x28\x01\x00\x00",
        b"\x08",
        b"",
        b"\xf8\x05\x22\x03\x05\x07\x00",
    ],
)
def test_no_keyframes(payload: bytes) -> None:
    assert not vp9.is_keyframe(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x80",
        b"\x80\x80",
        b"\x20",
        b"\x20\x00",
        b"\x50",
        b"\x50\x03\x03\x03\x00",
        b"\x02",
        b"\x02\x10\x00",
        b"\x02\x08",
        b"\x02\x08\x02\x00",
        b"\x02\x08\x01\x0c",
    ],
)
def test_a_short_descriptor_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedPacket):
        vp9.parse(payload)


def test_numbers_run_on_after_a_switch() -> None:
    rewriter = vp9.Vp9Rewriter()
    first = bytearray(b"\xa8\x80\x05\x00\x08\x00")
    assert rewriter.rewrite(first, vp9.parse(first))
    other = bytearray(b"\xa8\xff\x05\x00\xf0\x00")
    rewriter.sync(vp9.parse(other))
    assert rewriter.rewrite(other, vp9.parse(other))
    assert other == b"\xa8\x80\x06\x00\x09\x00"


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    with suppress(MalformedPacket):
        found = vp9.parse(payload)
        assert found.size <= len(payload)
        vp9.Vp9Rewriter().rewrite(bytearray(payload), found)
    assert vp9.is_keyframe(payload) in (True, False)
