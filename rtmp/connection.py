"""One client of the server: the edge between its transport, its session and the embedder.

Rules:

* Everything runs in transport callbacks, without a task; only the authorizer's decision is one.
* While it decides, reading is paused and what was parsed already waits in order.
* While the peer does not read what we write, we do not read what it writes: a flood of requests cannot make
  us pile up answers.
* The connection ends by our last word, then up to ``linger_timeout`` of discarding what still comes: closing
  a socket with unread bytes resets it, and the peer would lose the status that tells it why.
"""

import asyncio
from collections.abc import Callable
from typing import cast

import structlog

from rtmp.context import ServerContext
from rtmp.deadlines import Deadlines, Phase, Verdict
from rtmp.decisions import decide, refusal_code
from rtmp.ports import PlaybackSession, PlayGrant, Publication, PublishGrant, Refusal
from rtmp.protocol.errors import HandshakeError, LimitExceededError, ProtocolError
from rtmp.protocol.events import (
    AudioReceived,
    ClientConnected,
    Event,
    MetadataReceived,
    PlayEnded,
    PlayRequested,
    ProtocolViolated,
    PublishEnded,
    PublishRequested,
    VideoReceived,
)
from rtmp.protocol.server_session import Request, RtmpServerSession
from rtmp.protocol.session import SessionState

log = structlog.get_logger("mediaserver.rtmp")


class RtmpConnection(asyncio.Protocol):
    """Implements ``PublisherConnection`` and ``PlayerConnection`` of ``rtmp.ports``."""

    def __init__(self, context: ServerContext, loop: asyncio.AbstractEventLoop) -> None:
        self._context = context
        self._loop = loop
        self._session = RtmpServerSession(context.limits.session)
        self._deadlines = Deadlines(context.limits, loop.time())
        self._transport: asyncio.Transport | None = None
        self._address = ""
        self._encoder = ""
        self._room_id = ""
        self._message_stream_id = 0
        self._publication: Publication | None = None
        self._playback: PlaybackSession | None = None
        self._decision: asyncio.Task[None] | None = None
        self._pending: list[Event] = []
        self._pending_bytes = 0
        self._is_write_blocked = False
        self._is_closing = False

    # PublisherConnection and PlayerConnection.

    @property
    def address(self) -> str:
        return self._address

    @property
    def encoder(self) -> str:
        return self._encoder

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None, "asked for before connection_made"
        return self._transport

    @property
    def message_stream_id(self) -> int:
        return self._message_stream_id

    def close(self, code: str, description: str) -> None:
        """Send a NetStream status with ``code`` and close the connection."""
        if not self._is_closing:
            self._session.end(code, description)
            self._finish()

    def request_reconnect(self, description: str) -> bool:
        """Send ReconnectRequest if the peer announced it in capsEx; say whether."""
        if self._is_closing or not self._session.request_reconnect(description):
            return False
        self._context.counters.reconnect_requests_sent += 1
        self._flush()
        return True

    # For the server.

    @property
    def is_publishing(self) -> bool:
        return self._publication is not None

    def sweep(self, now: float) -> None:
        """Judge whether the connection has had its time."""
        backlog = self.transport.get_write_buffer_size()
        verdict = self._deadlines.judge(now, self._session.bytes_received, backlog)
        if verdict is Verdict.PING and self._session.state is SessionState.CONNECTED:
            self._session.send_ping(int(now * 1000))
            self._flush()
        elif verdict is Verdict.EXPIRED:
            self._expire()

    def abort(self) -> None:
        self.transport.abort()

    # asyncio.Protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio.Transport, so there is nothing to check.
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._address = peer[0].removeprefix("::ffff:") if peer else ""
        if not self._context.admit(self):
            self._is_closing = True
            self._warn("rtmp_connection_refused", reason="too many connections")
            self.abort()

    def data_received(self, data: bytes) -> None:
        self._context.counters.bytes_received += len(data)
        if self._is_closing:
            return
        events = self._session.receive_data(data)
        if self._decision is not None:
            self._hold(events, len(data))
        else:
            self._dispatch(events)
        self._flush()

    def pause_writing(self) -> None:
        self._is_write_blocked = True
        self._update_reading()

    def resume_writing(self) -> None:
        self._is_write_blocked = False
        self._update_reading()

    def eof_received(self) -> None:
        """The transport closes itself: RTMP has no use for a half-open connection."""

    def connection_lost(self, exc: Exception | None) -> None:
        if self._decision is not None:
            self._decision.cancel()
        if self._session.state is SessionState.HANDSHAKING and self._session.bytes_received:
            self._context.counters.handshakes_failed += 1
        self._is_closing = True
        self._session.close()
        self._release(is_clean=False)
        self._context.dismiss(self)

    # Events.

    def _dispatch(self, events: list[Event]) -> None:
        try:
            for index, event in enumerate(events):
                _HANDLERS[type(event)](self, event)
                if self._decision is not None:
                    self._hold(events[index + 1 :], 0)
                if self._decision is not None or self._is_closing:
                    return
        except ProtocolError as error:
            self._on_protocol_violated(ProtocolViolated(error))
        except Exception:
            log.exception("rtmp_connection_failed", address=self._address, room_id=self._room_id)
            self.close("NetStream.Failed", "Internal error.")
        if self._deadlines.phase is Phase.HANDSHAKE and self._session.state is not SessionState.HANDSHAKING:
            self._deadlines.enter(Phase.REQUEST, self._loop.time())

    def _hold(self, events: list[Event], size: int) -> None:
        """Keep events until the authorizer has decided."""
        self._pending += events
        self._pending_bytes += size
        limit = self._context.limits.max_pending_bytes
        if self._pending_bytes > limit:
            error = LimitExceededError(f"{limit} bytes received while the request was being decided")
            self._on_protocol_violated(ProtocolViolated(error))

    def _on_audio(self, event: AudioReceived) -> None:
        if self._publication is not None:
            self._publication.audio(event.timestamp, event.body)

    def _on_video(self, event: VideoReceived) -> None:
        if self._publication is not None:
            self._publication.video(event.timestamp, event.body)

    def _on_metadata(self, event: MetadataReceived) -> None:
        if self._publication is not None:
            self._publication.metadata(event.values)

    def _on_client_connected(self, event: ClientConnected) -> None:
        self._encoder = event.flash_version

    def _on_requested(self, event: Request) -> None:
        self._deadlines.enter(Phase.DECISION, self._loop.time())
        self._decision = self._loop.create_task(self._decide(event))
        self._context.tasks.add(self._decision)
        self._decision.add_done_callback(self._context.tasks.discard)
        self._update_reading()

    def _on_ended(self, event: PublishEnded | PlayEnded) -> None:
        self._release(is_clean=True)
        self._deadlines.enter(Phase.REQUEST, self._loop.time())

    def _on_protocol_violated(self, event: ProtocolViolated) -> None:
        counters = self._context.counters
        if isinstance(event.error, HandshakeError):
            counters.handshakes_failed += 1
        else:
            counters.protocol_errors += 1
        self._warn("rtmp_protocol_violated", error=str(event.error))
        self.close("NetStream.Publish.Failed", str(event.error))

    # The decision.

    async def _decide(self, request: Request) -> None:
        decision = await decide(self._context, request, self._address)
        self._decision = None
        if self._is_closing:
            return
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        if isinstance(decision, Refusal):
            self._refuse(request, decision)
        else:
            self._accept(request, decision)
        if not self._is_closing:
            self._dispatch(pending)
            self._flush()
            self._update_reading()

    def _refuse(self, request: Request, refusal: Refusal) -> None:
        if isinstance(request, PublishRequested):
            self._context.counters.publishers_refused += 1
            self._warn("rtmp_publish_refused", reason=refusal.reason.value)
        else:
            self._context.counters.players_refused += 1
            self._warn("rtmp_play_refused", reason=refusal.reason.value)
        self._session.refuse(request, refusal_code(request, refusal), refusal.description)
        self._session.close()
        self._finish()

    def _accept(self, request: Request, grant: PublishGrant | PlayGrant) -> None:
        if not self._session.accept(request):
            self._deadlines.enter(Phase.REQUEST, self._loop.time())
            return
        self._room_id = grant.room_id
        self._message_stream_id = request.message_stream_id
        self._deadlines.enter(Phase.ACTIVE, self._loop.time())
        # Our answer goes first: from here on a player's transport is the playback's to write to.
        self._flush()
        try:
            self._open(grant)
        except Exception:
            log.exception("rtmp_open_failed", address=self._address, room_id=self._room_id)
            self.close("NetStream.Failed", "Internal error.")

    def _open(self, grant: PublishGrant | PlayGrant) -> None:
        counters = self._context.counters
        details = {"room_id": self._room_id, "address": self._address, "encoder": self._encoder}
        if isinstance(grant, PublishGrant):
            self._publication = self._context.ingest.open(grant, self)
            counters.publishers_accepted += 1
            counters.active_publishers += 1
            log.info("rtmp_publish_started", **details)
        else:
            self._playback = self._context.playback.open(grant, self)
            counters.players_accepted += 1
            counters.active_players += 1
            log.info("rtmp_play_started", **details)

    # The end.

    def _release(self, is_clean: bool) -> None:
        """Tell the embedder, once, that its publisher or player is gone."""
        publication, self._publication = self._publication, None
        playback, self._playback = self._playback, None
        if publication is not None:
            self._context.counters.active_publishers -= 1
            log.info("rtmp_publish_ended", room_id=self._room_id, address=self._address, is_clean=is_clean)
            publication.closed(is_clean)
        if playback is not None:
            self._context.counters.active_players -= 1
            log.info("rtmp_play_ended", room_id=self._room_id, address=self._address)
            playback.closed()
        self._context.departed.set()

    def _finish(self) -> None:
        """Write what is left, let go of the embedder and discard input until the peer closes."""
        self._flush()
        self._is_closing = True
        if self._decision is not None:
            self._decision.cancel()
        self._deadlines.enter(Phase.CLOSING, self._loop.time())
        self._release(is_clean=False)
        transport = self.transport
        if transport.is_closing():
            return
        transport.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()

    def _expire(self) -> None:
        if self._is_closing:
            self.abort()
            return
        self._context.counters.timeouts += 1
        self._warn("rtmp_timed_out", waiting_for=self._deadlines.phase.value)
        if self._session.state is SessionState.HANDSHAKING:
            self.abort()
        else:
            self.close("NetStream.Failed", f"Timed out waiting for {self._deadlines.phase.value}.")

    # Small parts.

    def _flush(self) -> None:
        output = self._session.data_to_send()
        if output and not self.transport.is_closing():
            self.transport.write(output)

    def _update_reading(self) -> None:
        if self._is_closing or self.transport.is_closing():
            return
        if self._is_write_blocked or self._decision is not None:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _warn(self, event: str, **details: object) -> None:
        left_out = self._context.throttle.admit(self._address, self._loop.time())
        if left_out is not None:
            log.warning(event, address=self._address, lines_left_out=left_out, **details)


_HANDLERS: dict[type, Callable[..., None]] = {
    VideoReceived: RtmpConnection._on_video,
    AudioReceived: RtmpConnection._on_audio,
    MetadataReceived: RtmpConnection._on_metadata,
    ClientConnected: RtmpConnection._on_client_connected,
    PublishRequested: RtmpConnection._on_requested,
    PlayRequested: RtmpConnection._on_requested,
    PublishEnded: RtmpConnection._on_ended,
    PlayEnded: RtmpConnection._on_ended,
    ProtocolViolated: RtmpConnection._on_protocol_violated,
}
