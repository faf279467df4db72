"""RFC 4571 frames: the same datagrams however the stream is cut, and lengths that lie."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol.errors import MalformedPacket
from sfu.protocol.framing import MAX_FRAME_SIZE, MIN_FRAME_SIZE, FrameReader, frame

DATAGRAMS = st.lists(st.binary(min_size=MIN_FRAME_SIZE, max_size=60), max_size=8)


@given(DATAGRAMS, st.integers(1, 70))
def test_frames_are_the_same_however_they_are_cut(datagrams: list[bytes], size: int) -> None:
    wire = b"".join(map(frame, datagrams))
    reader = FrameReader()
    found = [one for at in range(0, len(wire), size) for one in reader.feed(wire[at : at + size])]
    assert found == datagrams and reader.buffered_bytes == 0


def test_an_incomplete_frame_waits() -> None:
    reader = FrameReader()
    assert reader.feed(frame(bytes(MAX_FRAME_SIZE))[:-1]) == []
    assert reader.buffered_bytes == MAX_FRAME_SIZE + 1
    assert reader.feed(b"\0") == [bytes(MAX_FRAME_SIZE)]


@pytest.mark.parametrize("size", [0, MIN_FRAME_SIZE - 1, MAX_FRAME_SIZE + 1, 0xFFFF])
def test_lengths_of_nothing_we_take_are_refused(size: int) -> None:
    with pytest.raises(MalformedPacket):
        FrameReader().feed(size.to_bytes(2, "big"))
