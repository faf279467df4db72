"""H.264 packets that start a keyframe, and those that do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol.payloads.h264 import is_keyframe


@pytest.mark.parametrize(
    "payload",
    [
        b"\x65\x88",
        b"\x67\x42",
        b"\x78\x00\x02\x67\x42\x00\x02\x68\xce",
        b"\x78\x00\x01\x09\x00\x01\x65",
        b"\x7c\x85",
    ],
)
def test_keyframes(payload: bytes) -> None:
    assert is_keyframe(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x41\x9a",
        b"\x68\xce",
        b"\x7c",
        b"\x7c\x05",
        b"\x7c\x81",
        b"\x78",
        b"\x78\x00\x00\x65",
        b"\x78\x00\x09\x65",
        b"\x78" + b"\x00\x01\x09" * 100,
    ],
)
def test_no_keyframes(payload: bytes) -> None:
    assert not is_keyframe(payload)


@given(st.binary(max_size=60))
def test_any_bytes_get_an_answer(payload: bytes) -> None:
    assert is_keyframe(payload) in (True, False)
    assert is_keyframe(b"\x78" + payload) in (True, False)
