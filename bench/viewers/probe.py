"""What the viewers that parse fully look at; all others only count bytes."""

import time

from bench.media.stamps import StampScanner
from bench.viewers.figures import ViewerFigures
from bench.viewers.flv import FlvTagReader


class MediaProbe:
    """Reads stamps, and FLV timestamps where the container is FLV."""

    __slots__ = ("_stamps", "_tags")

    def __init__(self, tags: FlvTagReader | None) -> None:
        self._stamps = StampScanner()
        self._tags = tags

    def feed(self, piece: memoryview) -> None:
        """Look through the next ``piece`` of the container's bytes. Raises ResponseError for broken FLV."""
        self._stamps.feed(piece, time.time())
        if self._tags is not None:
            self._tags.feed(piece)

    def restart(self) -> None:
        self._stamps.restart()
        if self._tags is not None:
            self._tags.restart()

    def report(self, figures: ViewerFigures) -> None:
        """Put what was seen since ``restart`` into ``figures``."""
        figures.latencies = self._stamps.latencies
        figures.lost_frames = self._stamps.lost
        if self._tags is not None:
            figures.gaps = self._tags.gaps
