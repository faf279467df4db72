"""When to ask a producer for a keyframe (PLI, RFC 4585 6.3.1): merged, at most once a second, retried."""

from __future__ import annotations

INTERVAL = 1.0
"""A keyframe costs the producer a burst; consumers that join in between share the next one."""
MAX_ATTEMPTS = 8
"""A producer that ignored this many requests in a row answers no more; a new wish starts over."""

NEVER = float("inf")


class _Stream:
    """The wishes for one stream."""

    __slots__ = ("attempts", "sent_at", "wanted")

    def __init__(self) -> None:
        self.sent_at = -NEVER
        self.attempts = 0
        self.wanted = False


class KeyframeRequests:
    """The keyframes wanted from the streams of one producer; the SSRCs are what PLIs name."""

    __slots__ = ("_interval", "_streams")

    def __init__(self, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._streams: dict[int, _Stream] = {}

    def request(self, ssrc: int, now: float) -> bool:
        """Want a keyframe; return whether to send the PLI now. Otherwise `due` names it in time."""
        stream = self._streams.get(ssrc)
        if stream is None:
            stream = self._streams[ssrc] = _Stream()
        stream.wanted = True
        stream.attempts = 0
        if now < stream.sent_at + self._interval:
            return False
        return self._send(stream, now)

    def received(self, ssrc: int) -> None:
        """A keyframe came: everyone who waited for it is served."""
        stream = self._streams.get(ssrc)
        if stream is not None:
            stream.wanted = False

    def remove(self, ssrc: int) -> None:
        """Forget a stream that ended."""
        self._streams.pop(ssrc, None)

    def due(self, now: float) -> list[int]:
        """Return the SSRCs to send a PLI for: wishes that were put off, and PLIs without an answer."""
        return [
            ssrc
            for ssrc, stream in self._streams.items()
            if stream.wanted and now >= stream.sent_at + self._interval and self._send(stream, now)
        ]

    @property
    def deadline(self) -> float:
        """When `due` has something to say, infinity if nothing is wanted."""
        waiting = (stream.sent_at for stream in self._streams.values() if stream.wanted)
        return min(waiting, default=NEVER) + self._interval

    def _send(self, stream: _Stream, now: float) -> bool:
        if stream.attempts >= MAX_ATTEMPTS:
            stream.wanted = False
            return False
        stream.attempts += 1
        stream.sent_at = now
        return True
