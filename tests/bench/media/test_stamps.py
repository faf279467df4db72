import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.media.stamps import SEQUENCE_LIMIT, STAMP_UUID, StampScanner, parse_stamp, serialize_stamp


def stamped(sequence: int, microseconds: int) -> bytes:
    return b"\x00\x01noise" + STAMP_UUID + serialize_stamp(sequence, microseconds) + b"\x80more"


@given(st.integers(0, SEQUENCE_LIMIT - 1), st.integers(0, 2**63))
def test_parse_is_the_reverse_of_serialize(sequence, microseconds):
    assert parse_stamp(serialize_stamp(sequence, microseconds)) == (sequence, microseconds)


def test_stamps_need_no_emulation_prevention():
    assert b"\x00\x00" not in STAMP_UUID + serialize_stamp(0, 0)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=60))
def test_the_scanner_does_not_care_how_bytes_are_cut(sizes):
    data = b"".join(stamped(number, number * 1_000_000) for number in range(5))
    scanner = StampScanner()
    position = 0
    for size in [*sizes, len(data)]:
        scanner.feed(memoryview(data[position : position + size]), now=10.0)
        position += size
    assert list(scanner.latencies) == [10.0, 9.0, 8.0, 7.0, 6.0]
    assert (scanner.lost, scanner.repeated) == (0, 0)


@pytest.mark.parametrize(
    ("numbers", "lost", "repeated"),
    [
        ([1, 2, 5], 2, 0),
        ([1, 2, 2, 3], 0, 1),
        ([5, 3, 6], 0, 1),
        ([SEQUENCE_LIMIT - 1, 0, 1], 0, 0),
    ],
)
def test_lost_and_repeated_frames_are_counted(numbers, lost, repeated):
    scanner = StampScanner()
    for number in numbers:
        scanner.feed(memoryview(stamped(number, 0)), now=1.0)
    assert (scanner.lost, scanner.repeated) == (lost, repeated)


def test_our_uuid_without_digits_is_no_stamp():
    scanner = StampScanner()
    scanner.feed(memoryview(STAMP_UUID + b"x" * 24 + stamped(0, 0)), now=1.0)
    assert list(scanner.latencies) == [1.0]


def test_counting_begins_anew_but_expects_the_next_frame():
    scanner = StampScanner()
    scanner.feed(memoryview(stamped(1, 0)), now=1.0)
    scanner.restart()
    scanner.feed(memoryview(stamped(3, 0)), now=1.0)
    assert (list(scanner.latencies), scanner.lost) == ([1.0], 1)
