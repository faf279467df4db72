"""RTP payloads of every codec: what comes out of them is whole, in order, and readable as a sample.

An input is a codec (one byte), then packets: flags (bit 0 marker, bit 1 another timestamp, bits 2 to 7 how
far the sequence number steps, less one), a length (one byte) and that many bytes. All that may be raised is
MalformedPacket, and only inside: the assembler drops such frames.

Run: python tests/fuzz/fuzz_rtp_frames.py [libFuzzer options] folder...
"""

import sys

import atheris

with atheris.instrument_imports():
    from mediaserver.gateways.rtp_av1 import Av1Format
    from mediaserver.gateways.rtp_frames import CodedFrame, FrameAssembler, ReorderBuffer, RtpPayload
    from mediaserver.gateways.rtp_h264 import H264Format, H264Packetizer
    from mediaserver.gateways.rtp_opus import opus_frame
    from mediaserver.gateways.rtp_vpx import Vp8Format, Vp9Format
    from mediaserver.media.codecs import describe_config
    from mediaserver.media.codecs.av1 import split_obus
    from mediaserver.media.codecs.h264 import BFrameDetector
    from mediaserver.media.packet import Codec

FORMATS = (H264Format, Vp8Format, Vp9Format, Av1Format)


def _check(codec: int, frame: CodedFrame) -> None:
    if FORMATS[codec] is H264Format and frame.config is not None:
        describe_config(Codec.H264, frame.config)
        H264Packetizer(frame.config).packetize(frame.payload)
        BFrameDetector(frame.config).add(frame.payload)
    elif FORMATS[codec] is Vp9Format and frame.config is not None:
        describe_config(Codec.VP9, frame.config)
    elif FORMATS[codec] is Av1Format:
        split_obus(frame.payload)
        if frame.config is not None:
            describe_config(Codec.AV1, frame.config)


def test_one_input(data: bytes) -> None:
    if not data:
        return
    codec = data[0] % len(FORMATS)
    buffer, assembler = ReorderBuffer(), FrameAssembler(FORMATS[codec]())
    position, sequence, timestamp, last = 1, 0, 0, -1
    while position + 2 <= len(data):
        flags, end = data[position], position + 2 + data[position + 1]
        payload = data[position + 2 : end]
        position = end
        sequence = (sequence + (flags >> 2) - 1) & 0xFFFF
        timestamp += 3000 * (flags >> 1 & 1)
        opus_frame(RtpPayload(sequence, timestamp, False, payload, 0.0))
        for packet in buffer.add(sequence, timestamp, bool(flags & 1), payload, position / 1000):
            assert packet.sequence > last
            last = packet.sequence
            for frame in assembler.add(packet):
                assert frame.payload
                _check(codec, frame)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
