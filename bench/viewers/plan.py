"""From what the user asked for to viewers."""

from dataclasses import dataclass, replace
from enum import Enum

from bench.targets import Target
from bench.viewers.continuous import ContinuousViewer
from bench.viewers.fleet import Fleet, Viewer
from bench.viewers.flv import FlvTagReader
from bench.viewers.hls import HlsViewer
from bench.viewers.opening import HttpOpening, WebSocketOpening
from bench.viewers.probe import MediaProbe
from bench.viewers.rtmp import RtmpOpening


class Protocol(Enum):
    """How viewers watch; the value is the word on the command line."""

    FLV = "flv"
    WS_FLV = "ws-flv"
    FMP4 = "fmp4"
    TS = "ts"
    RTMP = "rtmp"
    HLS = "hls"
    LL_HLS = "ll-hls"

    @property
    def schemes(self) -> tuple[str, ...]:
        if self is Protocol.RTMP:
            return ("rtmp",)
        return ("ws", "http") if self is Protocol.WS_FLV else ("http",)

    @property
    def warm_up_seconds(self) -> float:
        """Until a new stream has what viewers find in one that runs: a keyframe, or some segments."""
        return 8.0 if self in (Protocol.HLS, Protocol.LL_HLS) else 1.0


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """``viewers`` of ``target``; every ``parse_every``-th parses fully, beginning with the first."""

    target: Target
    protocol: Protocol
    viewers: int
    parse_every: int
    connects_per_second: float

    def make_fleet(self) -> Fleet:
        viewers = [self._viewer(number % self.parse_every == 0) for number in range(self.viewers)]
        return Fleet(viewers, self.connects_per_second)

    def split(self, processes: int) -> list["FleetPlan"]:
        """The same plan as ``processes`` plans that make it up together."""
        share, rest = divmod(self.viewers, processes)
        rate = self.connects_per_second / processes
        counts = [share + (number < rest) for number in range(processes)]
        return [replace(self, viewers=n, connects_per_second=rate) for n in counts if n]

    def _viewer(self, parses: bool) -> Viewer:
        target = self.target
        probe = self._probe() if parses else None
        match self.protocol:
            case Protocol.FLV | Protocol.FMP4 | Protocol.TS:
                return ContinuousViewer(target, HttpOpening(target), probe)
            case Protocol.WS_FLV:
                return ContinuousViewer(target, WebSocketOpening(target), probe, must_unframe=True)
            case Protocol.RTMP:
                return ContinuousViewer(target, RtmpOpening(target), probe, must_unframe=True)
            case Protocol.HLS | Protocol.LL_HLS:
                return HlsViewer(target, self.protocol is Protocol.LL_HLS, probe)

    def _probe(self) -> MediaProbe:
        is_flv = self.protocol in (Protocol.FLV, Protocol.WS_FLV)
        return MediaProbe(FlvTagReader() if is_flv else None)
