"""RTCP feedback against aiortc's, round trips and malformed compounds."""

from __future__ import annotations

from contextlib import suppress

import pytest
from aiortc.rtp import RtcpPacket, RtcpPsfbPacket, RtcpRtpfbPacket
from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol import rtcp
from sfu.protocol.errors import MalformedPacket


@given(st.integers(0, 0xFFFF), st.lists(st.integers(1, 40), max_size=40))
def test_nack_round_trip(start: int, steps: list[int]) -> None:
    lost = [start]
    for step in steps:
        lost.append((lost[-1] + step) & 0xFFFF)
    written = rtcp.nack(1, 2, lost)
    packet_type, kind, body = rtcp.split(written)[0]
    assert (packet_type, kind) == (rtcp.RTP_FEEDBACK, rtcp.NACK)
    sender, media, information = rtcp.read_feedback(body)
    assert (sender, media, rtcp.read_nack(information)) == (1, 2, lost)
    theirs = RtcpPacket.parse(written)[0]
    assert isinstance(theirs, RtcpRtpfbPacket)
    # aiortc leaves numbers past the wrap as they come out of the addition.
    assert [number & 0xFFFF for number in theirs.lost] == lost


def test_pli_is_what_aiortc_writes() -> None:
    theirs = RtcpPsfbPacket(fmt=1, ssrc=1, media_ssrc=2)
    assert rtcp.pli(1, 2) == bytes(theirs)
    assert len(rtcp.split(rtcp.pli(1, 2) + rtcp.nack(1, 2, [5]))) == 2


def test_fir_entries() -> None:
    assert rtcp.read_fir(b"\x00\x00\x00\x07\x09\x00\x00\x00") == [(7, 9)]


@pytest.mark.parametrize(
    "compound",
    [
        b"",
        b"\x80\xc9",
        b"\x40\xc9\x00\x00",
        b"\x80\xc9\x00\x01",
        b"\xa0\xc9\x00\x01\x00\x00\x00\x05",
        bytes(1501),
    ],
)
def test_a_malformed_compound_is_refused(compound: bytes) -> None:
    with pytest.raises(MalformedPacket):
        rtcp.split(compound)


def test_malformed_feedback_is_refused() -> None:
    for read, information in (
        (rtcp.read_feedback, b"short"),
        (rtcp.read_nack, b""),
        (rtcp.read_nack, b"12345"),
        (rtcp.read_nack, b"\x00\x00\xff\xff" * 100),
        (rtcp.read_fir, b"1234"),
    ):
        with pytest.raises(MalformedPacket):
            read(information)


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(compound: bytes) -> None:
    with suppress(MalformedPacket):
        rtcp.split(b"\x81\xcd" + compound)
    for read in (rtcp.read_feedback, rtcp.read_nack, rtcp.read_fir):
        with suppress(MalformedPacket):
            read(compound)
