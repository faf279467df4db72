"""One RTMP publisher that replays a clip in real time, costing as little as it can."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from bench.publishers.replay import Frame, Replay
from bench.targets import Target
from rtmp.protocol.addressing import parse_url
from rtmp.protocol.client_session import RtmpClientSession
from rtmp.protocol.events import (
    ConnectAccepted,
    Event,
    ProtocolViolated,
    PublishStarted,
    RequestRefused,
    StreamEnded,
)

ANSWER_SECONDS: Final = 15.0
TIMER_SLACK: Final = 0.0005
"""Half the resolution of uvloop's timers: a frame due this soon is due now, or a timer of 0 would be set."""
MAX_UNSENT_BYTES: Final = 8 * 1024 * 1024
"""More unsent than this (over 30 s at 2 Mb/s) means that the server has stopped reading."""


@dataclass(slots=True)
class PublisherFigures:
    """Times in seconds; ``lateness`` is how far this process itself fell behind, not the server."""

    setup_seconds: float | None = None
    """From connecting to NetStream.Publish.Start; None when it never came."""
    bytes: int = 0
    frames: int = 0
    lateness: float = 0.0
    unsent: int = 0
    """Most bytes waiting for the server to read."""
    refusal: str | None = None
    """Why it was not accepted."""
    error: str | None = None
    """Why it ended early after it was accepted."""

    def restart(self) -> None:
        self.bytes = self.frames = self.unsent = 0
        self.lateness = 0.0


class Publisher(asyncio.Protocol):
    """``replay_for`` gives the clip's chunks for a message stream id; all publishers share the result."""

    def __init__(self, target: Target, replay_for: Callable[[int], Replay]) -> None:
        url = parse_url(target.url)
        self.figures = PublisherFigures()
        self._target = target
        self._stream_name = url.stream_name
        self._session = RtmpClientSession(url.app, url.tc_url)
        self._replay_for = replay_for
        self._transport: asyncio.Transport | None = None
        self._player: _ReplayClock | None = None
        self._connected_at = 0.0
        self._closed = asyncio.Event()

    @property
    def is_pending(self) -> bool:
        """Neither accepted nor refused yet."""
        return self.figures.setup_seconds is None and self.figures.refusal is None

    async def run(self) -> None:
        """Connect and publish until the server ends it or the task is cancelled."""
        loop = asyncio.get_running_loop()
        self._connected_at = time.monotonic()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await loop.create_connection(lambda: self, self._target.address, self._target.port)
            await self._closed.wait()
        except (OSError, TimeoutError) as error:
            self._fail(f"cannot connect: {type(error).__name__}")
        finally:
            self._closed.set()
            self._leave()

    # Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._flush()

    def data_received(self, data: bytes) -> None:
        for event in self._session.receive_data(data):
            self._on_event(event)
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail("connection lost" if error else "closed by the server")

    def _on_event(self, event: Event) -> None:
        match event:
            case ConnectAccepted():
                self._session.publish(self._stream_name)
            case PublishStarted():
                self.figures.setup_seconds = time.monotonic() - self._connected_at
                self._begin_replay()
            case RequestRefused(code=code) | StreamEnded(code=code):
                self._fail(code or "refused")
            case ProtocolViolated(error=error):
                self._fail(f"RTMP: {error}")
            case _:
                pass

    def _begin_replay(self) -> None:
        assert self._transport is not None
        self._flush()  # our chunk size counts only from after what the session still had to say
        replay = self._replay_for(self._session.message_stream_id)
        self._transport.write(replay.opening)
        self._player = _ReplayClock(replay, self._send)
        self._player.start()

    def _send(self, frame: Frame, sequence: int, lateness: float) -> None:
        transport, figures = self._transport, self.figures
        assert transport is not None
        data = frame.serialize(sequence, time.time_ns() // 1000)
        transport.write(data)
        figures.bytes += len(data)
        figures.frames += 1
        figures.lateness = max(figures.lateness, lateness)
        unsent = transport.get_write_buffer_size()
        if unsent > figures.unsent:
            figures.unsent = unsent
            if unsent > MAX_UNSENT_BYTES:
                self._fail("the server does not read")

    def _flush(self) -> None:
        data = self._session.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _fail(self, reason: str) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        if self.figures.setup_seconds is None:
            self.figures.refusal = reason
        else:
            self.figures.error = reason
        self._leave()

    def _leave(self) -> None:
        """Say goodbye, so that the server ends the stream at once."""
        if self._player is not None:
            self._player.stop()
        if self._transport is not None:
            self._session.stop()
            self._flush()
            self._transport.close()
            self._transport = None


class _ReplayClock:
    """Calls ``send`` with each frame when it is due: one timer, moved from frame to frame."""

    def __init__(self, replay: Replay, send: Callable[[Frame, int, float], None]) -> None:
        self._replay = replay
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._frames = replay.first
        self._next = 0
        self._began = 0.0
        self._stamped = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_stopped = False

    def start(self) -> None:
        self._began = self._loop.time()
        self._tick()

    def stop(self) -> None:
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        now = self._loop.time() + TIMER_SLACK
        while not self._is_stopped and (due := self._began + self._frames[self._next].at / 1000) <= now:
            frame = self._frames[self._next]
            self._advance()
            self._send(frame, self._stamped, max(0.0, now - due - TIMER_SLACK))
            self._stamped += bool(frame.tail)
        if not self._is_stopped:
            self._timer = self._loop.call_at(due, self._tick)

    def _advance(self) -> None:
        self._next += 1
        if self._next == len(self._frames):
            self._next = 0
            self._frames = self._replay.again
            self._began += self._replay.period / 1000
