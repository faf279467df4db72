"""RTX: any bytes decode to a packet that survives a round trip, or raise MalformedPacket.

Run: python tests/fuzz/fuzz_rtx.py [libFuzzer options] folder...
"""

import sys

import atheris

with atheris.instrument_imports():
    from sfu.protocol import retransmission, rtp
    from sfu.protocol.errors import MalformedPacket

REPAIR, REPAIR_SSRC = 97, 43


def test_one_input(data: bytes) -> None:
    try:
        header = rtp.parse(data)
        original = retransmission.decode(data, header, 96, 42)
    except MalformedPacket:
        return
    if original is None:
        return
    again = rtp.parse(original)
    assert (again.ssrc, again.payload_type, again.padding) == (42, 96, 0)
    written = retransmission.RtxEncoder(REPAIR, REPAIR_SSRC, 0).encode(original, again)
    assert len(written) == len(data) - header.padding
    assert retransmission.decode(written, rtp.parse(written), 96, 42) == original


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
