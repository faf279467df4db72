"""FLV tag bodies: any bytes are tags that survive a round trip, or raise FlvTagError.

The first byte of an input says whether the rest is the body of a video or an audio tag.

Run: python tests/fuzz/fuzz_flv_tags.py [libFuzzer options] folder...
"""

import sys

import atheris

with atheris.instrument_imports():
    from rtmp.protocol import flv_tags
    from rtmp.protocol.errors import FlvTagError


def _check_video(body: bytes) -> None:
    for tag in flv_tags.parse_video(body):
        assert flv_tags.parse_video(flv_tags.serialize_video(tag)) == [tag]


def _check_audio(body: bytes) -> None:
    for tag in flv_tags.parse_audio(body):
        assert flv_tags.parse_audio(flv_tags.serialize_audio(tag)) == [tag]


def test_one_input(data: bytes) -> None:
    check = _check_audio if data[:1] == b"\x01" else _check_video
    try:
        check(data[1:])
    except FlvTagError:
        return


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
