"""Two ends that share SRTP keys, and plain packets for them."""

import os
import struct

from sfu.srtp import AEAD_AES_128_GCM, SrtpProfile, SrtpSession


def srtp_pair(profile: SrtpProfile = AEAD_AES_128_GCM) -> tuple[SrtpSession, SrtpSession]:
    """Return two sessions; what one protects the other unprotects."""
    size = profile.key_size + profile.salt_size
    one, other = os.urandom(size), os.urandom(size)
    return SrtpSession(profile, one, other), SrtpSession(profile, other, one)


def rtp(sequence_number: int, ssrc: int = 7, size: int = 100, payload_type: int = 96) -> bytes:
    """Return a packet without extensions whose payload counts up."""
    header = struct.pack("!BBHLL", 0x80, payload_type, sequence_number, 3000 * sequence_number, ssrc)
    return header + bytes(index & 0xFF for index in range(size))
