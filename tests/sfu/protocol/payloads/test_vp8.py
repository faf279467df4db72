"""VP8 descriptors and the numbers that run on over a switch."""

from __future__ import annotations

from contextlib import suppress

import pytest
from aiortc.codecs.vpx import VpxPayloadDescriptor
from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol.errors import MalformedPacket
from sfu.protocol.payloads import vp8


@given(st.integers(0, 0x7FFF), st.integers(0, 255), st.integers(0, 3), st.integers(0, 1))
def test_fields_are_read_as_aiortc_writes_them(picture: int, index: int, layer: int, sync: int) -> None:
    payload = bytes(VpxPayloadDescriptor(1, 0, picture, index, (layer, sync), None)) + b"\x00"
    found = vp8.parse(payload)
    assert (found.picture_id, found.tl0picidx, found.temporal_layer) == (picture, index, layer)
    assert (found.layer_sync, found.size, found.keyframe) == (bool(sync), len(payload) - 1, True)


def test_a_keyframe_is_the_start_of_partition_0_without_the_p_bit() -> None:
    assert vp8.parse(b"\x10\x00").keyframe
    assert not any(vp8.parse(payload).keyframe for payload in (b"\x10\x01", b"\x00\x00", b"\x11\x00"))


def test_numbers_run_on_after_a_switch_and_wrap() -> None:
    rewriter = vp8.Vp8Rewriter()
    _send(rewriter, 0x7FFF, 255)
    switched = vp8.parse(_packet(500, 9))
    rewriter.sync(switched)
    assert _send(rewriter, 500, 9) == (0, 0)
    assert _send(rewriter, 501, 10) == (1, 1)
    assert _send(rewriter, 500, 9) == (0, 0)


def test_short_picture_ids_keep_their_size() -> None:
    rewriter = vp8.Vp8Rewriter()
    payload = bytearray(b"\x90\x80\x7f\x00")
    rewriter.rewrite(payload, vp8.parse(payload))
    rewriter.sync(vp8.parse(b"\x90\x80\x05\x00"))
    payload = bytearray(b"\x90\x80\x05\x00")
    rewriter.rewrite(payload, vp8.parse(payload))
    assert payload == b"\x90\x80\x00\x00"


def test_a_dropped_picture_leaves_no_gap_and_is_not_sent_later() -> None:
    rewriter = vp8.Vp8Rewriter()
    assert _send(rewriter, 9, 0) == (9, 0)
    for _ in range(2):
        rewriter.drop(vp8.parse(_packet(10, 0)))
    assert _send(rewriter, 11, 1) == (10, 1)
    assert _send(rewriter, 11, 1) == (10, 1)
    assert not rewriter.rewrite(_packet(10, 0), vp8.parse(_packet(10, 0)))
    assert _send(rewriter, 13, 2) == (12, 2)


def test_another_size_of_number_starts_anew() -> None:
    rewriter = vp8.Vp8Rewriter()
    assert _send(rewriter, 500, 0) == (500, 0)
    short = bytearray(b"\x90\x80\x05\x00")
    rewriter.drop(vp8.parse(short))
    rewriter.sync(vp8.parse(short))
    assert rewriter.rewrite(short, vp8.parse(short))
    assert vp8.parse(short).picture_id == 5


@pytest.mark.parametrize(
    "payload", [b"", b"\x10", b"\x80", b"\x90\x80", b"\x90\x80\x80", b"\x90\x40", b"\x90\x20"]
)
def test_a_short_descriptor_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedPacket):
        vp8.parse(payload)


@given(st.binary(max_size=12))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    with suppress(MalformedPacket):
        found = vp8.parse(payload)
        vp8.Vp8Rewriter().rewrite(bytearray(payload), found)


def _packet(picture: int, index: int) -> bytearray:
    return bytearray(bytes(VpxPayloadDescriptor(1, 0, picture, index, None, None)) + b"\x01")


def _send(rewriter: vp8.Vp8Rewriter, picture: int, index: int) -> tuple[int, int]:
    payload = _packet(picture, index)
    rewriter.rewrite(payload, vp8.parse(payload))
    found = vp8.parse(payload)
    return found.picture_id, found.tl0picidx
