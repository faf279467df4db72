"""One room's live stream: one publisher, many outputs.

Rules:

* ``publish`` is synchronous and calls each output once. There is no queue and no task per viewer here.
* An output that raises is detached and logged; the others never notice.
* Outputs that many viewers share are made by ``shared`` under a name on first demand and live until they
  are detached or the stream ends. They may change streams: ``take`` from one, ``give`` to the other.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, TypeVar, cast

import structlog

from mediaserver.hub.gop_cache import GopCache, GopCacheLimits
from mediaserver.hub.ports import Metadata, Output
from mediaserver.hub.statistics import StreamStatistics
from mediaserver.media.packet import MediaPacket, Track
from mediaserver.media.timestamps import Timeline

logger = structlog.get_logger("mediaserver.hub")

SharedOutput = TypeVar("SharedOutput", bound=Output)


class StreamState(Enum):
    STARTING = "starting"
    """A publisher is there, its tracks are not known yet."""
    LIVE = "live"
    INTERRUPTED = "interrupted"
    """The publisher dropped; the grace window runs."""
    ENDED = "ended"


class Stream:
    """Created and ended by the Hub only."""

    def __init__(self, room_id: str, limits: GopCacheLimits) -> None:
        self.room_id: Final = room_id
        self.state = StreamState.STARTING
        self.tracks: tuple[Track, ...] = ()
        self.metadata: Metadata = {}
        self.statistics: Final = StreamStatistics()
        self.timeline: Final = Timeline()
        self._gop_cache = GopCache(limits)
        self._outputs: list[Output] = []
        self._shared: dict[str, Output] = {}

    @property
    def viewer_count(self) -> int:
        return sum(output.viewer_count for output in self._outputs)

    def viewers_by_output(self) -> dict[str, int]:
        return {name: output.viewer_count for name, output in self._shared.items()}

    def publish(self, packet: MediaPacket) -> None:
        """Hand ``packet`` to every output, in order."""
        self.statistics.add(packet)
        self._gop_cache.add(packet)
        outputs = self._outputs
        try:
            for output in outputs:
                output.on_packet(packet)
        except Exception:
            self._publish_isolated(packet, output)

    def set_tracks(self, tracks: Sequence[Track], metadata: Metadata) -> None:
        """Announce new tracks, a changed configuration or changed metadata; a no-op when nothing changed."""
        new = tuple(tracks)
        if new == self.tracks and metadata == self.metadata and self.state is StreamState.LIVE:
            return
        stale = frozenset(track.id for track in self.tracks if track not in new)
        self._gop_cache.set_tracks(new, stale)
        self.tracks, self.metadata = new, metadata
        self.state = StreamState.LIVE
        self._each(lambda output: output.on_tracks(new, metadata))

    def attach(self, output: Output) -> None:
        """Add an output: it first gets the tracks and the packets since the last keyframe."""
        if self.tracks:
            output.on_tracks(self.tracks, self.metadata)
        for packet in self._gop_cache:
            output.on_packet(packet)
        self._outputs = [*self._outputs, output]

    def detach(self, output: Output) -> None:
        # A new list, so that a loop over the old one in publish() is not disturbed.
        self._outputs = [other for other in self._outputs if other is not output]
        self._shared = {name: other for name, other in self._shared.items() if other is not output}

    def shared(self, name: str, make: Callable[[], SharedOutput]) -> SharedOutput:
        """The output called ``name``, made and attached by ``make`` if there is none yet."""
        output = self._shared.get(name)
        if output is None:
            output = make()
            self.attach(output)
            self._shared[name] = output
        return cast(SharedOutput, output)

    def find_shared(self, name: str) -> Output | None:
        return self._shared.get(name)

    def take(self, name: str) -> Output | None:
        """The output called ``name``, to be given to another stream; it hears nothing of this one."""
        output = self._shared.get(name)
        if output is not None:
            self.detach(output)
        return output

    def give(self, name: str, output: Output) -> None:
        """Go on with an output from another stream: it gets the tracks, and no packet from before."""
        while name in self._shared:
            name += "+"
        if self.tracks:
            output.on_tracks(self.tracks, self.metadata)
        self._outputs = [*self._outputs, output]
        self._shared[name] = output

    def resume_timeline(self, now: float) -> None:
        """Another publisher begins at ``now`` (loop time): its media follows the last after the real gap."""
        last = self.statistics.last_received_at
        self.timeline.resume(int((now - last) * 1000) if last is not None else 0)

    def interrupt(self) -> None:
        if self.state is StreamState.LIVE:
            self.state = StreamState.INTERRUPTED
            self._each(lambda output: output.on_interrupted())

    def end(self) -> None:
        if self.state is StreamState.ENDED:
            return
        self.state = StreamState.ENDED
        self._each(lambda output: output.on_end())
        self._outputs = []
        self._shared = {}
        self._gop_cache.clear()

    def _each(self, call: Callable[[Output], None]) -> None:
        for output in self._outputs:
            try:
                call(output)
            except Exception:
                self._drop(output)

    def _publish_isolated(self, packet: MediaPacket, failed: Output) -> None:
        """Drop the output that raised and give the packet to those that came after it."""
        outputs = self._outputs
        later = outputs[outputs.index(failed) + 1 :] if failed in outputs else []
        self._drop(failed)
        for output in later:
            try:
                output.on_packet(packet)
            except Exception:
                self._drop(output)

    def _drop(self, output: Output) -> None:
        logger.exception("output_failed", room_id=self.room_id, output=type(output).__name__)
        self.detach(output)
        try:
            output.on_end()
        except Exception:
            logger.exception("output_end_failed", room_id=self.room_id, output=type(output).__name__)
