"""Opus over RTP (RFC 7587): a packet is a frame, there and back."""

from typing import Final

from mediaserver.gateways.rtp_frames import CodedFrame, RtpPayload
from mediaserver.gateways.rtp_h264 import MAX_PAYLOAD
from mediaserver.media.codecs.opus import packet_samples

MAX_PACKET: Final = 1500
"""Bytes; 120 ms at the highest bitrate are more, but no datagram is."""
OPUS_HEAD: Final = b"OpusHead" + bytes((1, 2)) + bytes(2) + (48_000).to_bytes(4, "little") + bytes(3)
"""Stereo, and nothing to skip: RTP has no word for the encoder's delay, and it is 6.5 ms."""


def opus_payloads(sample: bytes) -> list[bytes]:
    """``sample`` as payloads: itself, or none if no datagram holds it, which only very long packets are."""
    return [sample] if 0 < len(sample) <= MAX_PAYLOAD else []


def opus_frame(packet: RtpPayload) -> CodedFrame | None:
    """The frame in ``packet``, or None if it holds no Opus. Lost packets need no care: time goes on."""
    payload = packet.payload
    if len(payload) > MAX_PACKET or not packet_samples(payload):
        return None
    return CodedFrame(packet.timestamp, True, payload, OPUS_HEAD, packet.received_at)
