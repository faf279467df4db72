"""RTP packets: any bytes are a header whose parts lie within the packet, or raise MalformedPacket.

What was read survives being written again; rewriting never changes a packet's size.

Run: python tests/fuzz/fuzz_rtp.py [libFuzzer options] folder...
"""

import sys

import atheris

with atheris.instrument_imports():
    from sfu.protocol import rtp
    from sfu.protocol.errors import MalformedPacket


def _check_extensions(data: bytes, header: rtp.RtpHeader) -> None:
    found = rtp.extensions(data, header)
    assert all(offset + length <= header.payload_offset for offset, length in found.values())
    values = [(key, bytes(data[offset : offset + length])) for key, (offset, length) in found.items()]
    # Written with its extensions in the longer form, a packet may exceed what may be parsed.
    if header.extension_size <= rtp.MAX_EXTENSION_SIZE // 2 and len(data) <= rtp.MAX_PACKET_SIZE // 2:
        written = rtp.replace_extensions(data, header, values)
        again = rtp.parse(written)
        places = rtp.extensions(written, again).items()
        assert {key: bytes(written[at : at + length]) for key, (at, length) in places} == dict(values)
        assert written[again.payload_offset :] == data[header.payload_offset :]


def _check_rewriting(data: bytes, header: rtp.RtpHeader) -> None:
    buffer = bytearray(b"ahead") + data
    rtp.rewrite_header(memoryview(buffer)[5:], 96, 1, 2, 3)
    rewritten = rtp.parse(buffer[5:])
    assert (rewritten.payload_type, rewritten.marker, rewritten.ssrc) == (96, header.marker, 3)
    assert buffer[5 + header.payload_offset :] == data[header.payload_offset :]


def test_one_input(data: bytes) -> None:
    try:
        header = rtp.parse(data)
        assert header.payload_offset + header.padding <= len(data)
        rtp.extensions(data, header)
    except MalformedPacket:
        return
    _check_extensions(data, header)
    _check_rewriting(data, header)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
