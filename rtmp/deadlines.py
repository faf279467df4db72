"""When a connection has had its time: a policy without a clock."""

from enum import Enum

from rtmp.limits import RtmpLimits


class Phase(Enum):
    """What a connection is waiting for."""

    HANDSHAKE = "handshake"
    REQUEST = "publish or play"
    DECISION = "authorization"
    ACTIVE = "media"
    CLOSING = "close"


class Verdict(Enum):
    WAIT = "wait"
    PING = "ping"
    EXPIRED = "expired"


class Deadlines:
    """Judges one connection at every sweep. ``now`` is in seconds of any monotonic clock.

    Signs of life are read from two numbers at the time of the sweep, so the receiving path pays nothing.
    """

    def __init__(self, limits: RtmpLimits, now: float) -> None:
        self._limits = limits
        self._entered_at = now
        self._alive_at = now
        self._has_pinged = False
        self._bytes_received = 0
        self._write_backlog = 0
        self.phase = Phase.HANDSHAKE

    def enter(self, phase: Phase, now: float) -> None:
        self.phase = phase
        self._entered_at = now
        self._alive_at = now
        self._has_pinged = False

    def judge(self, now: float, bytes_received: int, write_backlog: int) -> Verdict:
        """``bytes_received`` in all, ``write_backlog`` now: more of the one or less of the other is life."""
        if bytes_received != self._bytes_received or write_backlog < self._write_backlog:
            self._alive_at = now
            self._has_pinged = False
        self._bytes_received = bytes_received
        self._write_backlog = write_backlog
        if self.phase is Phase.ACTIVE:
            return self._judge_silence(now - self._alive_at)
        return Verdict.EXPIRED if now - self._entered_at > self._allowance() else Verdict.WAIT

    def _allowance(self) -> float:
        match self.phase:
            case Phase.HANDSHAKE:
                return self._limits.handshake_timeout
            case Phase.REQUEST:
                return self._limits.request_timeout
            case Phase.DECISION:
                # The decision has its own timeout; this one only catches what escapes that.
                return 2 * self._limits.authorize_timeout
            case _:
                return self._limits.linger_timeout

    def _judge_silence(self, silence: float) -> Verdict:
        if silence > self._limits.idle_timeout:
            return Verdict.EXPIRED
        if silence > self._limits.idle_timeout / 2 and not self._has_pinged:
            self._has_pinged = True
            return Verdict.PING
        return Verdict.WAIT
