"""The merged-write broadcast: one stream in one container, to any number of sockets.

Rules:

* A packet is rendered once. What came within one merge window is joined and framed once per kind of
  connection, and the SAME bytes object is written to every viewer's transport. A viewer costs no task, no
  queue, no timer and no await. For many viewers the kernel, too, is spared the copy for each (batch.py).
* A random access point (a keyframe; with audio alone, any batch) is flushed at once and begins the history.
  A newcomer gets the header and the history, so it can decode from its first byte.
* A viewer whose backlog passes the budget is written nothing until the next keyframe finds it drained; one
  that stays behind for too long is cut. Nobody else notices either. Backlogs are looked at each time that a
  quarter of the budget has been written, since looking costs nearly as much as the write call.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from mediaserver.containers.muxer import Muxer
from mediaserver.delivery.batch import Batch, batch_for
from mediaserver.delivery.framing import Framing, frame
from mediaserver.hub.gop_cache import AUDIO_ONLY_SECONDS, GopCacheLimits
from mediaserver.hub.ports import Metadata
from mediaserver.hub.stream import Stream
from mediaserver.media.packet import MediaPacket, Track, TrackKind

MINIMUM_BUDGET_BYTES: Final = 256 * 1024
"""A budget below this would call a viewer slow for the size of one keyframe."""
LOOKS_PER_BUDGET: Final = 4


@dataclass(slots=True)
class BroadcastOptions:
    """Shared by all broadcasts and changed in place by a reload.

    ``merge_window`` in seconds (0 writes every packet at once). A viewer is slow past ``slow_seconds`` of the
    stream's measured bitrate, and in any case past ``slow_bytes``; it is cut after ``close_after`` seconds of
    not draining.
    """

    merge_window: float = 0.1
    slow_seconds: float = 5.0
    slow_bytes: int = 8 * 1024 * 1024
    close_after: float = 10.0


@dataclass(slots=True)
class BroadcastCounters:
    """Figures over all broadcasts of one protocol, read by the metrics; all but ``viewers`` only rise."""

    viewers: int = 0
    bytes_sent: int = 0
    viewers_joined: int = 0
    viewers_skipped: int = 0
    viewers_cut: int = 0


class Viewer:
    """A socket that watches. ``on_end`` is called once when the broadcast is over for it."""

    __slots__ = ("allowance", "backlog", "behind_since", "framing", "on_end", "socket", "transport", "write")

    def __init__(
        self, transport: asyncio.WriteTransport, framing: Framing, on_end: Callable[[], None]
    ) -> None:
        self.transport: Final = transport
        self.framing: Final = framing
        self.on_end: Final = on_end
        self.write: Final = transport.write
        self.backlog: Final = transport.get_write_buffer_size
        self.socket: Final = _plain_socket(transport)
        # The burst sent at joining may exceed the budget without the viewer being slow.
        self.allowance = 0
        # Loop time since which a lagging viewer has not drained; None while it only waits for a keyframe.
        self.behind_since: float | None = None

    def send(self, batch: Batch) -> None:
        """Write all of ``batch``. Raises RuntimeError when uvloop's transport has closed unheard."""
        if batch.pages is None or self.socket is None or self.backlog():
            self.write(batch.data)
            return
        sent = batch.send_pages(self.socket)
        if sent < batch.size:
            self.write(memoryview(batch.data)[sent:])


@dataclass(slots=True)
class _Group:
    """The viewers of one framing. Dicts serve as ordered sets, so that leaving costs the same at any size."""

    counters: BroadcastCounters
    live: dict[Viewer, None] = field(default_factory=dict)
    lagging: dict[Viewer, None] = field(default_factory=dict)
    burst: bytes | None = None
    bytes_since_look: int = 0

    def remove(self, viewer: Viewer) -> None:
        if viewer in self.live:
            del self.live[viewer]
        elif viewer in self.lagging:
            del self.lagging[viewer]
        else:
            return
        self.counters.viewers -= 1


class Broadcast:
    """An Output of a Stream that renders with ``muxer`` and writes to its viewers."""

    def __init__(
        self,
        stream: Stream,
        muxer: Muxer,
        options: BroadcastOptions,
        counters_of: Callable[[Framing], BroadcastCounters],
        gop_cache: GopCacheLimits,
    ) -> None:
        self._stream = stream
        self._muxer = muxer
        self._options = options
        self._counters_of = counters_of
        self._gop_cache = gop_cache
        self._loop = asyncio.get_running_loop()
        self._groups: dict[Framing, _Group] = {}
        self._tracks: tuple[Track, ...] = ()
        self._primary_video: int | None = None
        self._pending: list[MediaPacket] = []
        self._timer: asyncio.TimerHandle | None = None
        self._history: deque[tuple[float, bytes]] = deque()
        self._history_bytes = 0
        self._is_history_decodable = False

    @property
    def viewer_count(self) -> int:
        return sum(len(group.live) + len(group.lagging) for group in self._groups.values())

    # Viewers

    def join(self, viewer: Viewer) -> None:
        """Write header and history to ``viewer`` and count it in from the next batch on."""
        if not self.viewer_count:
            self._flush()  # what the stream replayed at attaching belongs to the history
        group = self._groups.get(viewer.framing)
        if group is None:
            group = self._groups[viewer.framing] = _Group(self._counters_of(viewer.framing))
        if group.burst is None:
            history = b"".join(data for _, data in self._history)
            group.burst = frame(viewer.framing, self._muxer.header() + history)
        viewer.allowance = len(group.burst)
        group.counters.viewers_joined += 1
        group.counters.viewers += 1
        if self._is_history_decodable:
            group.live[viewer] = None
        else:
            group.lagging[viewer] = None
        self._write(group, viewer, group.burst)

    def leave(self, viewer: Viewer) -> None:
        """Forget ``viewer``; the last one to leave takes the broadcast off the stream."""
        group = self._groups.get(viewer.framing)
        if group is not None:
            group.remove(viewer)
        if not self.viewer_count:
            self._stop()
            self._stream.detach(self)

    def move(self, stream: Stream) -> None:
        """From now on it is an output of ``stream``, whose tracks come next."""
        self._stream = stream

    # Output

    def on_tracks(self, tracks: Sequence[Track], metadata: Metadata) -> None:
        self._flush()
        new = tuple(tracks)
        is_first, is_changed = not self._tracks, any(track not in new for track in self._tracks)
        self._tracks = new
        self._primary_video = next((t.id for t in new if t.kind is TrackKind.VIDEO), None)
        can_go_on = self._muxer.configure(new, metadata)
        if is_first or is_changed:
            self._restart_history(is_decodable=self._primary_video is None)
        if not is_first:
            self._announce_change(can_go_on, is_changed)
        self._forget_bursts()

    def on_packet(self, packet: MediaPacket) -> None:
        if packet.is_keyframe and packet.track.id == self._primary_video:
            self._flush_with_keyframe(packet)
            return
        self._pending.append(packet)
        if self._timer is None:
            if self._options.merge_window > 0:
                self._timer = self._loop.call_later(self._options.merge_window, self._flush)
            else:
                self._flush()

    def on_interrupted(self) -> None:
        self._flush()

    def on_end(self) -> None:
        self._flush()
        self._stop()
        self._finish_viewers()

    # Batches

    def _flush(self) -> None:
        self._cancel_timer()
        if not self._pending:
            return
        packets, self._pending = self._pending, []
        data = self._muxer.render(packets)
        if not data:
            return
        last = packets[-1]
        is_audio_only = self._primary_video is None
        self._append_history(last.dts / last.track.clock_rate, data)
        self._send(data, data if is_audio_only else None)

    def _flush_with_keyframe(self, keyframe: MediaPacket) -> None:
        self._cancel_timer()
        before, self._pending = self._pending, []
        earlier = self._muxer.render(before) if before else b""
        decodable = self._muxer.render([keyframe])
        self._restart_history(is_decodable=True)
        self._append_history(keyframe.dts / keyframe.track.clock_rate, decodable)
        self._send(earlier + decodable, decodable)

    def _send(self, data: bytes, decodable: bytes | None) -> None:
        """Write ``data`` to live viewers and ``decodable``, its part from the keyframe on, to who resumes."""
        budget = self._budget()
        for framing, group in self._groups.items():
            group.burst = None
            if not group.live and not group.lagging:
                continue
            framed = frame(framing, data)
            group.bytes_since_look += len(framed)
            if group.bytes_since_look * LOOKS_PER_BUDGET > budget:
                group.bytes_since_look = 0
                self._look_for_slow(group, budget)
            self._write_to_all(group, framed)
            if group.lagging:
                self._tend_lagging(framing, group, budget, decodable)

    def _write_to_all(self, group: _Group, framed: bytes) -> None:
        gone = []
        with batch_for(len(group.live), framed) as batch:
            for viewer in group.live:
                try:
                    viewer.send(batch)
                except RuntimeError:
                    # uvloop: the transport has closed, its handler has not heard of it yet.
                    gone.append(viewer)
        group.counters.bytes_sent += len(framed) * (len(group.live) - len(gone))
        for viewer in gone:
            self._lose(group, viewer)

    # History

    def _append_history(self, at: float, data: bytes) -> None:
        if not self._gop_cache.enabled:
            self._restart_history(is_decodable=self._primary_video is None)
            return
        if not self._is_history_decodable:
            return
        history = self._history
        history.append((at, data))
        self._history_bytes += len(data)
        if self._primary_video is None:
            while history[0][0] < at - AUDIO_ONLY_SECONDS:
                self._history_bytes -= len(history.popleft()[1])
        if self._history_bytes > self._gop_cache.max_bytes:
            self._restart_history(is_decodable=self._primary_video is None)

    def _restart_history(self, is_decodable: bool) -> None:
        self._history.clear()
        self._history_bytes = 0
        self._is_history_decodable = is_decodable

    def _forget_bursts(self) -> None:
        for group in self._groups.values():
            group.burst = None

    # Slow viewers

    def _budget(self) -> int:
        by_rate = int(self._stream.statistics.bytes_per_second * self._options.slow_seconds)
        return min(max(by_rate, MINIMUM_BUDGET_BYTES), self._options.slow_bytes)

    def _look_for_slow(self, group: _Group, budget: int) -> None:
        for viewer in [v for v in group.live if v.backlog() > budget]:
            if viewer.backlog() <= budget + viewer.allowance:
                continue
            viewer.allowance = 0
            viewer.behind_since = self._loop.time()
            del group.live[viewer]
            group.lagging[viewer] = None
            group.counters.viewers_skipped += 1

    def _tend_lagging(self, framing: Framing, group: _Group, budget: int, decodable: bytes | None) -> None:
        resumed = b""
        now = self._loop.time()
        for viewer in list(group.lagging):
            is_drained = viewer.backlog() <= max(budget // 2, viewer.allowance)
            if is_drained and decodable is not None:
                resumed = resumed or self._resumption(framing, decodable)
                viewer.behind_since = None
                del group.lagging[viewer]
                group.live[viewer] = None
                self._write(group, viewer, resumed)
            elif is_drained or viewer.behind_since is None:
                continue
            elif now - viewer.behind_since > self._options.close_after:
                self._cut(group, viewer)

    def _resumption(self, framing: Framing, decodable: bytes) -> bytes:
        """What a viewer gets that missed a part: sequence headers anew, then the keyframe."""
        return frame(framing, self._muxer.resumption() + decodable)

    def _write(self, group: _Group, viewer: Viewer, data: bytes) -> None:
        """What the loop of ``_send`` does, for one viewer."""
        try:
            viewer.write(data)
        except RuntimeError:
            self._lose(group, viewer)
        else:
            group.counters.bytes_sent += len(data)

    def _lose(self, group: _Group, viewer: Viewer) -> None:
        group.remove(viewer)
        viewer.on_end()

    def _cut(self, group: _Group, viewer: Viewer) -> None:
        group.counters.viewers_cut += 1
        # close() would wait for a reader that does not read.
        viewer.transport.abort()
        self._lose(group, viewer)

    # Changes and the end

    def _announce_change(self, can_go_on: bool, is_changed: bool) -> None:
        if not can_go_on:
            # Those who reconnect get a new broadcast.
            self._stop()
            self._stream.detach(self)
            self._finish_viewers()
        elif update := self._muxer.resumption():
            if not is_changed and self._history:
                self._append_history(self._history[-1][0], update)
            self._send(update, None)

    def _finish_viewers(self) -> None:
        groups, self._groups = self._groups, {}
        for group in groups.values():
            for viewer in (*group.live, *group.lagging):
                group.remove(viewer)
                viewer.on_end()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop(self) -> None:
        self._cancel_timer()
        self._pending.clear()


def _plain_socket(transport: asyncio.WriteTransport) -> socket.socket | None:
    """The TCP socket under ``transport``, unless what is written to it is encrypted on the way."""
    if transport.get_extra_info("ssl_object") is not None:
        return None
    found: socket.socket | None = transport.get_extra_info("socket")
    return found
