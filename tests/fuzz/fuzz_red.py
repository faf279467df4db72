"""RED: any bytes are taken apart into a frame that survives a round trip, or raise MalformedPacket.

Run: python tests/fuzz/fuzz_red.py [libFuzzer options] folder...
"""

import sys

import atheris

with atheris.instrument_imports():
    from sfu.protocol import red, rtp
    from sfu.protocol.errors import MalformedPacket

OPUS, OTHER = 111, 100


def test_one_input(data: bytes) -> None:
    try:
        header = rtp.parse(data)
    except MalformedPacket:
        return
    for change in (unwrap, wrap):
        try:
            change(data, header)
        except MalformedPacket:
            continue


def unwrap(data: bytes, header: rtp.RtpHeader) -> None:
    plain = red.unwrapped(data, header, OPUS)
    again = rtp.parse(plain)
    assert (again.payload_type, again.padding, again.payload_offset) == (OPUS, 0, header.payload_offset)
    assert (again.sequence_number, again.timestamp) == (header.sequence_number, header.timestamp)
    assert len(plain) > again.payload_offset
    assert data[: len(data) - header.padding].endswith(plain[again.payload_offset :])
    other = red.renumbered(data, header, OTHER)
    assert len(other) == len(data)
    assert red.unwrapped(other, header, OTHER)[2:] == plain[2:]
    assert red.renumbered(other, header, OPUS) == data


def wrap(data: bytes, header: rtp.RtpHeader) -> None:
    wrapped = red.wrapped(data, header, OPUS)
    again = rtp.parse(wrapped)
    assert (again.payload_offset, again.padding) == (header.payload_offset, header.padding)
    plain = red.unwrapped(wrapped, again, OPUS)
    assert plain[header.payload_offset :] == data[header.payload_offset : len(data) - header.padding]


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
