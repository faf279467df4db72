"""An FLV viewer that can be looked at while it watches."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Final

import aiohttp

from tests.helpers.encoded import decoded_frames
from tests.helpers.flv import FlvTag, read_flv
from tests.helpers.waiting import eventually

FILE_HEADER_BYTES: Final = 13
TAG_HEADER_BYTES: Final = 11
AUDIO: Final = 8
VIDEO: Final = 9
SEQUENCE_HEADER: Final = 0
KEYFRAME: Final = 0x17
"""First byte of an AVC keyframe's body, and of an AVC sequence header's."""


class FlvViewer:
    """Everything received so far; ``is_over`` once the server ended it cleanly."""

    def __init__(self) -> None:
        self.data: Final = bytearray()
        self.is_over = False
        self._whole = FILE_HEADER_BYTES

    @classmethod
    @asynccontextmanager
    async def watching(cls, url: str) -> AsyncIterator["FlvViewer"]:
        viewer = cls()
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            assert response.status == 200, await response.text()
            reading = asyncio.create_task(viewer._read(response))
            try:
                yield viewer
            finally:
                reading.cancel()
                with suppress(asyncio.CancelledError):
                    await reading

    async def _read(self, response: aiohttp.ClientResponse) -> None:
        async for data in response.content.iter_any():
            self.data.extend(data)
        self.is_over = True

    @property
    def whole(self) -> bytes:
        """What was received up to the end of the last whole tag."""
        while (end := self._next_end()) <= len(self.data):
            self._whole = end
        return bytes(self.data[: self._whole])

    @property
    def tags(self) -> list[FlvTag]:
        return read_flv(self.whole) if len(self.data) >= FILE_HEADER_BYTES else []

    async def more_pictures(self, number: int, seconds: float = 15.0) -> None:
        """Until this many more coded pictures came."""
        wanted = len(self.pictures()) + number
        await eventually(lambda: len(self.pictures()) >= wanted, seconds)

    def pictures(self) -> list[FlvTag]:
        return [tag for tag in self.tags if tag.type == VIDEO and tag.body[1] != SEQUENCE_HEADER]

    def sequence_headers(self) -> list[FlvTag]:
        """AVC and AAC sequence headers."""
        return [tag for tag in self.tags if tag.type in (VIDEO, AUDIO) and tag.body[1] == SEQUENCE_HEADER]

    def assert_decodes(self) -> None:
        """A strict decoder makes a picture of every coded picture."""
        data = self.whole
        pictures = [tag for tag in read_flv(data) if tag.type == VIDEO and tag.body[1] != SEQUENCE_HEADER]
        assert decoded_frames(data, "flv") == len(pictures)

    def assert_monotonic(self, longest_gap_ms: int) -> None:
        """Per kind, no timestamp is before the last one, and none leaps."""
        for kind in (VIDEO, AUDIO):
            stamps = [t.timestamp for t in self.tags if t.type == kind and t.body[1] != SEQUENCE_HEADER]
            gaps = [after - before for before, after in pairwise(stamps)]
            assert min(gaps) >= 0, f"{kind}: back by {min(gaps)} ms"
            assert max(gaps) <= longest_gap_ms, f"{kind}: leap of {max(gaps)} ms"

    def _next_end(self) -> int:
        if self._whole + TAG_HEADER_BYTES > len(self.data):
            return len(self.data) + 1
        size = int.from_bytes(self.data[self._whole + 1 : self._whole + 4], "big")
        return self._whole + TAG_HEADER_BYTES + size + 4
