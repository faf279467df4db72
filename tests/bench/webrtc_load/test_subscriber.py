"""What a viewer tells the server, and what it makes of packets that are none."""

from __future__ import annotations

import os
import time
from typing import cast

import pytest

from bench.webrtc_load.connection import PeerConnection
from bench.webrtc_load.packets import STAMP, RtpStream, stamp_now
from bench.webrtc_load.subscriber import Subscriber
from sfu.protocol import rtcp

MILLISECOND = 1_000_000


class Line:
    """A connection that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[rtcp.Event] = []
        self.srtp = None
        self.is_lost = False

    def send_rtcp(self, compound: bytes) -> None:
        self.sent += rtcp.parse(compound)


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def viewer(line: Line) -> Subscriber:
    made = Subscriber(has_clock=False)
    made.connection = cast(PeerConnection, line)
    made.transport_id = 3
    made.repairing = frozenset((103,))
    return made


@pytest.fixture
def stream() -> RtpStream:
    return RtpStream(ssrc=7, payload_type=96, mid="1", mid_id=4, transport_id=3)


def take(viewer: Subscriber, packet: bytes, at: int = 0) -> None:
    viewer.on_rtp(memoryview(packet), at)


def test_arrivals_are_told_once_with_their_times(
    viewer: Subscriber, line: Line, stream: RtpStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = time.time_ns() + 1000 * MILLISECOND
    monkeypatch.setattr(time, "time_ns", lambda: later)
    for number in (1, 2, 4):
        take(viewer, stream.packet(bytes(STAMP.size), number, is_last=True), number * 10 * MILLISECOND)
    viewer.send_feedback()
    viewer.send_feedback()
    [told] = line.sent
    assert isinstance(told, rtcp.TransportFeedback)
    assert [number for number, _ in told.arrivals] == [1, 2, 3, 4]
    first, second, lost, last = [time for _, time in told.arrivals]
    assert first is not None and second is not None and last is not None
    assert (second - first, last - second, lost) == (10_000, 20_000, None)
    assert viewer.finish().feedbacks == 1


def test_nothing_is_told_of_packets_without_a_number(
    viewer: Subscriber, line: Line, stream: RtpStream
) -> None:
    viewer.transport_id = 9
    take(viewer, stream.packet(bytes(STAMP.size), 1, is_last=True))
    viewer.send_feedback()
    assert line.sent == []
    assert viewer.finish().packets == 1


def test_a_report_tells_of_losses_and_of_the_senders_last_report(
    viewer: Subscriber, line: Line, stream: RtpStream
) -> None:
    viewer.send_report()
    assert line.sent == [], "there is nothing to tell before there is a stream"
    for number in range(4):
        packet = stream.packet(bytes(STAMP.size), number, is_last=True)
        if number != 2:
            take(viewer, packet)
    viewer.on_rtcp(rtcp.SenderReport(7, 0x1234_5678_9ABC_DEF0, 0, 0, 0).serialize())
    viewer.send_report()
    [told] = line.sent
    assert isinstance(told, rtcp.ReceiverReport)
    [block] = told.blocks
    assert (block.ssrc, block.packets_lost, block.highest_sequence) == (7, 1, 4)
    assert block.last_sender_report == 0x5678_9ABC


def test_what_repairs_is_not_counted_as_media(viewer: Subscriber, stream: RtpStream) -> None:
    repair = RtpStream(ssrc=8, payload_type=103, mid="1", mid_id=4, transport_id=3)
    take(viewer, stream.packet(stamp_now(), 1, is_last=True))
    take(viewer, repair.packet(stamp_now(), 2, is_last=True))
    take(viewer, repair.packet(stamp_now(), 3, is_last=True))
    seen = viewer.finish()
    assert (seen.packets, seen.retransmissions, seen.lost) == (1, 2, 0)


def test_packets_that_are_none_are_no_reason_to_stop(viewer: Subscriber) -> None:
    for size in range(12, 64):
        take(viewer, b"\x90\x60" + os.urandom(10) + b"\xbe\xde\x00\x40" + b"\xff" * (size - 12))
    viewer.on_rtcp(b"\x80\xc8\x00\x01")
    viewer.finish()
