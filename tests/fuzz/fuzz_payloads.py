"""Payloads of VP8, VP9, H.264 and AV1, and dependency descriptors: read, or MalformedPacket and nothing else.

The first byte of an input says what the rest is (see ``_TARGETS``). A descriptor lies within its payload, a
consumer's rewriting keeps the size and can be repeated.

Run: python tests/fuzz/fuzz_payloads.py [libFuzzer options] folder...
"""

import sys
from collections.abc import Callable
from contextlib import suppress

import atheris

with atheris.instrument_imports():
    from sfu.protocol.errors import MalformedPacket
    from sfu.protocol.payloads import vp8, vp9
    from sfu.protocol.payloads.consumer_pictures import consumer_pictures
    from sfu.protocol.payloads.dependency_descriptor import DependencyState
    from sfu.protocol.payloads.keyframes import keyframe_test

MAX_DESCRIPTORS = 32


def _check_keyframe(mime_type: str, data: bytes) -> None:
    test = keyframe_test(mime_type)
    assert test is not None
    assert test(data) in (True, False)


def _check_pictures(mime_type: str, data: bytes) -> None:
    _check_keyframe(mime_type, data)
    with suppress(MalformedPacket):
        size = (vp8.parse if mime_type == "video/VP8" else vp9.parse)(data).size
        assert size <= len(data)
    pictures = consumer_pictures(mime_type)
    assert pictures is not None
    # Two streams that are switched between: the first half continues with the second.
    for part in (data[: len(data) // 2], data[len(data) // 2 :], data):
        pictures.sync(part)
        buffer = bytearray(part)
        written = pictures.rewrite(buffer, 0, len(part))
        again = bytearray(part)
        pictures.restore(again, 0, len(part), written)
        assert again == buffer and len(buffer) == len(part)


def _check_descriptors(data: bytes) -> None:
    """Each descriptor follows its length."""
    state = DependencyState()
    for _ in range(MAX_DESCRIPTORS):
        if not data:
            return
        size, data = data[0], data[1:]
        with suppress(MalformedPacket):
            found = state.read(data[:size])
            if found is not None:
                assert found.spatial_layer <= 3 and found.temporal_layer <= 7
                assert len(found.indications) == found.structure.target_count
                for target in range(found.structure.target_count):
                    found.structure.target_layers(target)
        data = data[size:]


_TARGETS: tuple[Callable[[bytes], None], ...] = (
    lambda data: _check_pictures("video/VP8", data),
    lambda data: _check_pictures("video/VP9", data),
    lambda data: _check_keyframe("video/H264", data),
    lambda data: _check_keyframe("video/AV1", data),
    _check_descriptors,
)


def test_one_input(data: bytes) -> None:
    if data:
        _TARGETS[data[0] % len(_TARGETS)](data[1:])


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
