"""Which packets start a keyframe, by codec."""

from __future__ import annotations

from collections.abc import Callable

from sfu.protocol.payloads import av1, h264, vp8, vp9

KeyframeTest = Callable[[bytes | bytearray | memoryview], bool]

_TESTS: dict[str, KeyframeTest] = {
    "video/vp8": vp8.is_keyframe,
    "video/vp9": vp9.is_keyframe,
    "video/h264": h264.is_keyframe,
    "video/av1": av1.is_keyframe,
}


def keyframe_test(mime_type: str) -> KeyframeTest | None:
    """Return what tells keyframes by their payload; None for audio and for codecs unknown here.

    With end-to-end encryption the payload descriptors of VP8 and VP9 stay readable, the units of H.264 and
    AV1 need not: there the dependency descriptor tells.
    """
    return _TESTS.get(mime_type.lower())
