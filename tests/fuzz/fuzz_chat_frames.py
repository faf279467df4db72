"""Frames of the chat: any bytes are a body of a known type, or raise BadFrame that can be told to the client.

The first byte of an input says whether the rest is JSON or MessagePack.

Run: python tests/fuzz/fuzz_chat_frames.py [libFuzzer options] folder...
"""

import sys

import atheris

with atheris.instrument_imports():
    from chat.protocol.frames import CLIENT_BODIES, BadFrame, Encoding, decode, encode_once, error_body

ENCODINGS = tuple(Encoding)


def test_one_input(data: bytes) -> None:
    if not data:
        return
    encoding = ENCODINGS[data[0] % len(ENCODINGS)]
    try:
        incoming = decode(encoding, data[1:])
    except BadFrame as refusal:
        assert refusal.code in {"bad_frame", "unknown_type"}
        assert encode_once(encoding, "error", error_body(refusal), refusal.id)
        return
    assert type(incoming.body) in CLIENT_BODIES.values()


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
