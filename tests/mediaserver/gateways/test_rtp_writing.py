"""RTP packets of ours, and the whole way from samples to frames and back."""

import random

import pytest

from mediaserver.gateways.rtp_frames import CodedFrame, FrameAssembler, ReorderBuffer
from mediaserver.gateways.rtp_h264 import H264Format, H264Packetizer
from mediaserver.gateways.rtp_writing import RtpWriter
from mediaserver.media.codecs.nal_units import split_units
from mediaserver.media.packet import Codec
from sfu.protocol import rtp
from tests.helpers.encoded import encode


def test_headers_say_what_they_should() -> None:
    writer = RtpWriter(96, 0xDEADBEEF, 0x7FFF, 0xFFFF_FFFE)
    packets = writer.write([b"one", b"two"], 0) + writer.write([b"three"], 3)
    headers = [rtp.parse(packet) for packet in packets]
    assert [header.sequence_number for header in headers] == [0x7FFF, 0x8000, 0x8001]
    assert [header.timestamp for header in headers] == [0xFFFF_FFFE, 0xFFFF_FFFE, 1]
    assert [header.marker for header in headers] == [False, True, True]
    assert {(header.ssrc, header.payload_type) for header in headers} == {(0xDEADBEEF, 96)}
    assert [packet[12:] for packet in packets] == [b"one", b"two", b"three"]
    assert (writer.packets, writer.payload_bytes) == (3, 11)


def test_sound_has_no_marker_and_numbers_wrap() -> None:
    writer = RtpWriter(111, 1, 0xFFFF)
    packets = writer.write([b"a"], 0, is_frame=False) + writer.write([b"b"], 960, is_frame=False)
    headers = [rtp.parse(packet) for packet in packets]
    assert [header.sequence_number for header in headers] == [0xFFFF, 0]
    assert not any(header.marker for header in headers)
    assert (headers[1].timestamp - headers[0].timestamp) & 0xFFFF_FFFF == 960


def test_numbers_begin_at_random_but_low() -> None:
    firsts = {rtp.parse(RtpWriter(96, 1).write([b""], 0)[0]).sequence_number for _ in range(50)}
    assert len(firsts) > 1
    assert max(firsts) < 0x8000


@pytest.mark.parametrize("lost_share", [0.0, 0.02])
def test_a_stream_survives_a_bad_network(lost_share: float) -> None:
    """Reordered and lost on the way: what comes out is whole, and begins with a keyframe after a loss."""
    chance = random.Random(3)
    encoded = encode(Codec.H264, None)
    packetizer, writer = H264Packetizer(encoded.tracks[0].config, 300), RtpWriter(96, 5)
    sent = []
    for packet in encoded.packets:
        sent += writer.write(packetizer.packetize(packet.payload), packet.dts)
    order = sorted(range(len(sent)), key=lambda n: n + chance.uniform(0, 6) * (n > 0))
    buffer, assembler = ReorderBuffer(), FrameAssembler(H264Format())
    frames: list[CodedFrame] = []
    for moment, index in enumerate(order):
        if chance.random() < lost_share:
            continue
        header = rtp.parse(sent[index])
        payload = sent[index][header.payload_offset :]
        now = moment / 100
        for ready in buffer.add(header.sequence_number, header.timestamp, header.marker, payload, now):
            frames += assembler.add(ready)
    originals = {tuple(split_units(packet.payload)): packet for packet in encoded.packets}
    assert frames[0].is_keyframe
    assert all(tuple(split_units(frame.payload)) in originals for frame in frames)
    assert (len(frames) == len(encoded.packets)) == (not lost_share)
    assert frames[0].config == encoded.tracks[0].config
