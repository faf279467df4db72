"""SRTP and SRTCP of one peer (RFC 3711, AES-GCM after RFC 7714), by libsrtp through pylibsrtp's binding.

pylibsrtp's own Session allocates for every packet and refuses packets over 1,500 bytes; the loops that send
media want to protect in place.  So the binding is called directly, and only here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

from pylibsrtp import Error as LibsrtpError
from pylibsrtp import Policy, Session
from pylibsrtp._binding import ffi, lib  # type: ignore[import-not-found]

from sfu.protocol.errors import ProtocolError

MAX_PACKET_SIZE: Final = 2048
"""Plain or protected, a packet is at most so long; the buffers are a trailer longer."""
MAX_TRAILER_SIZE: Final = 4 + 16 + 128
"""What libsrtp may write behind a packet: SRTCP index, tag, master key identifier."""
MAX_INBOUND_STREAMS: Final = 512
"""libsrtp keeps a context for every SSRC a peer sends; a peer that invents more is ignored."""
REPLAY_WINDOW: Final = 1024

_SMALLEST_RTP: Final = 12
_SMALLEST_RTCP: Final = 8
_SSRC = struct.Struct("!L")
_STATUS_REPLAYED: Final = 9
_STATUS_REPLAYED_OLD: Final = 10
_REPLAY_STATUSES: Final = frozenset((_STATUS_REPLAYED, _STATUS_REPLAYED_OLD))

srtp_protect = lib.srtp_protect
"""``srtp_protect(context, pointer, length_pointer) -> status``, 0 for success: for loops that send media."""


class SrtpError(ProtocolError):
    """A packet that libsrtp refuses, or would: too short or long, forged, replayed, of one SSRC too many."""


@dataclass(frozen=True, slots=True)
class SrtpProfile:
    """One protection profile by its names in OpenSSL and libsrtp, and the sizes it implies."""

    name: bytes
    policy: int
    key_size: int
    salt_size: int
    tag_size: int


AEAD_AES_128_GCM: Final = SrtpProfile(
    b"SRTP_AEAD_AES_128_GCM", Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12, 16
)
AEAD_AES_256_GCM: Final = SrtpProfile(
    b"SRTP_AEAD_AES_256_GCM", Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32, 12, 16
)
AES128_CM_SHA1_80: Final = SrtpProfile(
    b"SRTP_AES128_CM_SHA1_80", Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14, 10
)


def _available(profiles: tuple[SrtpProfile, ...]) -> tuple[SrtpProfile, ...]:
    """Return the profiles this build of libsrtp has: AES-GCM needs one with OpenSSL or the like."""
    found = []
    for profile in profiles:
        try:
            Policy(srtp_profile=profile.policy)
        except LibsrtpError:
            continue
        found.append(profile)
    return tuple(found)


PROFILES: Final = _available((AEAD_AES_128_GCM, AEAD_AES_256_GCM, AES128_CM_SHA1_80))
"""In order of preference: GCM is one pass over the packet, CM with SHA-1 two."""


def is_rtcp(packet: bytes) -> bool:
    """Tell RTCP from RTP on one port (RFC 5761 4); `packet` is two bytes or longer."""
    return 192 <= packet[1] <= 223


class SrtpSession:
    """Both directions of one peer; its counters tell what was refused, and how much of it was replayed."""

    __slots__ = (
        "_buffer",
        "_inbound",
        "_inbound_context",
        "_inbound_streams",
        "_length",
        "_outbound",
        "_pointer",
        "context",
        "profile",
        "rejected",
        "replayed",
    )

    def __init__(self, profile: SrtpProfile, sending_key: bytes, receiving_key: bytes) -> None:
        """Keys are master key and master salt, one behind the other."""
        self.profile = profile
        self._outbound = _session(profile, sending_key, Policy.SSRC_ANY_OUTBOUND)
        self._inbound = _session(profile, receiving_key, Policy.SSRC_ANY_INBOUND)
        self.context: Any = self._outbound._srtp[0]
        """What `srtp_protect` takes; valid as long as this object lives."""
        self._inbound_context: Any = self._inbound._srtp[0]
        self._inbound_streams: set[int] = set()
        self._buffer = bytearray(MAX_PACKET_SIZE + MAX_TRAILER_SIZE)
        self._pointer: Any = ffi.from_buffer("char[]", self._buffer)
        self._length: Any = ffi.new("int *")
        self.rejected = 0
        self.replayed = 0

    def unprotect(self, packet: bytes) -> bytes:
        """Return the RTP packet inside `packet`; raises SrtpError."""
        return self._unprotect(packet, lib.srtp_unprotect, _SMALLEST_RTP, 8)

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """Return the compound RTCP packet inside `packet`; raises SrtpError."""
        return self._unprotect(packet, lib.srtp_unprotect_rtcp, _SMALLEST_RTCP, 4)

    def protect(self, packet: bytes) -> bytes:
        """Return `packet` as SRTP; raises SrtpError, also for a sequence number that was sent before."""
        return self._protect(packet, lib.srtp_protect, _SMALLEST_RTP)

    def protect_rtcp(self, packet: bytes) -> bytes:
        """Return `packet` as SRTCP; raises SrtpError."""
        return self._protect(packet, lib.srtp_protect_rtcp, _SMALLEST_RTCP)

    def forget(self, ssrc: int) -> None:
        """Free what libsrtp keeps for an outgoing SSRC, which must never be used with these keys again."""
        # what it was never told of, it need not forget
        lib.srtp_remove_stream(self.context, int.from_bytes(_SSRC.pack(ssrc), "little"))

    def _unprotect(self, packet: bytes, function: Any, smallest: int, ssrc_offset: int) -> bytes:
        size = len(packet)
        if not smallest <= size <= MAX_PACKET_SIZE:
            self.rejected += 1
            raise SrtpError(f"SRTP of {size} bytes")
        ssrc: int = _SSRC.unpack_from(packet, ssrc_offset)[0]
        streams = self._inbound_streams
        if ssrc not in streams and len(streams) >= MAX_INBOUND_STREAMS:
            self.rejected += 1
            raise SrtpError("SRTP of too many SSRCs")
        self._buffer[:size] = packet
        self._length[0] = size
        status = function(self._inbound_context, self._pointer, self._length)
        if status:
            raise self._refusal(status)
        streams.add(ssrc)
        return bytes(memoryview(self._buffer)[: self._length[0]])

    def _refusal(self, status: int) -> SrtpError:
        self.rejected += 1
        if status in _REPLAY_STATUSES:
            self.replayed += 1
            return SrtpError("SRTP replayed")
        return SrtpError(f"SRTP refused: libsrtp's status {status}")

    def _protect(self, packet: bytes, function: Any, smallest: int) -> bytes:
        size = len(packet)
        if not smallest <= size <= MAX_PACKET_SIZE:
            raise SrtpError(f"a packet of {size} bytes to protect")
        self._buffer[:size] = packet
        self._length[0] = size
        status = function(self.context, self._pointer, self._length)
        if status:
            raise SrtpError(f"not protected: libsrtp's status {status}")
        return bytes(memoryview(self._buffer)[: self._length[0]])


def _session(profile: SrtpProfile, key: bytes, direction: int) -> Session:
    policy = Policy(key=key, ssrc_type=direction, srtp_profile=profile.policy)
    # The same SSRC and sequence number twice would be the same nonce twice (RFC 7714 8.1).
    policy.allow_repeat_tx = False
    policy.window_size = REPLAY_WINDOW
    return Session(policy)
