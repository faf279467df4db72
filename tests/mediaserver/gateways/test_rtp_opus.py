"""Opus frames out of RTP."""

import pytest

from mediaserver.gateways.rtp_frames import RtpPayload
from mediaserver.gateways.rtp_opus import MAX_PACKET, OPUS_HEAD, opus_frame, opus_payloads
from mediaserver.media.codecs.opus import describe
from mediaserver.media.packet import Codec
from tests.mediaserver.transcode.clicks import encode, sound


def test_every_packet_is_a_frame() -> None:
    for packet in encode(sound(0.2, (), 48_000), Codec.OPUS):
        frame = opus_frame(RtpPayload(1, 960, False, packet.payload, 2.5))
        assert frame is not None
        assert (frame.payload, frame.timestamp, frame.is_keyframe) == (packet.payload, 960, True)
        assert (frame.config, frame.received_at) == (OPUS_HEAD, 2.5)


def test_silence_of_one_byte_is_a_frame_too() -> None:
    assert opus_frame(RtpPayload(1, 0, False, b"\xfc", 0.0)) is not None


@pytest.mark.parametrize("payload", [b"", b"\xff\x00", b"\xff\x3f", b"\xfc" * (MAX_PACKET + 1)])
def test_what_is_no_opus_is_no_frame(payload: bytes) -> None:
    assert opus_frame(RtpPayload(1, 0, False, payload, 0.0)) is None


def test_the_head_is_one() -> None:
    assert describe(OPUS_HEAD).channels == 2


def test_a_sample_is_a_payload_if_it_fits() -> None:
    assert opus_payloads(b"\xfc" * 1200) == [b"\xfc" * 1200]
    assert opus_payloads(b"\xfc" * 1201) == []
    assert opus_payloads(b"") == []
