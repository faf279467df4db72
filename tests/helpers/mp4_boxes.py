"""A small reader of ISO base media files (ISO 14496-12), to hold our fragments against the standard."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from struct import iter_unpack, unpack_from
from typing import Final

DEFAULT_BASE_IS_MOOF: Final = 0x020000
SAMPLE_IS_NON_SYNC: Final = 0x010000
# data-offset-present, and sample-duration, -size, -flags and -composition-time-offsets-present
RUN_FLAGS: Final = 0x000F01


@dataclass(frozen=True)
class Box:
    """``start`` is where its header stands in the data that was read."""

    kind: str
    start: int
    payload: bytes

    @property
    def version_and_flags(self) -> tuple[int, int]:
        return self.payload[0], int.from_bytes(self.payload[1:4], "big")


@dataclass(frozen=True)
class Sample:
    duration: int
    is_sync: bool
    composition_offset: int
    data: bytes


@dataclass(frozen=True)
class Run:
    """The samples of one track in one fragment; times are in the track's timescale."""

    track_number: int
    decode_time: int
    samples: tuple[Sample, ...]

    @property
    def times(self) -> list[tuple[int, int]]:
        """(dts, pts) of each sample."""
        times, dts = [], self.decode_time
        for sample in self.samples:
            times.append((dts, dts + sample.composition_offset))
            dts += sample.duration
        return times

    @property
    def end(self) -> int:
        return self.decode_time + sum(sample.duration for sample in self.samples)


@dataclass(frozen=True)
class Fragment:
    sequence_number: int
    runs: tuple[Run, ...]


def read_boxes(data: bytes) -> list[Box]:
    """The boxes that ``data`` is made of; asserts that they fill it."""
    boxes, position = [], 0
    while position < len(data):
        size, kind = unpack_from(">I4s", data, position)
        assert 8 <= size <= len(data) - position, f"size {size} of {kind} at byte {position}"
        boxes.append(Box(kind.decode("latin-1"), position, data[position + 8 : position + size]))
        position += size
    return boxes


def child(data: bytes, *path: str) -> Box:
    """The only box at ``path``."""
    found = [box for box in read_boxes(data) if box.kind == path[0]]
    assert len(found) == 1, f"{len(found)} boxes {path[0]}"
    return child(found[0].payload, *path[1:]) if len(path) > 1 else found[0]


def read_fragments(data: bytes) -> Iterator[Fragment]:
    """Each moof with its mdat; asserts what CMAF (ISO 23000-19, 7.3.2.3 and 7.5) asks of them."""
    boxes = read_boxes(data)
    for moof, mdat in pairwise(boxes):
        if moof.kind != "moof":
            continue
        assert mdat.kind == "mdat"
        header, *trafs = read_boxes(moof.payload)
        assert header.kind == "mfhd"
        body = data[moof.start : mdat.start + 8 + len(mdat.payload)]
        position = len(body) - len(mdat.payload)
        runs = []
        for traf in trafs:
            assert traf.kind == "traf"
            run, position = _read_run(traf.payload, body, position)
            runs.append(run)
        assert position == len(body), "mdat holds nothing but samples"
        yield Fragment(int.from_bytes(header.payload[4:8], "big"), tuple(runs))


def _read_run(traf: bytes, body: bytes, position: int) -> tuple[Run, int]:
    """The run of one traf whose samples stand at ``position`` of ``body``; also where they end."""
    header, decode_time, run = read_boxes(traf)
    assert [header.kind, decode_time.kind, run.kind] == ["tfhd", "tfdt", "trun"]
    assert header.version_and_flags == (0, DEFAULT_BASE_IS_MOOF)
    assert decode_time.version_and_flags == (1, 0)
    assert run.version_and_flags == (1, RUN_FLAGS)
    count, data_offset = unpack_from(">Ii", run.payload, 4)
    assert data_offset == position, "offsets count from moof"
    samples = []
    for duration, size, flags, composition_offset in iter_unpack(">IIIi", run.payload[12:]):
        data = body[position : position + size]
        samples.append(Sample(duration, not flags & SAMPLE_IS_NON_SYNC, composition_offset, data))
        position += size
    assert len(samples) == count
    [number] = unpack_from(">I", header.payload, 4)
    [time] = unpack_from(">Q", decode_time.payload, 4)
    return Run(number, time, tuple(samples)), position
