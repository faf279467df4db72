"""Packets in order, and frames out of them."""

import random
from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from mediaserver.gateways import rtp_frames
from mediaserver.gateways.rtp_frames import (
    MAX_HELD_PACKETS,
    MAX_WAIT_SECONDS,
    CodedFrame,
    FrameAssembler,
    ReorderBuffer,
    RtpPayload,
)
from sfu.protocol.errors import MalformedPacket


class _Letters:
    """Frames are words: K begins a keyframe, D another one; "!" is malformed and "_" nothing."""

    config = b"letters"

    def starts_frame(self, payload: bytes) -> bool:
        return payload[:1] in (b"K", b"D")

    def assemble(self, payloads: Sequence[bytes]) -> tuple[bytes, bool]:
        word = b"".join(payloads)
        if b"!" in word:
            raise MalformedPacket("!")
        return word.strip(b"_"), word.startswith(b"K")


def _packets(words: str, first: int = 0) -> list[RtpPayload]:
    """A packet for each letter, a timestamp and the marker for each word."""
    packets = []
    for timestamp, word in enumerate(words.split()):
        for index, letter in enumerate(word):
            sequence = first + len(packets)
            is_last = index == len(word) - 1
            packets.append(RtpPayload(sequence, timestamp, is_last, letter.encode(), float(sequence)))
    return packets


def _words(assembler: FrameAssembler, packets: Iterable[RtpPayload]) -> list[str]:
    frames: list[CodedFrame] = []
    for packet in packets:
        frames += assembler.add(packet)
    return [frame.payload.decode() for frame in frames]


def test_frames_end_with_the_marker() -> None:
    assembler = FrameAssembler(_Letters())
    packets = _packets("Kab Da D")
    frames = [frame for packet in packets for frame in assembler.add(packet)]
    assert [frame.payload for frame in frames] == [b"Kab", b"Da", b"D"]
    assert [frame.timestamp for frame in frames] == [0, 1, 2]
    assert [frame.is_keyframe for frame in frames] == [True, False, False]
    assert [frame.received_at for frame in frames] == [2.0, 4.0, 5.0]
    assert {frame.config for frame in frames} == {b"letters"}


def test_frames_end_where_the_next_one_begins() -> None:
    packets = [RtpPayload(p.sequence, p.timestamp, False, p.payload, 0.0) for p in _packets("Ka Da D")]
    assert _words(FrameAssembler(_Letters()), packets) == ["Ka", "Da"]


def test_nothing_comes_before_the_first_keyframe() -> None:
    assembler = FrameAssembler(_Letters())
    assert assembler.wants_keyframe
    assert _words(assembler, _packets("ab Da Ka D")) == ["Ka", "D"]
    assert not assembler.wants_keyframe
    assert assembler.dropped_frames == 2


def test_every_loss_waits_for_the_next_keyframe() -> None:
    packets = _packets("Kab Dcd De Kfg Dh")
    expected = {
        0: ["Kfg", "Dh"],
        1: ["Kfg", "Dh"],
        2: ["Kfg", "Dh"],
        3: ["Kab", "Kfg", "Dh"],
        5: ["Kab", "Kfg", "Dh"],
        6: ["Kab", "Dcd", "Kfg", "Dh"],
        8: ["Kab", "Dcd", "De"],
        11: ["Kab", "Dcd", "De", "Kfg"],
    }
    for lost, words in expected.items():
        assembler = FrameAssembler(_Letters())
        assert _words(assembler, [p for p in packets if p.sequence != lost]) == words, lost
        assert assembler.wants_keyframe == (lost in (8, 11))


def test_malformed_and_empty_frames_are_left_out() -> None:
    assembler = FrameAssembler(_Letters())
    assert _words(assembler, _packets("K _ D D! Da K D")) == ["K", "D", "K", "D"]
    assert assembler.dropped_frames == 2


def test_a_frame_does_not_grow_for_ever() -> None:
    assembler = FrameAssembler(_Letters())
    endless = [RtpPayload(n, 0, False, b"K", 0.0) for n in range(rtp_frames.MAX_FRAME_PACKETS + 10)]
    assert _words(assembler, endless) == []
    assert assembler.dropped_frames == 1
    large = [RtpPayload(len(endless) + n, 1, False, b"K" * (1 << 20), 0.0) for n in range(9)]
    assert _words(assembler, large) == []
    assert assembler.dropped_frames == 2
    next_one = RtpPayload(len(endless) + 9, 2, True, b"K", 0.0)
    assert _words(assembler, [next_one]) == ["K"]


def _add(buffer: ReorderBuffer, sequence: int, now: float = 0.0, timestamp: int = 0) -> list[int]:
    return [packet.sequence for packet in buffer.add(sequence & 0xFFFF, timestamp, False, b"", now)]


@given(st.integers(0, 0xFFFF), st.integers(1, 200), st.integers(1, 60), st.randoms(use_true_random=False))
def test_order_is_restored_over_the_wrap(first: int, count: int, reach: int, chance: random.Random) -> None:
    numbers = sorted(range(1, count), key=lambda n: n + chance.uniform(0, reach))
    buffer = ReorderBuffer()
    ordered = _add(buffer, first)
    for number in numbers:
        ordered += _add(buffer, first + number)
    assert ordered == list(range(first, first + count))
    assert (buffer.lost, buffer.late) == (0, 0)


def test_packets_come_once() -> None:
    buffer = ReorderBuffer()
    assert [_add(buffer, n) for n in (5, 5, 7, 7, 6, 6)] == [[5], [], [], [], [6, 7], []]
    assert buffer.late == 2


def test_a_gap_is_waited_for_and_then_given_up() -> None:
    buffer = ReorderBuffer()
    assert _add(buffer, 1, 0.0) == [1]
    assert _add(buffer, 4, 0.1) == []
    assert _add(buffer, 3, 0.2) == []
    assert buffer.expire(0.2 + MAX_WAIT_SECONDS - 0.01) == []
    assert [packet.sequence for packet in buffer.expire(0.2 + MAX_WAIT_SECONDS)] == [3, 4]
    assert buffer.lost == 1
    assert _add(buffer, 2, 0.6) == []
    assert buffer.late == 1


def test_adding_gives_up_gaps_too() -> None:
    buffer = ReorderBuffer()
    assert [_add(buffer, n, now) for n, now in ((1, 0.0), (3, 0.1), (4, 0.2 + MAX_WAIT_SECONDS))] == [
        [1],
        [],
        [3, 4],
    ]


def test_no_more_packets_wait_than_allowed() -> None:
    buffer = ReorderBuffer()
    _add(buffer, 0)
    ready = [number for n in range(2, MAX_HELD_PACKETS + 4) for number in _add(buffer, n)]
    assert ready == list(range(2, MAX_HELD_PACKETS + 4))


def test_timestamps_are_unwrapped() -> None:
    buffer = ReorderBuffer()
    stamps = [0xFFFF_FF00, 0xFFFF_FFFF, 0x0000_00FF]
    packets = [buffer.add(n, stamp, True, b"", 0.0)[0] for n, stamp in enumerate(stamps)]
    assert [packet.timestamp - packets[0].timestamp for packet in packets] == [0, 0xFF, 0x1FF]


def test_a_stream_that_begins_anew_is_followed_after_two_packets() -> None:
    buffer = ReorderBuffer()
    _add(buffer, 30_000)
    assert _add(buffer, 10) == []
    assert _add(buffer, 11) == [0x10000 + 11], "numbers given out still rise"
    assert _add(buffer, 12) == [0x10000 + 12]


def test_one_stray_packet_changes_nothing() -> None:
    buffer = ReorderBuffer()
    _add(buffer, 30_000)
    assert [_add(buffer, n) for n in (10, 30_001, 500, 30_002)] == [[], [30_001], [], [30_002]]
