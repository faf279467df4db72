"""Keyframes are told by the codec's own rule."""

from __future__ import annotations

import pytest

from sfu.protocol.payloads.keyframes import keyframe_test


@pytest.mark.parametrize(
    ("mime_type", "keyframe", "other"),
    [
        ("video/VP8", b"\x10\x00", b"\x10\x01"),
        ("video/VP9", b"\x08\x00", b"\x48\x00"),
        ("video/H264", b"\x65\x88", b"\x41\x9a"),
        ("video/AV1", b"\x18\x30", b"\x10\x30"),
    ],
)
def test_each_codec_has_its_rule(mime_type: str, keyframe: bytes, other: bytes) -> None:
    test = keyframe_test(mime_type)
    assert test is not None
    assert (test(keyframe), test(other), test(b"")) == (True, False, False)


def test_audio_has_no_keyframes() -> None:
    assert keyframe_test("audio/opus") is None
