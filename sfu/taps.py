"""Plain packets of a producer for what is not WebRTC: the bridge to the hub, recorders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sfu.header_extensions import Batch
from sfu.media_plane import MediaPlane
from sfu.packet_layers import StreamPacket
from sfu.producer_stream import ProducerStream
from sfu.protocol.rtp import RtpHeader

_NONE = -1


class PacketSink(Protocol):
    """Who gets them; called at the end of each batch, so it must not take long."""

    def on_packet(self, packet: bytes, header: RtpHeader, received_at: float) -> None:
        """Take an RTP packet as the producer numbered it: RTX undone, without duplicates, of one layer."""

    def on_sender_report(self, ntp: int, rtp_timestamp: int) -> None:
        """Take where the stream's timestamps are on the producer's clock (32.32 fixed point)."""

    def on_closed(self) -> None:
        """Take the end: the producer was closed. Not called for `Tap.close`."""


class Tap:
    """One sink at a producer."""

    def __init__(
        self, sink: PacketSink, request_keyframe: Callable[[], None], remove: Callable[[Tap], None]
    ) -> None:
        self.sink = sink
        self._request_keyframe = request_keyframe
        self._remove = remove

    def request_keyframe(self) -> None:
        """Ask the producer for a keyframe, at most once a second."""
        self._request_keyframe()

    def close(self) -> None:
        """Get no more packets; does nothing a second time."""
        self._remove(self)


class Taps:
    """All taps of a producer; of simulcast they get the highest layer that comes, changed at keyframes."""

    __slots__ = ("_plane", "_streams", "current", "taps")

    def __init__(self, streams: list[ProducerStream], plane: MediaPlane) -> None:
        self._streams = streams
        self._plane = plane
        self.current = _NONE
        self.taps: list[Tap] = []

    def add(self, tap: Tap) -> None:
        """Let `tap` have what comes from now on."""
        self.taps.append(tap)

    def remove(self, tap: Tap) -> None:
        """Forget `tap`; one that is not there is not missed."""
        if tap in self.taps:
            self.taps.remove(tap)

    def deliver(self, stream: ProducerStream, batch: Batch, now: float) -> None:
        """Hand on the packets that are of the chosen layer."""
        for packet, header, detail in zip(batch.packets, batch.headers, batch.details, strict=True):
            if stream.index != self.current and not self._chooses(stream, detail, now):
                continue
            for tap in tuple(self.taps):
                try:
                    tap.sink.on_packet(packet, header, now)
                except Exception as error:
                    self._plane.note_fault("sfu_tap_failed", error)

    def _chooses(self, stream: ProducerStream, detail: object, now: float) -> bool:
        """Return whether the taps go on with `stream` from this packet on."""
        if len(self._streams) > 1:
            better = self.current < stream.index or not self._streams[self.current].is_active(now)
            if not (isinstance(detail, StreamPacket) and detail.keyframe and better):
                return False
        self.current = stream.index
        clock = stream.clock
        if clock.known:
            self.report(stream, *clock_report(stream))
        return True

    def report(self, stream: ProducerStream, ntp: int, timestamp: int) -> None:
        """Hand a sender report on, if it is of the chosen layer."""
        if stream.index != self.current and len(self._streams) > 1:
            return
        for tap in tuple(self.taps):
            try:
                tap.sink.on_sender_report(ntp, timestamp)
            except Exception as error:
                self._plane.note_fault("sfu_tap_failed", error)

    def close(self) -> None:
        """Tell everyone of the end."""
        taps, self.taps = self.taps, []
        for tap in taps:
            try:
                tap.sink.on_closed()
            except Exception as error:
                self._plane.note_fault("sfu_tap_failed", error)


def clock_report(stream: ProducerStream) -> tuple[int, int]:
    """Return a report that says what the stream's last one said, for the newest timestamp."""
    timestamp = stream.newest_timestamp
    return int(stream.clock.time_of(timestamp) * (1 << 32)), timestamp
