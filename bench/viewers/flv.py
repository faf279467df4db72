"""Skipping from FLV tag to FLV tag (Adobe FLV 10.1, annex E) to see timestamps, without keeping any body."""

from enum import IntEnum
from typing import Final

from bench.viewers.http1 import ResponseError

FILE_HEADER_BYTES: Final = 9
TAG_HEADER_BYTES: Final = 11
PREVIOUS_TAG_SIZE_BYTES: Final = 4
MAX_GAP_MS: Final = 500
"""A jump of one track's timestamps by more than this is a gap: longer than any frame or AAC packet lasts."""


class TagType(IntEnum):
    AUDIO = 8
    VIDEO = 9
    SCRIPT = 18


class FlvTagReader:
    """Checks the structure of an FLV stream and the timestamps in it.

    ``tags`` counts audio and video, ``gaps`` jumps forward of more than ``MAX_GAP_MS`` and any step back,
    ``last_timestamp`` is the latest of either track in ms.
    """

    __slots__ = ("_carry", "_last", "_skip", "gaps", "last_timestamp", "tags")

    def __init__(self) -> None:
        self._carry = b""
        self._skip = -1  # bytes to pass over before the next tag header; -1 before the file header
        self._last: dict[int, int] = {}
        self.last_timestamp = 0
        self.tags = 0
        self.gaps = 0

    def feed(self, data: memoryview) -> None:
        """Take the next bytes of the stream. Raises ResponseError where they are not FLV."""
        if self._skip < 0:
            data = self._read_file_header(data)
            if self._skip < 0:
                return
        elif self._carry:
            data, self._carry = memoryview(self._carry + data), b""
        position, end = self._skip, len(data)
        while position + TAG_HEADER_BYTES <= end:
            size = data[position + 1] << 16 | data[position + 2] << 8 | data[position + 3]
            self._take(data, position)
            position += TAG_HEADER_BYTES + size + PREVIOUS_TAG_SIZE_BYTES
        if position < end:
            self._carry, self._skip = bytes(data[position:]), 0
        else:
            self._skip = position - end

    def restart(self) -> None:
        """Forget what was counted; timestamps go on."""
        self.tags = self.gaps = 0

    def _read_file_header(self, data: memoryview) -> memoryview:
        begin = self._carry + bytes(data)
        if not b"FLV".startswith(begin[:3]):
            raise ResponseError(f"not FLV: begins with {begin[:3].hex()}")
        if len(begin) < FILE_HEADER_BYTES:
            self._carry = begin
            return memoryview(b"")
        self._carry = b""
        self._skip = FILE_HEADER_BYTES + PREVIOUS_TAG_SIZE_BYTES
        return memoryview(begin)

    def _take(self, data: memoryview, position: int) -> None:
        kind = data[position]
        if kind in (TagType.AUDIO, TagType.VIDEO):
            timestamp = (
                data[position + 7] << 24
                | data[position + 4] << 16
                | data[position + 5] << 8
                | data[position + 6]
            )
            last = self._last.get(kind, timestamp)
            if not 0 <= timestamp - last <= MAX_GAP_MS:
                self.gaps += 1
            self._last[kind] = timestamp
            self.last_timestamp = timestamp
            self.tags += 1
        elif kind != TagType.SCRIPT:
            raise ResponseError(f"FLV tag of type {kind}")
