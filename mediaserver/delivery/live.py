"""What all doors with continuous streams share: the hub, one set of options, counters per protocol."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from mediaserver.containers.muxer import Muxer
from mediaserver.delivery.broadcast import Broadcast, BroadcastCounters, BroadcastOptions
from mediaserver.delivery.framing import Framing
from mediaserver.hub.gop_cache import GopCacheLimits
from mediaserver.hub.hub import Hub
from mediaserver.hub.stream import Stream
from mediaserver.playback_sessions import PlaybackSessions

AAC_PROTOCOLS: Final = frozenset(("flv", "ts", "rtmp"))
"""Whose players seldom know Opus."""


def unchanged(stream: Stream) -> Stream:
    """For streams whose encoder chose what players get."""
    return stream


@dataclass(slots=True)
class LiveDelivery:
    """``max_viewers`` bounds the viewers of all protocols together; ``sessions`` are who they are.

    ``as_aac`` gives the stream that players see who know no Opus: the same, or one beside it.
    """

    hub: Hub
    options: BroadcastOptions
    gop_cache: GopCacheLimits
    max_viewers: int = 100_000
    counters: dict[str, BroadcastCounters] = field(default_factory=dict)
    sessions: PlaybackSessions = field(default_factory=PlaybackSessions)
    as_aac: Callable[[Stream], Stream] = unchanged

    @property
    def viewers(self) -> int:
        return sum(counters.viewers for counters in self.counters.values())

    @property
    def is_full(self) -> bool:
        return self.viewers >= self.max_viewers

    def broadcast(
        self, stream: Stream, name: str, make_muxer: Callable[[], Muxer], protocol: str
    ) -> Broadcast:
        """The stream's broadcast called ``name``, started on first demand.

        ``protocol`` names its counters; viewers over WebSocket count as ``ws-`` and that name.
        """

        def counters_of(framing: Framing) -> BroadcastCounters:
            counted_as = f"ws-{protocol}" if framing is Framing.WEBSOCKET else protocol
            return self.counters.setdefault(counted_as, BroadcastCounters())

        shown = self.as_aac(stream) if protocol in AAC_PROTOCOLS else stream
        return shown.shared(
            name, lambda: Broadcast(shown, make_muxer(), self.options, counters_of, self.gop_cache)
        )

    @contextmanager
    def moving(self, stream: Stream) -> Iterator[None]:
        """Within the block, ``stream`` becomes one whose sound players may not know.

        Broadcasts for such players, and all who watch them, go over to what ``as_aac`` then says.
        """
        names = [name for name in stream.viewers_by_output() if name.partition("-")[0] in AAC_PROTOCOLS]
        taken = {name: stream.take(name) for name in names}
        try:
            yield
        finally:
            shown = self.as_aac(stream) if taken else stream
            for name, output in taken.items():
                if isinstance(output, Broadcast):
                    output.move(shown)
                    shown.give(name, output)
