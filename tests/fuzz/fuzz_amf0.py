"""AMF0: any bytes decode to values that survive a round trip, or raise AmfError.

Run: python tests/fuzz/fuzz_amf0.py [libFuzzer options] folder...
"""

import sys

import atheris

with atheris.instrument_imports():
    from rtmp.protocol import amf0
    from rtmp.protocol.errors import AmfError


def test_one_input(data: bytes) -> None:
    try:
        values = amf0.decode(data)
    except AmfError:
        return
    again = amf0.decode(amf0.encode(*values))
    assert repr(again) == repr(values)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
