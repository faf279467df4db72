"""What the hub needs of those who listen to it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from mediaserver.media.packet import MediaPacket, Track

Metadata = Mapping[str, object]


class Output(Protocol):
    """Something attached to a Stream: a broadcast, a packager, a recorder.

    Every call is synchronous, made once per event however many viewers hang on the output, and must neither
    block nor raise: an output that raises is detached and logged, so that it cannot disturb the others.
    """

    @property
    def viewer_count(self) -> int:
        """Viewers that watch through this output now; 0 for outputs that serve none."""

    def on_tracks(self, tracks: Sequence[Track], metadata: Metadata) -> None:
        """The set of tracks, a track's configuration or the metadata changed.

        Called at attach time when tracks are already known, then before the first packet of any new or
        changed track.
        """

    def on_packet(self, packet: MediaPacket) -> None:
        """One packet arrived, in the order of publishing; dts is monotonic per track."""

    def on_interrupted(self) -> None:
        """The publisher dropped; the stream may go on within the grace window, with continuous timestamps."""

    def on_end(self) -> None:
        """The stream is over; nothing follows."""
