"""RTCP reports, estimates and arrival times: round trips, aiortc's view of them, and bytes that lie."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from aiortc import rtp as theirs
from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol import rtcp
from sfu.protocol.errors import MalformedPacket

WORD = st.integers(0, 0xFFFF_FFFF)
LONG = st.integers(0, 0xFFFF_FFFF_FFFF_FFFF)
BLOCK = st.builds(
    rtcp.ReportBlock, WORD, st.integers(0, 255), st.integers(-0x80_0000, 0x7F_FFFF), WORD, WORD, WORD, WORD
)
BLOCKS = st.lists(BLOCK, max_size=31).map(tuple)
NAME = st.text(max_size=60).filter(lambda name: len(name.encode()) <= 255)
EVENTS = st.one_of(
    st.builds(rtcp.SenderReport, WORD, LONG, WORD, WORD, WORD, BLOCKS),
    st.builds(rtcp.ReceiverReport, WORD, BLOCKS),
    st.builds(rtcp.SourceDescription, st.lists(st.tuples(WORD, NAME), max_size=5).map(tuple)),
    st.builds(rtcp.Goodbye, st.lists(WORD, max_size=31).map(tuple)),
    st.builds(
        rtcp.ExtendedReport,
        WORD,
        st.none() | LONG,
        st.lists(st.tuples(WORD, WORD, WORD), max_size=100).map(tuple),
    ),
    st.builds(rtcp.PictureLossIndication, WORD, WORD),
    st.builds(
        rtcp.FullIntraRequest,
        WORD,
        st.lists(st.tuples(WORD, st.integers(0, 255)), min_size=1, max_size=9).map(tuple),
    ),
    st.builds(
        rtcp.ReceiverEstimatedMaximumBitrate,
        WORD,
        st.integers(0, 0x3FFFF).flatmap(lambda top: st.integers(0, 40).map(lambda shift: top << shift)),
        st.lists(WORD, max_size=9).map(tuple),
    ),
)
STEPS = st.lists(st.none() | st.integers(-30_000, 30_000) | st.integers(0, 300), min_size=1, max_size=300)


@given(EVENTS)
def test_events_survive_a_round_trip(event: rtcp.Event) -> None:
    compound = event.serialize() + rtcp.pli(1, 2)
    assert rtcp.parse(compound) == [event, rtcp.PictureLossIndication(1, 2)]


@given(WORD, LONG, WORD, WORD, WORD)
def test_the_fast_sender_report_is_the_same(
    ssrc: int, ntp: int, timestamp: int, packets: int, octets: int
) -> None:
    expected = rtcp.SenderReport(ssrc, ntp, timestamp, packets, octets).serialize()
    assert rtcp.sender_report(ssrc, ntp, timestamp, packets, octets) == expected


def test_aiortc_reads_reports() -> None:
    block = rtcp.ReportBlock(1, 64, -5, 70_000, 90, 3, 4)
    report = rtcp.SenderReport(9, 1 << 40, 90_000, 100, 120_000, (block,)).serialize()
    parsed = theirs.RtcpPacket.parse(report + rtcp.ReceiverReport(9, (block,)).serialize())
    assert isinstance(parsed[0], theirs.RtcpSrPacket)
    assert parsed[0].sender_info == theirs.RtcpSenderInfo(1 << 40, 90_000, 100, 120_000)
    assert isinstance(parsed[1], theirs.RtcpRrPacket)
    assert parsed[0].reports == parsed[1].reports == [theirs.RtcpReceiverInfo(1, 64, -5, 70_000, 90, 3, 4)]


def test_aiortc_reads_names_ends_and_estimates() -> None:
    names = rtcp.SourceDescription(((7, "name"),)).serialize()
    goodbye = rtcp.Goodbye((7, 8)).serialize()
    estimate = rtcp.ReceiverEstimatedMaximumBitrate(1, 1_250_000, (7, 8)).serialize()
    description, end, feedback = theirs.RtcpPacket.parse(names + goodbye + estimate)
    assert isinstance(description, theirs.RtcpSdesPacket)
    assert description.chunks == [theirs.RtcpSourceInfo(7, [(1, b"name")])]
    assert isinstance(end, theirs.RtcpByePacket)
    assert end.sources == [7, 8]
    assert isinstance(feedback, theirs.RtcpPsfbPacket)
    bitrate, sources = theirs.unpack_remb_fci(feedback.fci)
    assert sources == [7, 8]
    assert 0 <= 1_250_000 - bitrate < 16


def test_names_written_by_aiortc_are_read() -> None:
    chunks = [theirs.RtcpSourceInfo(7, [(2, b"other"), (1, b"name")])]
    assert rtcp.parse(bytes(theirs.RtcpSdesPacket(chunks))) == [rtcp.SourceDescription(((7, "name"),))]


def test_losses_beyond_24_bits_are_capped() -> None:
    report = rtcp.ReceiverReport(1, (rtcp.ReportBlock(1, 0, 1 << 30, 0, 0),)).serialize()
    (parsed,) = rtcp.parse(report)
    assert isinstance(parsed, rtcp.ReceiverReport)
    assert parsed.blocks[0].packets_lost == 0x7F_FFFF


@given(st.integers(0, 0xFFFF), st.integers(0, 1 << 45), STEPS)
def test_arrivals_survive_a_round_trip(base: int, start: int, steps: list[int | None]) -> None:
    arrivals: list[tuple[int, int | None]] = []
    ticks = start + 10_000_000
    for position, step in enumerate(steps):
        ticks += step or 0
        arrivals.append(((base + position) & 0xFFFF, None if step is None else ticks * 250))
    feedback = rtcp.TransportFeedback(1, 2, 3, arrivals)
    (parsed,) = rtcp.parse(feedback.serialize())
    assert isinstance(parsed, rtcp.TransportFeedback)
    wrapped = [(n, None if time is None else time % rtcp.TIME_PERIOD_US) for n, time in arrivals]
    found = [(n, None if time is None else time % rtcp.TIME_PERIOD_US) for n, time in parsed.arrivals]
    assert (parsed.sender, parsed.media, parsed.feedback_count, found) == (1, 2, 3, wrapped)


def test_statuses_are_compact() -> None:
    lost_run = [(0, 0), *((number, None) for number in range(1, 2000)), (2000, 250)]
    assert len(rtcp.TransportFeedback(1, 2, 0, lost_run).serialize()) <= 32
    even = [(number, number * 1000) for number in range(1000)]
    assert len(rtcp.TransportFeedback(1, 2, 0, even).serialize()) < 1030


def test_the_example_of_the_draft_is_read() -> None:
    # Base 5, 7 statuses, reference 1, a run of 3 small, a two-bit vector: lost, large, small, lost.
    information = struct.pack("!HHL", 5, 7, 1 << 8 | 9) + b"\x20\x03\xc9\x00" + b"\x00\x01\x02\xff\xff\x04"
    compound = rtcp.join(rtcp.RTP_FEEDBACK, 15, bytes(8) + information + bytes(2))
    (parsed,) = rtcp.parse(compound)
    assert isinstance(parsed, rtcp.TransportFeedback)
    assert parsed.feedback_count == 9
    assert parsed.arrivals == [
        (5, 64_000),
        (6, 64_250),
        (7, 64_750),
        (8, None),
        (9, 64_500),
        (10, 65_500),
        (11, None),
    ]


@pytest.mark.parametrize(
    "arrivals",
    [
        [],
        [(number & 0xFFFF, None) for number in range(rtcp.MAX_STATUSES + 1)],
        [(1, 0), (2, 9_000_000)],
        [(1, 9_000_000), (2, 0)],
    ],
)
def test_arrivals_that_do_not_fit_are_refused(arrivals: list[tuple[int, int | None]]) -> None:
    with pytest.raises(ValueError, match="transport feedback"):
        rtcp.TransportFeedback(1, 2, 0, arrivals).serialize()


@pytest.mark.parametrize(
    "event",
    [
        rtcp.SourceDescription(((1, "n" * 256),)),
        rtcp.Goodbye(tuple(range(32))),
        rtcp.ReceiverEstimatedMaximumBitrate(1, -1, ()),
        rtcp.ReceiverEstimatedMaximumBitrate(1, 1, tuple(range(256))),
    ],
)
def test_what_cannot_be_written_is_refused(event: rtcp.Event) -> None:
    with pytest.raises(ValueError, match=r"canonical|count|REMB"):
        event.serialize()


@pytest.mark.parametrize(
    ("packet_type", "count", "body"),
    [
        (200, 0, bytes(20)),
        (200, 1, bytes(24)),
        (201, 0, b""),
        (201, 1, bytes(24)),
        (202, 1, b""),
        (202, 1, bytes(4)),
        (202, 1, b"\0\0\0\1\1\4ab"),
        (202, 1, b"\0\0\0\1\1\1\xff\0"),
        (202, 2, bytes(8)),
        (203, 2, bytes(4)),
        (207, 0, b""),
        (207, 0, b"\0\0\0\1\4\0\0\2\0\0\0\0"),
        (205, 15, bytes(8)),
        (205, 15, bytes(16)),
        (205, 15, bytes(8) + b"\0\1\xff\xff\0\0\0\0\0\0\0\0"),
        (205, 15, bytes(8) + b"\0\1\0\7\0\0\0\0" + b"\x20\1\x20\1"),
        (205, 15, bytes(8) + b"\0\1\0\1\0\0\0\0" + b"\x60\1\0\0"),
        (205, 15, bytes(8) + b"\0\1\0\6\0\0\0\0" + b"\x40\6\0\0"),
        (206, 15, bytes(8) + b"REMB"),
        (206, 15, bytes(8) + b"REMB\1\0\0\1"),
        (206, 15, bytes(8) + b"REMB\0\xff\xff\xff"),
    ],
)
def test_a_lying_packet_is_refused(packet_type: int, count: int, body: bytes) -> None:
    with pytest.raises(MalformedPacket):
        rtcp.parse(rtcp.join(packet_type, count, body))


def test_a_compound_of_many_arrivals_is_refused() -> None:
    feedback = rtcp.TransportFeedback(1, 2, 3, [(1, None)]).serialize()
    assert len(rtcp.parse(feedback * rtcp.MAX_TRANSPORT_FEEDBACKS)) == rtcp.MAX_TRANSPORT_FEEDBACKS
    with pytest.raises(MalformedPacket):
        rtcp.parse(feedback * (rtcp.MAX_TRANSPORT_FEEDBACKS + 1))


def test_what_is_unknown_is_skipped() -> None:
    unknown = rtcp.join(204, 0, bytes(8)) + rtcp.join(205, 7, bytes(8)) + rtcp.join(206, 7, bytes(8))
    other_application = rtcp.join(206, 15, bytes(8) + b"GOOG")
    assert rtcp.parse(unknown + other_application) == []
    extended = rtcp.join(207, 0, b"\0\0\0\1\x07\0\0\1\0\0\0\0\4\0\0\0")
    assert rtcp.parse(extended) == [rtcp.ExtendedReport(1)]


@given(st.sampled_from((200, 201, 202, 203, 205, 206, 207)), st.integers(0, 31), st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(packet_type: int, count: int, body: bytes) -> None:
    with suppress(MalformedPacket):
        rtcp.read((packet_type, count, body))
