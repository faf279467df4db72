"""SRTP: both directions of every profile, and what is refused."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.srtp import (
    MAX_INBOUND_STREAMS,
    MAX_PACKET_SIZE,
    PROFILES,
    SrtpError,
    SrtpProfile,
    is_rtcp,
)
from tests.sfu.srtp_pair import rtp, srtp_pair

RECEIVER_REPORT = struct.pack("!BBHL", 0x80, 201, 1, 7)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name.decode())
class TestEveryProfile:
    def test_rtp_there_and_back(self, profile: SrtpProfile) -> None:
        one, other = srtp_pair(profile)
        protected = one.protect(rtp(1))
        assert len(protected) == len(rtp(1)) + profile.tag_size
        assert other.unprotect(protected) == rtp(1)
        assert one.unprotect(other.protect(rtp(2))) == rtp(2)

    def test_rtcp_there_and_back(self, profile: SrtpProfile) -> None:
        one, other = srtp_pair(profile)
        assert other.unprotect_rtcp(one.protect_rtcp(RECEIVER_REPORT)) == RECEIVER_REPORT

    def test_replays_are_refused_and_counted(self, profile: SrtpProfile) -> None:
        one, other = srtp_pair(profile)
        protected = one.protect(rtp(1))
        other.unprotect(protected)
        with pytest.raises(SrtpError, match="replayed"):
            other.unprotect(protected)
        assert (other.rejected, other.replayed) == (1, 1)

    def test_a_forged_packet_is_refused_and_costs_no_other(self, profile: SrtpProfile) -> None:
        one, other = srtp_pair(profile)
        protected = one.protect(rtp(1))
        with pytest.raises(SrtpError):
            other.unprotect(protected[:-1] + bytes((protected[-1] ^ 1,)))
        assert (other.rejected, other.replayed) == (1, 0)
        assert other.unprotect(protected) == rtp(1)

    def test_the_same_number_is_never_protected_twice(self, profile: SrtpProfile) -> None:
        one, _ = srtp_pair(profile)
        one.protect(rtp(1))
        with pytest.raises(SrtpError):
            one.protect(rtp(1, size=50))


def test_gcm_is_preferred() -> None:
    assert PROFILES[0].name == b"SRTP_AEAD_AES_128_GCM"


def test_longer_packets_than_a_path_carries_are_refused() -> None:
    one, other = srtp_pair()
    longest = rtp(1, size=MAX_PACKET_SIZE - 12)
    with pytest.raises(SrtpError, match="bytes"):
        one.protect(longest + b"\0")
    with pytest.raises(SrtpError, match="bytes"):
        other.unprotect(one.protect(longest))


def test_the_datagram_that_ends_aiortc_is_only_refused() -> None:
    _, other = srtp_pair()
    with pytest.raises(SrtpError):
        other.unprotect(b"\x80" * 1702)


def test_a_peer_has_a_limit_of_streams() -> None:
    one, other = srtp_pair()
    for ssrc in range(MAX_INBOUND_STREAMS):
        other.unprotect(one.protect(rtp(1, ssrc=ssrc, size=1)))
    with pytest.raises(SrtpError, match="too many"):
        other.unprotect(one.protect(rtp(1, ssrc=MAX_INBOUND_STREAMS)))
    assert other.unprotect(one.protect(rtp(2, ssrc=0))) == rtp(2, ssrc=0)


def test_forgotten_streams_leave_the_others_alone() -> None:
    one, other = srtp_pair()
    one.protect(rtp(1, ssrc=1))
    one.protect(rtp(1, ssrc=2))
    one.forget(1)
    one.forget(99)
    assert other.unprotect(one.protect(rtp(2, ssrc=2))) == rtp(2, ssrc=2)
    with pytest.raises(SrtpError):
        one.protect(rtp(2, ssrc=2))


def test_rtcp_is_told_by_its_second_byte() -> None:
    assert is_rtcp(RECEIVER_REPORT)
    assert not is_rtcp(rtp(1))
    assert not is_rtcp(bytes((0x80, 0x80 | 96)))


@given(st.binary(max_size=2200))
def test_any_bytes_are_refused_by_one_exception(data: bytes) -> None:
    _, other = srtp_pair()
    for take in (other.unprotect, other.unprotect_rtcp):
        with pytest.raises(SrtpError):
            take(data)
    with pytest.raises(SrtpError):
        other.protect(data[:11])
