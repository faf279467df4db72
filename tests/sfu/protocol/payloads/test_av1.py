"""AV1 packets that start a keyframe, and those that do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol.payloads.av1 import is_keyframe

SEQUENCE_HEADER = b"\x08\x00\x00"
DELIMITER = b"\x10"
FRAME = b"\x30\x10"


@pytest.mark.parametrize(
    "payload",
    [
        b"\x18" + FRAME,
        b"\x10" + SEQUENCE_HEADER,
        b"\x20\x03" + SEQUENCE_HEADER + FRAME,
        b"\x00\x03" + SEQUENCE_HEADER + b"\x02" + FRAME,
        b"\x00\x01" + DELIMITER + b"\x03" + SEQUENCE_HEADER,
        b"\x20\x01" + DELIMITER + SEQUENCE_HEADER,
        b"\x00\x83\x00" + SEQUENCE_HEADER,
    ],
)
def test_keyframes(payload: bytes) -> None:
    assert is_keyframe(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x08",
        b"\x10" + FRAME,
        b"\x88" + FRAME,
        b"\x90" + SEQUENCE_HEADER,
        b"\x00\x09" + SEQUENCE_HEADER,
        b"\x00\x00" + SEQUENCE_HEADER,
        b"\x00\x80\x80\x80\x80\x01" + SEQUENCE_HEADER,
        b"\x00" + b"\x01\x10" * 100 + b"\x03" + SEQUENCE_HEADER,
        b"\x00\x01" + DELIMITER,
        b"\x00\x80",
    ],
)
def test_no_keyframes(payload: bytes) -> None:
    assert not is_keyframe(payload)


@given(st.binary(max_size=60))
def test_any_bytes_get_an_answer(payload: bytes) -> None:
    assert is_keyframe(payload) in (True, False)
    assert is_keyframe(b"\x00" + payload) in (True, False)
