import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.viewers.flv import FlvTagReader
from bench.viewers.http1 import ResponseError
from tests.bench.flv_bytes import FILE_HEADER, audio_body, configuration, flv, tag


def read(data: bytes, sizes: list[int] | None = None) -> FlvTagReader:
    reader, position = FlvTagReader(), 0
    for size in [*(sizes or []), len(data)]:
        if data[position : position + size]:
            reader.feed(memoryview(data[position : position + size]))
        position += size
    return reader


@given(st.lists(st.integers(1, 100), max_size=80))
def test_tags_are_found_however_the_stream_is_cut(sizes):
    reader = read(flv(frames=10, interval=40), sizes)
    assert (reader.tags, reader.gaps, reader.last_timestamp) == (22, 0, 370)


@pytest.mark.parametrize(("times", "gaps"), [([0, 400, 800], 0), ([0, 600], 1), ([40, 0], 1), ([0, 0], 0)])
def test_jumps_of_the_timestamps_are_gaps(times, gaps):
    assert read(FILE_HEADER + b"".join(tag(8, at, audio_body()) for at in times)).gaps == gaps


def test_tracks_are_apart_and_metadata_has_no_time():
    data = FILE_HEADER + tag(18, 9000, b"\x02") + tag(8, 0, audio_body()) + tag(9, 5000, b"\x27\x01")
    assert read(data).gaps == 0


def test_counting_begins_anew_but_timestamps_go_on():
    reader = read(FILE_HEADER + configuration())
    reader.restart()
    reader.feed(memoryview(tag(8, 10_000, audio_body())))
    assert (reader.tags, reader.gaps) == (1, 1)


@pytest.mark.parametrize(
    ("data", "complaint"), [(b"GIF89a", "not FLV"), (FILE_HEADER + tag(7, 0, b"x"), "FLV tag of type 7")]
)
def test_what_is_not_flv_is_refused(data, complaint):
    with pytest.raises(ResponseError, match=complaint):
        read(data)
