"""Which segments of a rendition are listed, and which can still be fetched.

Rules (RFC 8216bis, 6.2.2):

* A playlist never gets shorter than three target durations by removing segments.
* A segment stays fetchable after it was removed for as long as it and the longest playlist with it last.
* Bytes are bounded whatever the standard says: ``shrink`` gives up the oldest, listed or not.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final

from mediaserver.delivery.hls.segments import MediaStore, Segment

TARGET_DURATIONS_LISTED: Final = 3


class SegmentWindow:
    """The complete segments of one rendition, oldest first."""

    def __init__(self, store: MediaStore, playlist_segments: int, target_duration: int) -> None:
        self.listed: Final[deque[Segment]] = deque()
        self.removed_discontinuities = 0
        self.peak_bitrate = 0.0
        self._store = store
        self._playlist_segments = playlist_segments
        self._shortest = TARGET_DURATIONS_LISTED * target_duration
        self._duration = 0.0
        self._longest = 0.0
        self._ended = 0.0
        # What is no longer listed, each with the media time up to which it has to stay.
        self._unlisted: deque[tuple[float, Segment]] = deque()

    @property
    def size(self) -> int:
        """Bytes of everything that can be fetched."""
        return sum(segment.size for segment in self)

    @property
    def average_bitrate(self) -> float:
        """Over what is listed, in bit/s."""
        return sum(segment.size for segment in self.listed) * 8 / self._duration if self._duration else 0.0

    @property
    def frame_rate(self) -> float:
        """Samples per second over what is listed."""
        return sum(segment.samples for segment in self.listed) / self._duration if self._duration else 0.0

    def __iter__(self) -> Iterator[Segment]:
        """Everything that can be fetched."""
        for _, segment in self._unlisted:
            yield segment
        yield from self.listed

    def append(self, segment: Segment) -> None:
        """List a segment that is complete, remove and forget what is due."""
        self.listed.append(segment)
        self._duration += segment.duration
        self._ended += segment.duration
        self._longest = max(self._longest, self._duration)
        self.peak_bitrate = max(self.peak_bitrate, segment.bitrate)
        while len(self.listed) > self._playlist_segments and self._may_unlist():
            self._unlist()
        while self._unlisted and self._unlisted[0][0] < self._ended:
            self._store.remove(self._unlisted.popleft()[1])

    def shrink(self) -> bool:
        """Forget the oldest segment; False if there is none."""
        if not self._unlisted:
            if not self.listed:
                return False
            self._unlist()
        self._store.remove(self._unlisted.popleft()[1])
        return True

    def _may_unlist(self) -> bool:
        return self._duration - self.listed[0].duration >= self._shortest

    def _unlist(self) -> None:
        segment = self.listed.popleft()
        self._duration -= segment.duration
        self.removed_discontinuities += segment.is_discontinuous
        self._unlisted.append((self._ended + segment.duration + self._longest, segment))
