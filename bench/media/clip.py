"""What a publisher sends, read once from any file, to be repeated without end.

PyAV remuxes the file to FLV in memory, so bodies are FLV tag bodies whatever the file was.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av

from bench.errors import BenchError

MAX_FILE_BYTES: Final = 512 * 1024 * 1024
FILE_HEADER_BYTES: Final = 13
TAG_HEADER_BYTES: Final = 11
PREVIOUS_TAG_SIZE_BYTES: Final = 4

AUDIO: Final = 8
VIDEO: Final = 9
SCRIPT: Final = 18

KEYFRAME: Final = 1
CODEC_AVC: Final = 7
CODEC_AAC: Final = 10
AVC_SEQUENCE_HEADER: Final = 0
AVC_END_OF_SEQUENCE: Final = 2
AVC_HEADER_BYTES: Final = 5
EX_HEADER: Final = 0x80


@dataclass(frozen=True, slots=True)
class ClipTag:
    """One FLV tag: ``kind`` is its tag type, ``timestamp`` in ms."""

    kind: int
    timestamp: int
    body: bytes

    @property
    def is_configuration(self) -> bool:
        """A sequence header or metadata: sent once, not repeated."""
        if self.kind == SCRIPT:
            return True
        if self.kind == AUDIO:
            return self.body[0] >> 4 == CODEC_AAC and self.body[1] == 0
        if self.body[0] & EX_HEADER:
            return self.body[0] & 0x0F == 0
        return self.is_avc and self.body[1] == AVC_SEQUENCE_HEADER

    @property
    def is_avc(self) -> bool:
        return self.kind == VIDEO and not self.body[0] & EX_HEADER and self.body[0] & 0x0F == CODEC_AVC

    @property
    def is_keyframe(self) -> bool:
        return self.kind == VIDEO and (self.body[0] >> 4 & 0x07) == KEYFRAME

    @property
    def ends_sequence(self) -> bool:
        return self.is_avc and self.body[1] == AVC_END_OF_SEQUENCE


@dataclass(frozen=True, slots=True)
class Clip:
    """``configuration`` opens the stream; ``tags`` begin at 0 ms and repeat every ``period`` ms."""

    configuration: tuple[ClipTag, ...]
    tags: tuple[ClipTag, ...]
    period: int

    @property
    def bits_per_second(self) -> float:
        return sum(len(tag.body) for tag in self.tags) * 8000 / self.period


def load_clip(path: Path) -> Clip:
    """Read the first video and audio of ``path``. Raises BenchError when there is nothing FLV can carry."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BenchError(f"--file {path}: larger than {MAX_FILE_BYTES} bytes")
        return make_clip(_remux(path))
    except (OSError, av.FFmpegError, ValueError) as error:
        raise BenchError(f"--file {path}: {error}") from None


def make_clip(flv: bytes) -> Clip:
    """The clip in ``flv``, from its first keyframe on. Raises BenchError when it holds no media."""
    tags = [tag for tag in parse_flv(flv) if tag.body and not tag.ends_sequence]
    configuration = tuple(tag for tag in tags if tag.is_configuration)
    media = [tag for tag in tags if not tag.is_configuration]
    if any(tag.kind == VIDEO for tag in media):
        while media and not media[0].is_keyframe:
            media.pop(0)
    if len(media) < 2:
        raise BenchError("the file holds no media to publish")
    origin = media[0].timestamp
    shifted = tuple(ClipTag(tag.kind, tag.timestamp - origin, tag.body) for tag in media)
    return Clip(configuration, shifted, _period(shifted))


def parse_flv(data: bytes) -> Iterator[ClipTag]:
    """The tags of an FLV file (Adobe FLV 10.1, annex E). Raises BenchError where it is cut off."""
    position = FILE_HEADER_BYTES
    while position < len(data):
        size = int.from_bytes(data[position + 1 : position + 4], "big")
        low, high = data[position + 4 : position + 7], data[position + 7 : position + 8]
        begin = position + TAG_HEADER_BYTES
        position = begin + size + PREVIOUS_TAG_SIZE_BYTES
        if position > len(data):
            raise BenchError("FLV data is cut off")
        kind = data[begin - TAG_HEADER_BYTES]
        yield ClipTag(kind, int.from_bytes(high + low, "big"), data[begin : begin + size])


def _period(tags: tuple[ClipTag, ...]) -> int:
    """Until one frame after the last tag, so that the repetition goes on without gap or overlap."""
    ends = []
    for kind in (AUDIO, VIDEO):
        times = [tag.timestamp for tag in tags if tag.kind == kind]
        if len(times) > 1:
            ends.append(times[-1] + (times[-1] - times[0]) / (len(times) - 1))
    return max(1, round(max(ends, default=tags[-1].timestamp + 1)))


def _remux(path: Path) -> bytes:
    buffer = io.BytesIO()
    with av.open(str(path)) as source, av.open(buffer, "w", format="flv") as sink:
        chosen = [*source.streams.video[:1], *source.streams.audio[:1]]
        if not chosen:
            raise BenchError(f"--file {path}: neither video nor audio in it")
        copies = {stream.index: sink.add_stream_from_template(stream) for stream in chosen}
        for packet in source.demux(*chosen):
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                sink.mux(packet)
    return buffer.getvalue()
