"""The media that only looks like media: it must pass for it wherever it is looked at."""

from __future__ import annotations

import time

import pytest

from bench.webrtc_load.packets import (
    PARAMETER_SETS,
    STAMP,
    RtpStream,
    audio_payload,
    read_stamp,
    stamp_now,
    video_payloads,
)
from sfu.protocol import rtp
from sfu.protocol.payloads import h264


def test_packets_have_the_length_and_the_extensions_they_should() -> None:
    stream = RtpStream(ssrc=7, payload_type=96, mid="1", mid_id=4, transport_id=3)
    size = 1200 - stream.overhead
    [payload] = video_payloads(1, size, is_keyframe=False)
    packet = stream.packet(payload + stamp_now(), 65_537, is_last=True)
    header = rtp.parse(packet)
    places = rtp.extensions(packet, header)
    assert len(packet) == 1200
    assert (header.ssrc, header.payload_type, header.marker, header.sequence_number) == (7, 96, True, 1)
    assert packet[places[4][0] :][:1] == b"1"
    assert rtp.read_transport_sequence(packet, *places[3]) == 1
    assert header.payload_offset == stream.overhead


@pytest.mark.parametrize("count", [1, 2, 5])
def test_only_the_beginning_of_a_keyframe_is_one(count: int) -> None:
    payloads = video_payloads(count, 500, is_keyframe=True)
    assert [h264.is_keyframe(payload) for payload in payloads] == [True] + [False] * (count - 1)
    assert not any(map(h264.is_keyframe, video_payloads(count, 500, is_keyframe=False)))
    assert {len(payload) for payload in payloads} == {500 - STAMP.size}
    assert h264.is_keyframe(PARAMETER_SETS)


def test_a_stamp_says_when_a_packet_was_sent() -> None:
    before = time.time_ns()
    sent_at = read_stamp(b"payload" + stamp_now())
    assert sent_at is not None
    assert before <= sent_at <= time.time_ns()


@pytest.mark.parametrize("packet", [b"", b"short", bytes(100)])
def test_a_packet_without_a_stamp_has_no_time(packet: bytes) -> None:
    assert read_stamp(packet) is None


def test_audio_is_one_padded_frame_of_opus() -> None:
    packet = audio_payload(80) + stamp_now()
    padding = packet[2]
    assert len(packet) == 80
    assert packet[0] & 3 == 3, "code 3: an arbitrary number of frames"
    assert packet[1] == 0x41, "one frame, with padding"
    assert packet[3 : len(packet) - padding] == b"\xff\xfe"
    for size in (10, 300):
        with pytest.raises(ValueError, match="audio packet"):
            audio_payload(size)
