"""What all rooms share while media flows: forwarder, clock, counters, and what has packets to send."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Final, Protocol

import structlog

from sfu.forwarding import Forwarder
from sfu.pacing import Releases
from sfu.protocol.reception import NTP_FRACTION

log = structlog.get_logger("mediaserver.sfu")

LOG_SECONDS: Final = 1.0
"""Between two lines on faults."""
_NTP_EPOCH = 2_208_988_800
"""Seconds from 1900 to 1970."""


@dataclass(slots=True)
class SfuCounters:
    """What came of packets, since the start."""

    packets_received: int = 0
    bytes_received: int = 0
    packets_forwarded: int = 0
    received_early: int = 0
    """Media before the handshake was over."""
    received_malformed: int = 0
    """Not to be decrypted or read, or of no stream that was announced."""
    received_limited: int = 0
    """More than a peer may send in a second; dropped before decryption."""
    rtcp_malformed: int = 0
    rtcp_limited: int = 0
    """Compounds and their packets that were more than is read in a second."""
    nacks_sent: int = 0
    keyframe_requests_sent: int = 0
    retransmitted: int = 0
    transports_failed: int = 0
    flush_errors: int = 0
    """Batches that a fault kept from a consumer, or from all of a stream."""


class Flushable(Protocol):
    """A stream with packets that wait for the end of the batch."""

    def is_whole(self) -> bool:
        """Return whether it would gain nothing by waiting for more of the frame."""
        ...

    def flush(self) -> None:
        """Send them."""


@dataclass(slots=True)
class _Fault:
    """What is known of one kind of faults."""

    failures: int = 0
    logs_at: float = -inf


class MediaPlane:
    """One per process. Times are seconds of `clock`, which is monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.forwarder = Forwarder(self._flush_failed)
        self.counters = SfuCounters()
        self.releases = Releases()
        self.hold: Callable[[], None] | None = None
        """Calls `flush_all` a little later; without it nothing is held back."""
        self._waiting: list[Flushable] = []
        self._is_held = False
        self._faults: dict[str, _Fault] = {}
        self._wall = time.time() - clock() + _NTP_EPOCH

    def wait(self, stream: Flushable) -> None:
        """Flush `stream` at the end of the batch; it must not be waiting already."""
        self._waiting.append(stream)

    def flush(self) -> None:
        """Send what was gathered, but let parts of frames wait for the rest: together they cost less."""
        if not self._waiting:
            return
        if self.hold is None:
            self.flush_all()
            return
        waiting, self._waiting = self._waiting, []
        for stream in waiting:
            if stream.is_whole():
                self.guard(stream.flush)
            else:
                self._waiting.append(stream)
        if self._waiting and not self._is_held:
            self._is_held = True
            self.hold()

    def flush_all(self) -> None:
        """Send all that was gathered; what one stream raises costs the others nothing."""
        self._is_held = False
        waiting, self._waiting = self._waiting, []
        for stream in waiting:
            self.guard(stream.flush)

    def release(self) -> None:
        """Send what waited for its pace."""
        for piece, states in self.releases.take():
            self.guard(partial(piece.stream.forward_to, piece.batch, states))

    def guard(self, send: Callable[[], None]) -> None:
        """Call `send`; what it raises costs nobody else anything, and is counted."""
        try:
            send()
        except Exception as error:
            self._flush_failed(error)

    def _flush_failed(self, error: Exception) -> None:
        self.counters.flush_errors += 1
        self.note_fault("sfu_flush_failed", error)

    def note_fault(self, event: str, error: Exception) -> None:
        """Count each, but write few: a fault that stays comes with every packet, or every tick."""
        fault = self._faults.setdefault(event, _Fault())
        fault.failures += 1
        now = self.clock()
        if now >= fault.logs_at:
            fault.logs_at = now + LOG_SECONDS
            log.warning(event, failures=fault.failures, exc_info=error)

    def ntp(self, now: float) -> int:
        """Return the NTP time (32.32 fixed point) at `now`."""
        return int((self._wall + now) * NTP_FRACTION)
