"""`/metrics`: everything is read from plain counters when Prometheus asks, nothing is counted twice.

Names are in base units, totals end in ``_total``, and no label ever holds a room or a user: figures per room
are the API's business.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mediaserver.chat_plane import ChatPlane
from mediaserver.delivery.hls.directory import HlsDirectory
from mediaserver.delivery.http_server import HttpServer
from mediaserver.delivery.live import LiveDelivery
from mediaserver.hub.hub import Hub
from mediaserver.hub.stream import StreamState
from mediaserver.observability.loop_lag import LoopLag
from mediaserver.webrtc_plane import WebRtcPlane
from storage.database import Database
from storage.redis_bus import BusRelay

GAUGE_PREFIXES = ("open_", "active_")

MetricSource = Callable[[], Iterable[Metric]]


class _Sources(Collector):
    def __init__(self, sources: Sequence[MetricSource]) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        for source in self._sources:
            yield from source()


def add_metrics_route(app: web.Application, sources: Sequence[MetricSource]) -> None:
    """Serve ``sources`` and the process's own figures at `/metrics`."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Sources(sources))

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.router.add_get("/metrics", metrics)


def gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"mediaserver_{name}", help_text, value=value)


def counter(name: str, help_text: str, value: float) -> Metric:
    """``name`` without ``_total``, which the exposition adds."""
    return CounterMetricFamily(f"mediaserver_{name}", help_text, value=value)


def counters_of(prefix: str, help_text: str, read: Callable[[], Any]) -> MetricSource:
    """A source from a dataclass of plain integers.

    Every field becomes ``{prefix}_{field}_total``, but for those that go up and down: they begin with
    ``open_`` or ``active_`` and become gauges.
    """

    def source() -> Iterator[Metric]:
        counters = read()
        for field in dataclasses.fields(counters):
            make = gauge if field.name.startswith(GAUGE_PREFIXES) else counter
            text = f"{help_text}: {field.name.replace('_', ' ')}."
            yield make(f"{prefix}_{field.name}", text, getattr(counters, field.name))

    return source


def database_metrics(database: Database) -> MetricSource:
    def source() -> Iterator[Metric]:
        open_connections, idle = database.connections
        yield gauge("database_connections", "Connections of the pool.", open_connections)
        yield gauge("database_connections_idle", "Connections of the pool that are idle.", idle)

    return source


def hub_metrics(hub: Hub) -> MetricSource:
    """Streams by state and the packets of those that are live now."""

    def source() -> Iterator[Metric]:
        streams = hub.streams()
        by_state = GaugeMetricFamily("mediaserver_streams", "Streams by state.", labels=["state"])
        for state in StreamState:
            by_state.add_metric([state.value], sum(stream.state is state for stream in streams))
        yield by_state
        figures = [stream.statistics.figures() for stream in streams]
        intervals = [f.keyframe_interval for f in figures if f.keyframe_interval]
        bits = sum(f.bitrate for f in figures)
        yield gauge("ingest_bytes_per_second", "Payload arriving over all live streams.", bits / 8)
        yield gauge("ingest_frames_per_second", "Video frames arriving.", sum(f.frame_rate for f in figures))
        yield gauge("gop_seconds_max", "Longest current keyframe interval.", max(intervals, default=0.0))
        skew = max((abs(f.audio_video_skew) for f in figures), default=0.0)
        yield gauge("audio_video_skew_seconds_max", "Largest distance of audio and video.", skew)

    return source


def delivery_metrics(delivery: LiveDelivery) -> MetricSource:
    """Viewers and bytes of the continuous streams, by protocol."""

    def source() -> Iterator[Metric]:
        label = ["protocol"]
        viewers = GaugeMetricFamily("mediaserver_viewers", "Viewers connected.", labels=label)
        totals = {
            "bytes_sent": CounterMetricFamily("mediaserver_delivery_bytes", "Bytes written.", labels=label),
            "viewers_joined": CounterMetricFamily("mediaserver_viewers_joined", "Viewers.", labels=label),
            "viewers_skipped": CounterMetricFamily(
                "mediaserver_viewers_skipped", "Slow viewers skipped to a keyframe.", labels=label
            ),
            "viewers_cut": CounterMetricFamily(
                "mediaserver_viewers_cut", "Viewers closed for staying behind.", labels=label
            ),
        }
        for protocol, counters in delivery.counters.items():
            viewers.add_metric([protocol], counters.viewers)
            for name, family in totals.items():
                family.add_metric([protocol], getattr(counters, name))
        yield viewers
        yield from totals.values()

    return source


def chat_metrics(chat: ChatPlane) -> MetricSource:
    def source() -> Iterator[Metric]:
        counters = chat.hub.counters
        yield gauge("chat_connections", "WebSocket connections of the chat.", chat.connection_count)
        yield gauge("chat_rooms", "Rooms that are open in the chat.", len(list(chat.hub.rooms())))
        yield gauge("chat_log_waiting", "Messages that wait to be stored.", chat.waiting)
        yield counter("chat_deliveries", "Frames written to connections of rooms.", counters.deliveries)
        yield counter("chat_bytes_sent", "Bytes written to connections of rooms.", counters.bytes_sent)
        yield counter("chat_slow_cut", "Connections closed for taking nothing.", counters.cut)
        yield counter(
            "chat_relay_dropped", "Entries that other nodes read for themselves.", chat.relay_dropped
        )

    return source


def webrtc_metrics(webrtc: WebRtcPlane) -> MetricSource:
    server = webrtc.server

    def source() -> Iterator[Metric]:
        totals = server.statistics()
        for name in ("routers", "transports", "producers", "consumers"):
            yield gauge(f"webrtc_{name}", f"WebRTC: {name} now.", getattr(totals, name))
        yield counter("webrtc_packets_sent", "WebRTC: packets that left.", totals.packets_out)
        yield counter("webrtc_bytes_sent", "WebRTC: bytes that left.", totals.bytes_out)
        yield counter("webrtc_packets_dropped", "WebRTC: packets the kernel did not take.", totals.dropped)
        yield gauge("webrtc_refused_streams", "Streams that WebRTC cannot show.", len(webrtc.play.refusals()))

    return source


def bus_metrics(relay: BusRelay | None) -> MetricSource:
    """``relay`` is None on a node that is alone, which loses nothing."""

    def source() -> Iterator[Metric]:
        dropped = relay.dropped if relay is not None else 0
        yield counter("bus_events_dropped", "Events that other nodes never heard of.", dropped)

    return source


def http_metrics(server: HttpServer) -> MetricSource:
    def source() -> Iterator[Metric]:
        yield gauge("http_connections", "HTTP connections that are open.", server.connection_count)

    return source


def hls_metrics(directory: HlsDirectory) -> MetricSource:
    """Viewers are an estimate by who asked for a playlist lately."""

    def source() -> Iterator[Metric]:
        packagers = directory.packagers()
        renditions = [r for packager in packagers for r in packager.renditions.values()]
        viewers = sum(packager.viewer_count for packager in packagers)
        latency = max((r.part_latency for r in renditions), default=0.0)
        yield gauge("hls_viewers", "Viewers over HLS, estimated.", viewers)
        yield gauge("hls_kept_bytes", "Segments kept in memory.", sum(r.kept_bytes for r in renditions))
        yield gauge("hls_part_latency_seconds_max", "From a part's first sample to its listing.", latency)

    return source


def loop_metrics(lag: LoopLag) -> MetricSource:
    def source() -> Iterator[Metric]:
        yield gauge("event_loop_lag_seconds", "How late the event loop was last.", lag.last)
        yield gauge("event_loop_lag_seconds_max", "The latest it was within a minute.", lag.maximum)
        yield gauge("asyncio_tasks", "Tasks of the event loop that are not done.", len(asyncio.all_tasks()))

    return source
