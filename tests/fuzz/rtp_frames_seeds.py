"""Writes the committed corpus of ``fuzz_rtp_frames``.

Run: python -m tests.fuzz.rtp_frames_seeds
"""

from collections.abc import Iterable, Sequence

from mediaserver.gateways.rtp_h264 import H264Packetizer
from mediaserver.media.codecs.av1 import split_obus
from mediaserver.media.packet import Codec
from tests.fuzz.seeds import write
from tests.helpers.encoded import encode

PACKET_SIZE = 250
FRAMES = 3
NEXT = 2 << 2
"""The flags' part for a sequence number that follows."""


def _packets(frames: Iterable[Sequence[bytes]]) -> bytes:
    data = b""
    for payloads in frames:
        for index, payload in enumerate(payloads):
            flags = NEXT | (index == 0) << 1 | (index == len(payloads) - 1)
            data += bytes((flags, len(payload))) + payload
    return data


def _h264() -> bytes:
    encoded = encode(Codec.H264, None)
    packetizer = H264Packetizer(encoded.tracks[0].config, PACKET_SIZE)
    return b"\x00" + _packets(packetizer.packetize(packet.payload) for packet in encoded.packets[:FRAMES])


def _vp9() -> bytes:
    frames = []
    for packet in encode(Codec.VP9, None).packets[:FRAMES]:
        sample, kind = packet.payload, 0 if packet.is_keyframe else 0x40
        parts = [sample[start : start + PACKET_SIZE] for start in range(0, len(sample), PACKET_SIZE)]
        edges = [8 * (index == 0) | 4 * (index == len(parts) - 1) for index in range(len(parts))]
        frames.append([bytes((kind | edge,)) + part for edge, part in zip(edges, parts, strict=True)])
    return b"\x02" + _packets(frames)


def _av1() -> bytes:
    """OBUs with their size fields, which receivers accept, cut at will."""
    frames = []
    for packet in encode(Codec.AV1, None).packets[:FRAMES]:
        payloads = []
        for _, obu in split_obus(packet.payload):
            for start in range(0, len(obu), PACKET_SIZE):
                is_cut = start + PACKET_SIZE < len(obu)
                header = 0x10 | bool(start) << 7 | is_cut << 6
                payloads.append(bytes((header,)) + obu[start : start + PACKET_SIZE])
        frames.append(payloads)
    return b"\x03" + _packets(frames)


def rtp_frames_seeds() -> Iterable[bytes]:
    yield _h264()
    yield b"\x01" + _packets([[b"\x10\x10\x00\x00\x9d\x01\x2a" + bytes(20)], [b"\x10\x11", b"\x00\x22"]])
    yield _vp9()
    yield _av1()
    yield b"\x00" + bytes((NEXT | 3, 3)) + b"\xfc\x01\x02" + bytes((5 << 2, 0)) + bytes((0, 0))


if __name__ == "__main__":
    write("rtp_frames", rtp_frames_seeds())
