"""The time before anything is listed.

PART-TARGET and TARGETDURATION must never change (RFC 8216bis, 4.4.3.1, 6.2.1), so the first segment is only
collected: how far apart its keyframes and its frames are decides both. A stream without a second keyframe is
given up on after the longest segment allowed.
"""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor
from statistics import fmean, median_low
from typing import Final

from mediaserver.containers.fmp4 import nominal_duration
from mediaserver.delivery.hls.options import HlsOptions
from mediaserver.media.packet import MediaPacket, Track, TrackKind

EARLY: Final = 0.25
"""Seconds before the segment target at which a keyframe is late enough to begin a segment."""
SLACK: Final = 0.35
"""Seconds by which later segments may be expected to pass the first one, those of sound above all."""
SHORTEST_TAIL: Final = 0.3
"""Seconds that the last part of a segment should have: players look for the next segment a quarter of a
second before the end of one (hls.js, maxFragLookUpTolerance), and would miss it."""
COARSE_FRAME: Final = 0.15
"""Frames longer than this fraction of PART-TARGET make it a whole number of frames."""
PACKETS_AHEAD: Final = 64
ROUNDING_ERROR: Final = 1e-6
BYTES_SHARE: Final = 4
"""The part of all bytes allowed (one in so many) at which waiting ends."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What holds for the life of a session: TARGETDURATION and PART-TARGET in seconds."""

    target_duration: int
    part_target: float


class Opening:
    """Collects packets from the first keyframe of the leading track on."""

    def __init__(self, options: HlsOptions) -> None:
        self.packets: list[MediaPacket] = []
        self.keyframe_interval: float | None = None
        """Seconds from the first keyframe to the one that began the second segment."""
        self._options = options
        self._first: float | None = None
        self._size = 0
        # Sound may be sent a little ahead of the picture it belongs to.
        self._ahead: deque[MediaPacket] = deque(maxlen=PACKETS_AHEAD)

    def add(self, packet: MediaPacket, leader: Track) -> bool:
        """Take a packet; True when it is time to begin listing."""
        at = packet.dts / packet.track.clock_rate
        is_leading = packet.track.id == leader.id
        if self._first is None:
            self._first = at
        if not self.packets and not self._begins(packet, is_leading):
            return at - self._first >= self._options.longest_segment
        self.packets.append(packet)
        self._size += len(packet.payload)
        elapsed = at - self._first
        if is_leading and packet.is_keyframe and elapsed >= self._options.segment_target - EARLY:
            self.keyframe_interval = elapsed
            return True
        is_too_large = self._size >= self._options.max_bytes // BYTES_SHARE
        return is_too_large or elapsed >= self._options.longest_segment

    def timing(self, leader: Track) -> Timing:
        """Decide, with what was seen."""
        shortest = rounded(self._options.segment_target)
        longest = max(shortest, self._options.longest_segment)
        wanted = longest
        if self.keyframe_interval is not None:
            wanted = min(max(shortest, rounded(self.keyframe_interval + SLACK)), longest)
        frame = self._frame_seconds(leader)
        # Segments of sound alone end where a part does.
        segment = self.keyframe_interval if leader.kind is TrackKind.VIDEO else None
        part_target = _part_target(frame, self._options.part_target, segment)
        return Timing(wanted, min(part_target, float(wanted)))

    def _begins(self, packet: MediaPacket, is_leading: bool) -> bool:
        """Whether the first segment begins with ``packet``."""
        if not is_leading:
            self._ahead.append(packet)
            return False
        if packet.is_keyframe:
            self._first = packet.dts / packet.track.clock_rate
            start = packet.pts / packet.track.clock_rate
            self.packets += (p for p in self._ahead if p.pts / p.track.clock_rate >= start)
        return packet.is_keyframe

    def _frame_seconds(self, leader: Track) -> float:
        """How long frames usually last: the mean, since each is rounded to milliseconds, without freezes."""
        times = [packet.dts for packet in self.packets if packet.track.id == leader.id]
        distances = [later - earlier for earlier, later in pairwise(times)]
        if not distances:
            return nominal_duration(leader) / leader.clock_rate
        usual = median_low(distances)
        return fmean(d for d in distances if usual / 2 <= d <= usual * 2) / leader.clock_rate


def rounded(seconds: float) -> int:
    """To the nearest integer, as EXTINF is compared with TARGETDURATION; at least 1."""
    return max(int(seconds + 0.5), 1)


def _part_target(frame: float, wanted: float, segment: float | None) -> float:
    """``wanted``, or somewhat more, in whole ms, where parts of that many whole frames fit better.

    They do where frames are long against a part, and where a segment would leave too short a part at its end.
    """
    is_coarse = frame > wanted * COARSE_FRAME
    frames = ceil(wanted / frame - ROUNDING_ERROR) if is_coarse else floor(wanted / frame + ROUNDING_ERROR)
    in_segment = round(segment / frame) if segment is not None else 0
    if 0 < in_segment % frames * frame < SHORTEST_TAIL:
        frames = ceil(in_segment / max(in_segment // frames, 1))
    elif not is_coarse:
        return wanted
    return ceil(frames * frame * 1000 - ROUNDING_ERROR) / 1000
