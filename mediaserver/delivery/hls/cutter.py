"""Cutting the samples of one track into parts.

Rules (RFC 8216bis, 4.4.4.9):

* No part is longer than PART-TARGET, and a part of video is no shorter than 85 % of it, unless it ends its
  segment or media is missing behind it. A part of audio is independent, so it may be shorter.
* A part is closed by the sample behind it, so its duration is the true distance between two decode times.
* Where no whole number of frames makes a part long enough, the next frame is decoded earlier: its decode
  time moves to where the part has to end, its presentation time stays. A later frame catches up.
* A hole longer than that can bridge is listed as gaps. So the durations of parts and gaps always add up to
  the distance of decode times, and nothing drifts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from mediaserver.containers.fmp4 import nominal_duration
from mediaserver.media.packet import MediaPacket, Track, TrackKind

SHORTEST_PART: Final = 0.85
"""Of PART-TARGET."""
JITTER: Final = 0.002
"""Seconds by which rounding to milliseconds may make a frame seem longer than it is."""


@dataclass(frozen=True, slots=True)
class Run:
    """The samples of one part, or none for a gap. ``start`` and ``duration`` in ticks of the track."""

    packets: Sequence[MediaPacket]
    start: int
    duration: int

    @property
    def last_duration(self) -> int:
        """How long the last sample lasts."""
        return self.start + self.duration - self.packets[-1].dts

    @property
    def is_independent(self) -> bool:
        """Whether an independent frame is in it."""
        return any(packet.is_keyframe for packet in self.packets)


MAX_PART_SAMPLES: Final = 1024
MAX_PART_BYTES: Final = 16 * 1024 * 1024


class PartCutter:
    """Fed with the packets of ``track`` in decode order; gives back the parts that each one completes."""

    def __init__(self, track: Track, part_target: float) -> None:
        self._is_audio = track.kind is TrackKind.AUDIO
        self._target = int(part_target * track.clock_rate)
        self._shortest = 1 if self._is_audio else ceil(SHORTEST_PART * part_target * track.clock_rate)
        self._jitter = int(JITTER * track.clock_rate)
        self._pending: list[MediaPacket] = []
        self._pending_bytes = 0
        self._position: int | None = None
        self._usual = nominal_duration(track)

    @property
    def pending(self) -> Sequence[MediaPacket]:
        """The samples of the part that is being filled."""
        return self._pending

    @property
    def position(self) -> int | None:
        """The decode time up to which everything is cut; None before the first sample."""
        return self._position

    @property
    def start(self) -> int | None:
        """The decode time at which the part that is being filled begins; None if nothing is pending."""
        return self._pending[0].dts if self._pending else None

    @property
    def usual_duration(self) -> int:
        """Ticks from one sample to the next, as seen last."""
        return self._usual

    def add(self, packet: MediaPacket, ends_segment: bool = False) -> list[Run]:
        """Take a sample; the runs that end in front of it, which is everything if it ``ends_segment``."""
        if self._pending:
            runs = self._end_overdue(packet.dts)
        elif self._position is not None and packet.dts < self._position and self._is_audio:
            return []  # too late: its time is listed as missing already
        else:
            runs = self._begin(packet.dts)
        packet = self._placed(packet)
        if self._pending and (ends_segment or self.is_full(packet)):
            runs.append(self._cut(len(self._pending), packet.dts))
        self._pending.append(packet)
        self._pending_bytes += len(packet.payload)
        return runs

    def split(self, at: int, shortest: int) -> Run | None:
        """End the part in front of the first pending sample presented at ``at`` or later.

        None if none is that late, or if the part would be shorter than ``shortest`` ticks.
        """
        index = next((n for n, packet in enumerate(self._pending) if packet.pts >= at), 0)
        until = self._pending[index].dts if index else 0
        return self._cut(index, until) if index and until - self._pending[0].dts >= shortest else None

    def finish(self) -> Run | None:
        """End the part with what there is; the last sample is given its usual duration."""
        if not self._pending:
            return None
        end = min(self._pending[-1].dts + self._usual, self._pending[0].dts + self._target)
        return self._cut(len(self._pending), end)

    def gap(self, start: int, until: int) -> list[Run]:
        """Runs without media up to ``until``, from the position or, if there is none yet, from ``start``."""
        return list(self._gap(start if self._position is None else self._position, until))

    def _begin(self, dts: int) -> list[Run]:
        """With nothing pending: list what is missing in front of ``dts``."""
        if self._position is None:
            self._position = dts
        return list(self._gap(self._position, dts))

    def _end_overdue(self, dts: int) -> list[Run]:
        """End what cannot last until ``dts``."""
        runs: list[Run] = []
        while dts - self._pending[0].dts > self._target:
            last = self._pending[-1]
            if last.dts - self._pending[0].dts < self._shortest:
                return runs + self._bridge(dts)
            runs.append(self._cut(len(self._pending) - 1, last.dts))
        return runs

    def _bridge(self, until: int) -> list[Run]:
        """End the part whose last sample lasts too long, and list as missing what cannot be bridged."""
        end = self._pending[0].dts + self._target
        if self._is_audio:
            end = min(end, self._pending[-1].dts + self._usual)
        run = self._cut(len(self._pending), end)
        if until - end <= self._target and not self._is_audio:
            return [run]
        return [run, *self._gap(end, until)]

    def _gap(self, start: int, until: int) -> Iterator[Run]:
        while start < until:
            duration = min(self._target, until - start)
            yield Run((), start, duration)
            start += duration
            self._position = start

    def _placed(self, packet: MediaPacket) -> MediaPacket:
        """``packet`` with the decode time it is given: as told, unless the one before it was moved."""
        if not self._pending:
            position = self._position
            return packet if position is None or position == packet.dts else _moved(packet, position)
        previous = self._pending[-1].dts
        if packet.dts <= previous:
            return _moved(packet, previous + 1)
        self._usual = packet.dts - previous
        return packet

    def is_full(self, packet: MediaPacket) -> bool:
        """Whether the part ends in front of ``packet``: whole frames do not fill it any better."""
        if not self._pending:
            return False
        if len(self._pending) >= MAX_PART_SAMPLES or self._pending_bytes >= MAX_PART_BYTES:
            return True  # a clock that stands still must not fill the memory
        elapsed = packet.dts - self._pending[0].dts
        if elapsed < self._shortest:
            return False
        is_picture_start = packet.is_keyframe and not self._is_audio
        is_last_that_fits = elapsed + self._usual > self._target + self._jitter
        return is_picture_start or is_last_that_fits or elapsed >= self._target

    def _cut(self, count: int, end: int) -> Run:
        start = self._pending[0].dts
        packets, self._pending = self._pending[:count], self._pending[count:]
        self._pending_bytes = sum(len(packet.payload) for packet in self._pending)
        self._position = end
        return Run(packets, start, end - start)


def _moved(packet: MediaPacket, dts: int) -> MediaPacket:
    return MediaPacket(packet.track, dts, packet.pts, packet.is_keyframe, packet.payload, packet.received_at)
