"""Retransmission: the shared ring, what a consumer was sent, RTX there and back."""

from __future__ import annotations

import pytest
from aiortc.rtp import RtpPacket, unwrap_rtx, wrap_rtx
from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol import retransmission, rtp
from sfu.protocol.errors import MalformedPacket
from sfu.protocol.retransmission import PacketRing, RtxEncoder, SentHistory

ROUND_TRIP = 0.1


def packet_of(
    number: int = 7, payload: bytes = b"payload", padding: int = 0, extensions: bytes = b""
) -> bytes:
    fixed = bytes((0x80 | (0x20 if padding else 0) | (0x10 if extensions else 0), 0xE0))
    fixed += number.to_bytes(2, "big") + (90_000).to_bytes(4, "big") + (42).to_bytes(4, "big")
    tail = bytes(padding - 1) + bytes((padding,)) if padding else b""
    return fixed + extensions + payload + tail


def _history(count: int, first: int = 0, step: int = 3000, capacity: int = 2500) -> SentHistory:
    history = SentHistory(90_000, capacity)
    for position in range(count):
        number = (first + position) & 0xFFFF
        assert history.sent(number, 1, 1000 + position, step * position & 0xFFFF_FFFF, 0.0)
    return history


def test_the_ring_finds_the_newest_packets_over_the_wrap() -> None:
    ring = PacketRing(100)
    numbers = [ring.store((65_500 + step) & 0xFFFF, bytes((step,))) for step in range(150)]
    assert [ring.find(number) for number in numbers] == [None] * 50 + [bytes((n,)) for n in range(50, 150)]


def test_the_ring_takes_late_packets_but_not_for_newer_ones() -> None:
    ring = PacketRing(10)
    first = ring.store(100, b"100")
    ring.store(109, b"109")
    assert ring.find(ring.store(105, b"105")) == b"105"
    assert ring.find(ring.store(99, b"99")) is None
    assert ring.find(first + 9) == b"109"


@pytest.mark.parametrize("restart", [100, 109, 30_000, 50_000])
def test_a_cleared_ring_never_gives_an_old_number_another_packet(restart: int) -> None:
    ring = PacketRing(10)
    assert ring.find(0xFFFF_FFFF) is None
    old = [ring.store(number, b"old") for number in range(100, 110)]
    ring.clear()
    new = [ring.store((restart + step) & 0xFFFF, b"new") for step in (5, 0, 1, 2, 3, 4)]
    assert [ring.find(number) for number in old] == [None] * 10
    assert [ring.find(number) for number in new] == [b"new"] * 6
    assert min(new) > max(old)


def test_a_ring_that_is_cleared_without_a_packet_never_goes_back() -> None:
    ring = PacketRing(10)
    old = []
    for _ in range(4):
        old.append(ring.store(5, b"old"))
        ring.clear()
        ring.clear()
    assert old == sorted(set(old))
    assert ring.store(5, b"new") > max(old)


def test_the_ring_is_found_by_the_lower_half_of_long_numbers() -> None:
    ring = PacketRing(10)
    number = 0
    for step in range(0, 1 << 33, 0x7FFF):
        number = ring.store(step & 0xFFFF, b"")
    assert number > 1 << 32
    ring.store(((number & 0xFFFF) + 1) & 0xFFFF, b"next")
    assert ring.find((number + 1) & 0xFFFF_FFFF) == b"next"


def test_a_number_is_sent_once() -> None:
    history = _history(10, 65_530)
    assert not any(history.sent((65_530 + step) & 0xFFFF, 1, 0, 0, 0.0) for step in range(10))
    assert history.sent(4, 1, 0, 0, 0.0)


def test_a_number_is_known_again_only_after_the_wrap() -> None:
    history = SentHistory(90_000, 10)
    assert all(history.sent(step & 0xFFFF, 0, step, 0, 0.0) for step in range(70_000))
    assert not history.sent(70_000 - 10 & 0xFFFF, 0, 0, 0, 0.0)
    assert not history.sent(70_000 - 11 & 0xFFFF, 0, 0, 0, 0.0)


def test_late_packets_fit_in() -> None:
    history = _history(1)
    assert history.sent(5, 1, 5, 0, 0.0)
    assert history.sent(3, 1, 3, 0, 0.0)
    assert not history.sent(3, 1, 3, 0, 0.0)
    assert [sent.source for sent in history.answer([3, 4, 5], 1.0, ROUND_TRIP)] == [3, 5]


def test_a_nack_is_answered_with_what_was_sent() -> None:
    history = SentHistory(90_000, pictures=True)
    history.sent(10, 2, 77, 4711, 0.0, 0x1234)
    assert history.answer([9, 10, 11], 0.0, ROUND_TRIP) == [(10, 2, 77, 4711, 0x1234)]
    assert history.newest() == (10, 2, 77, 4711, 0x1234)


def test_nothing_is_repeated_that_may_be_on_its_way() -> None:
    history = _history(3)
    assert len(history.answer([1, 1, 1], 1.0, ROUND_TRIP)) == 1
    assert history.answer([1], 1.05, ROUND_TRIP) == []
    assert len(history.answer([1], 1.1, ROUND_TRIP)) == 1


def test_a_packet_that_came_late_is_not_repeated_for_a_nack_that_it_crossed() -> None:
    history = _history(1)
    history.sent(2, 1, 2, 0, 1.0)
    history.sent(1, 1, 1, 0, 1.0)
    assert history.answer([1], 1.05, ROUND_TRIP) == []
    assert len(history.answer([1], 1.2, ROUND_TRIP)) == 1


def test_what_is_too_old_to_play_is_not_repeated() -> None:
    history = _history(100, step=3000)
    oldest = 99 - int(retransmission.MAX_AGE * 30)
    found = history.answer(list(range(100)), 1.0, ROUND_TRIP)
    assert [sent.sequence_number for sent in found] == list(range(oldest, 100))


def test_a_flood_of_nacks_is_cut() -> None:
    history = _history(2500, step=0)
    lost = list(range(2500))
    answered = sum(len(history.answer(lost, step / 100, 0.0)) for step in range(100))
    assert answered <= 2 * retransmission.MAX_RESENDS_PER_SECOND
    assert history.refused > 0


def test_no_allowance_is_saved_up() -> None:
    history = _history(2500, step=0)
    assert len(history.answer(list(range(2500)), 3600.0, 0.0)) == retransmission.MAX_RESENDS_PER_SECOND
    assert history.answer(list(range(2500)), 1.0, 0.0) == [], "a clock that goes back brings none"


def test_a_nack_before_anything_was_sent_is_harmless() -> None:
    history = SentHistory(90_000)
    assert history.answer(list(range(0, 65_536, 64)), 0.0, ROUND_TRIP) == []
    assert history.newest() is None


def test_senseless_sizes_are_refused() -> None:
    for clock_rate, capacity in ((0, 10), (90_000, 0), (90_000, 0x8000)):
        with pytest.raises(ValueError):
            SentHistory(clock_rate, capacity)
    with pytest.raises(ValueError):
        RtxEncoder(97, 1, 0x8000)


def test_rtx_is_what_aiortc_makes_of_it() -> None:
    packet = packet_of(513)
    encoder = RtxEncoder(97, 43, 100)
    written = encoder.encode(packet, rtp.parse(packet))
    theirs = wrap_rtx(RtpPacket.parse(packet), payload_type=97, sequence_number=100, ssrc=43)
    assert bytes(written) == theirs.serialize()
    assert unwrap_rtx(RtpPacket.parse(bytes(written)), 96, 42).serialize() == packet


@given(st.integers(0, 0xFFFF), st.binary(max_size=60), st.integers(0, 20), st.booleans())
def test_rtx_survives_a_round_trip(number: int, payload: bytes, padding: int, extended: bool) -> None:
    extensions = rtp.serialize_extensions([(3, b"abc")]) if extended else b""
    packet = packet_of(number, payload, padding, extensions)
    written = RtxEncoder(97, 43, 0).encode(packet, rtp.parse(packet))
    header = rtp.parse(written)
    assert (header.ssrc, header.payload_type, header.padding) == (43, 97, 0)
    assert rtp.extensions(written, header) == rtp.extensions(packet, rtp.parse(packet))
    assert retransmission.decode(written, header, 96, 42) == packet_of(number, payload, 0, extensions)


def test_no_rtx_packet_has_the_number_of_another() -> None:
    encoder = RtxEncoder(97, 43, 0x7FFF)
    packet = packet_of()
    header = rtp.parse(packet)
    numbers = []
    for step in range(1000):
        written = encoder.padding(20, 5) if step % 3 == 0 else encoder.encode(packet, header)
        numbers.append(rtp.parse(written).sequence_number)
    assert numbers == [(0x7FFF + step) & 0xFFFF for step in range(1000)]


def test_a_probe_is_padding_with_its_transport_number() -> None:
    block = rtp.serialize_extensions([(5, b"\x00\x00")])
    written = RtxEncoder(97, 43, 0).padding(255, 1, block)
    header = rtp.parse(written)
    assert header.padding == 255 == len(written) - header.payload_offset
    assert list(rtp.extensions(written, header)) == [5]
    assert retransmission.decode(written, header, 96, 42) is None
    assert rtp.parse(RtxEncoder(97, 43, 0).padding(1, 1)).padding == 1
    for size in (0, 256):
        with pytest.raises(ValueError):
            RtxEncoder(97, 43, 0).padding(size, 1)


def test_rtx_without_an_original_number_is_malformed() -> None:
    packet = packet_of(1, b"x")
    with pytest.raises(MalformedPacket):
        retransmission.decode(packet, rtp.parse(packet), 96, 42)


def test_history_grows_with_the_rate_and_never_sends_twice() -> None:
    history = SentHistory(90_000)
    # 1,000 packets a second: two seconds of them have to be there.
    for number in range(3000):
        assert history.sent(number, 0, number, number * 90, 0.0)

    assert len(history.answer([1100], 3.0, 0.1)) == 1
    assert history.answer([900], 3.0, 0.1) == []
    assert not any(history.sent(number, 0, number, number * 90, 3.0) for number in range(3000))


def test_history_of_a_slow_stream_stays_small() -> None:
    history = SentHistory(90_000)
    for number in range(3000):
        history.sent(number, 0, number, number * 1500, 0.0)

    assert len(history.answer([2999 - 100], 50.0, 0.1)) == 1
    assert not history.sent(2999 - retransmission.FIRST_CAPACITY, 0, 0, 0, 50.0)
