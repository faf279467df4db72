"""WebRTC publishers on the hub: the program producers of a room become one publisher.

Rules:

* The newest program producer of each kind is the one that counts: who changes from camera to screen makes a
  new one before closing the old. If it closes, an older one that is still there goes on.
* A publisher takes the room over with its first packet, not with its first promise: who never gets through
  ICE and DTLS disturbs nobody.
* Sound and picture share one clock, which sender reports set; the stream's timeline, which outlives the
  publisher, says where that clock begins.
* Browsers send keyframes when asked only. They are asked for after every loss, often enough for HLS and the
  group-of-pictures cache, and at once for whoever comes to watch.
* Opus goes on as Opus. Who needs AAC takes ``transcode.aac_stream``, and who watches the AAC of an earlier
  publisher is moved there (``around_opus``).
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from mediaserver.gateways.rtp_clock import PublisherClock
from mediaserver.gateways.webrtc_ports import Producing, RoomRouter, Tapping
from mediaserver.gateways.webrtc_publication import CLOCK_RATES, AroundOpus, WebRtcPublication, unmoved
from mediaserver.gateways.webrtc_reading import PlacedFrame, ProducerReader, refusal
from mediaserver.hub.hub import Hub
from sfu.producer import LocalProducer
from sfu.protocol.parameters import Kind
from sfu.protocol.rtp import RtpHeader

TICK_SECONDS: Final = 0.1
REQUEST_SECONDS: Final = 1.0
"""Between requests that were not answered."""
logger = structlog.get_logger("mediaserver.webrtc")


@dataclass(slots=True)
class WebRtcIngestCounters:
    """Totals over all publishers, what is over included."""

    packets: int = 0
    bytes: int = 0
    lost_packets: int = 0
    dropped_frames: int = 0
    keyframe_requests: int = 0
    refused_producers: int = 0


class WebRtcIngest:
    """Watches routers for program producers. ``run`` is a task of the application."""

    def __init__(self, hub: Hub, on_ended: Callable[[str, str], None] | None = None) -> None:
        """``on_ended(room_id, reason)`` is called when the hub ends a publisher: it was replaced or kicked.

        Its producers are closed by then; whoever holds their sessions may close them too.
        """
        self.counters: Final = WebRtcIngestCounters()
        self.around_opus: AroundOpus = unmoved
        """Entered while the sound of a stream that is live becomes Opus."""
        self._hub = hub
        self._on_ended = on_ended
        self._rooms: dict[str, _RoomIngest] = {}

    def watch(self, router: RoomRouter) -> None:
        """Carry the program of ``router`` to the hub from now on, until ``forget``."""
        if router.room_id not in self._rooms:
            self._rooms[router.room_id] = _RoomIngest(
                self._hub, router, self.counters, self._on_ended, lambda stream: self.around_opus(stream)
            )

    def forget(self, room_id: str, *, is_clean: bool = False) -> None:
        """The router is closed, or closes next."""
        room = self._rooms.pop(room_id, None)
        if room is not None:
            room.close(is_clean)

    def finish(self, room_id: str) -> None:
        """The publisher says goodbye (WHIP's DELETE): the stream ends without a grace window."""
        room = self._rooms.get(room_id)
        if room is not None:
            room.finish()

    def is_publishing(self, room_id: str) -> bool:
        """Whether the room's stream comes from its router."""
        room = self._rooms.get(room_id)
        return room is not None and room.publication is not None

    @property
    def publisher_count(self) -> int:
        """Rooms whose stream comes from their router now."""
        return sum(room.publication is not None for room in self._rooms.values())

    def refusal(self, room_id: str) -> str | None:
        """Why something of the room's program is missing in HLS, FLV and RTMP; None if nothing is."""
        room = self._rooms.get(room_id)
        return room.refused if room is not None else None

    async def run(self) -> None:
        """Do what is due in all rooms, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.tick(loop.time())

    def tick(self, now: float) -> None:
        """Give up what was lost, and ask for keyframes."""
        for room in [*self._rooms.values()]:
            try:
                room.tick(now)
            except Exception:
                logger.exception("webrtc_ingest_tick_failed", room_id=room.room_id)


class _RoomIngest:
    """The program of one router. Implements ``sfu.router.RouterListener``."""

    def __init__(
        self,
        hub: Hub,
        router: RoomRouter,
        counters: WebRtcIngestCounters,
        on_ended: Callable[[str, str], None] | None,
        around_opus: AroundOpus,
    ) -> None:
        self.room_id: Final = router.room_id
        self.publication: WebRtcPublication | None = None
        self.refused: str | None = None
        self._hub = hub
        self._router = router
        self._counters = counters
        self._on_ended = on_ended
        self._around_opus = around_opus
        self._tapped: dict[Kind, _Tapped] = {}
        self._clock = PublisherClock()
        router.add_listener(self)
        for producer in router.producers.values():
            self.on_producer(producer)

    # RouterListener

    def on_producer(self, producer: Producing) -> None:
        if not _is_carried_here(producer):
            return
        reason = refusal(producer.rtp_parameters)
        if reason is not None:
            self.refused = reason
            self._counters.refused_producers += 1
            logger.warning("producer_not_carried", room_id=self.room_id, reason=reason)
            return
        self._release(producer.kind)
        if not self._tapped:
            self._clock = PublisherClock()
        reader = ProducerReader(producer.rtp_parameters, self._clock.track(CLOCK_RATES[producer.kind]))
        tapped = self._tapped[producer.kind] = _Tapped(producer, reader, self)
        tapped.tap = self._router.tap(producer.id, tapped)

    def on_producer_closed(self, producer: Producing) -> None:
        tapped = self._tapped.get(producer.kind)
        if tapped is None or tapped.producer.id != producer.id:
            self._forget_refusal()
            return
        self._release(producer.kind)
        others = [other for other in self._router.producers.values() if other.id != producer.id]
        for other in others:
            if other.kind == producer.kind and producer.kind not in self._tapped:
                self.on_producer(other)
        if not self._tapped:
            self._close_publication(is_clean=False)

    def on_producer_paused(self, producer: Producing) -> None: ...

    def on_active_speaker(self, producer_id: str | None) -> None: ...

    def on_volumes(self, volumes: Sequence[object]) -> None: ...

    # Media

    @property
    def kinds(self) -> frozenset[Kind]:
        """What the program is made of now; a camera that is off is none of it."""
        return frozenset(kind for kind, tapped in self._tapped.items() if not tapped.producer.paused)

    def deliver(self, kind: Kind, frames: Iterator[PlacedFrame]) -> None:
        """Hand on what was read. The first frame begins the publication."""
        for placed in frames:
            if kind not in self._tapped:  # ended by what the frame before led to
                return
            if self.publication is None:
                self.publication = WebRtcPublication(self._hub, self.room_id, self, self._around_opus)
            self._counters.packets += 1
            self._counters.bytes += len(placed.frame.payload)
            self.publication.add(kind, placed)

    def tick(self, now: float) -> None:
        for kind, tapped in [*self._tapped.items()]:
            self.deliver(kind, tapped.reader.expire(now))
        video = self._tapped.get("video")
        if video is None or video.producer.paused:
            return
        is_due = self.publication is not None and self.publication.is_keyframe_due(now)
        if video.reader.wants_keyframe or is_due:
            self.request_keyframe(now)

    def request_keyframe(self, now: float) -> None:
        """Ask the publisher, unless it was asked a moment ago."""
        video = self._tapped.get("video")
        if video is not None and video.request_keyframe(now):
            self._counters.keyframe_requests += 1

    # The end

    def finish(self) -> None:
        for kind in list(self._tapped):
            self._release(kind)
        self._close_publication(is_clean=True)

    def close(self, is_clean: bool) -> None:
        self._router.remove_listener(self)
        for kind in list(self._tapped):
            self._release(kind)
        self._close_publication(is_clean)

    def ended(self, reason: str) -> None:
        """The hub wants no more of it."""
        self.publication = None
        producers = [tapped.producer for tapped in self._tapped.values()]
        for kind in list(self._tapped):
            self._release(kind)
        for producer in producers:
            producer.close()
        logger.info("webrtc_publisher_ended", room_id=self.room_id, reason=reason)
        if self._on_ended is not None:
            self._on_ended(self.room_id, reason)

    def _release(self, kind: Kind) -> None:
        tapped = self._tapped.pop(kind, None)
        if tapped is not None:
            tapped.close()
            self._counters.lost_packets += tapped.reader.lost_packets
            self._counters.dropped_frames += tapped.reader.dropped_frames

    def _close_publication(self, is_clean: bool) -> None:
        publication, self.publication = self.publication, None
        if publication is not None:
            publication.closed(is_clean)

    def _forget_refusal(self) -> None:
        """Once nothing that was refused is left."""
        producers = self._router.producers.values()
        programs = (p for p in producers if _is_carried_here(p))
        self.refused = next((reason for p in programs if (reason := refusal(p.rtp_parameters))), None)


class _Tapped:
    """One producer that is read. Implements ``sfu.taps.PacketSink``."""

    def __init__(self, producer: Producing, reader: ProducerReader, room: _RoomIngest) -> None:
        self.producer: Final = producer
        self.reader: Final = reader
        self.tap: Tapping | None = None
        self._room = room
        self._kind: Kind = producer.kind
        self._requested_at = float("-inf")

    def on_packet(self, packet: bytes, header: RtpHeader, received_at: float) -> None:
        self._room.deliver(self._kind, self.reader.add(packet, header, received_at))
        if self.reader.wants_keyframe:
            self._room.request_keyframe(received_at)

    def on_sender_report(self, ntp: int, rtp_timestamp: int) -> None:
        self.reader.sender_report(ntp, rtp_timestamp)

    def on_closed(self) -> None:
        """The router's listener hears of it too."""

    def request_keyframe(self, now: float) -> bool:
        """Whether it was time to ask again."""
        if self.tap is None or now - self._requested_at < REQUEST_SECONDS:
            return False
        self._requested_at = now
        self.tap.request_keyframe()
        return True

    def close(self) -> None:
        if self.tap is not None:
            self.tap.close()


def _is_carried_here(producer: Producing) -> bool:
    """A program that does not come out of the hub itself."""
    return producer.is_program and not isinstance(producer, LocalProducer)
