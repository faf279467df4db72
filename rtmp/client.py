"""An RTMP client on asyncio: publish to any server or play from one.

::

    async with await RtmpClient.connect("rtmp://host/live/key") as client:
        await client.publish()
        client.write_video(timestamp, body)
        await client.drain()

    async with await RtmpClient.connect("rtmp://host/live/room") as client:
        async for message in client.play():
            ...
"""

import asyncio
import contextlib
import ssl as tls
from collections import deque
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Self, cast

from rtmp.protocol.addressing import RtmpUrl, parse_url
from rtmp.protocol.client_session import ClientActivity, RtmpClientSession
from rtmp.protocol.errors import ConnectionLostError, RequestRefusedError, RtmpError
from rtmp.protocol.events import (
    AudioReceived,
    ConnectAccepted,
    Event,
    MetadataReceived,
    PlayStarted,
    ProtocolViolated,
    PublishStarted,
    ReconnectRequested,
    RequestRefused,
    StreamEnded,
    VideoReceived,
)

PlayedMessage = AudioReceived | VideoReceived | MetadataReceived

MAX_QUEUED_BYTES = 4 * 1024 * 1024
"""Media received and not yet taken from ``play``; beyond it reading stops until half is taken."""
_MESSAGE_OVERHEAD = 1_024
"""Counted for each queued message on top of its body."""
_FAREWELL_TIMEOUT = 1.0
"""Seconds to wait for a server's answer to our goodbye; not every server gives one."""


class RtmpClient(asyncio.Protocol):
    """One connection to a server; get it from ``connect``. Every wait has an end.

    All methods raise RequestRefusedError when the server has refused or ended what was asked for,
    ConnectionLostError when the connection is gone, and ProtocolError when the server broke the protocol.
    """

    def __init__(self, url: RtmpUrl, timeout: float, idle_timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._url = url
        self._timeout = timeout
        self._idle_timeout = idle_timeout
        self._session = RtmpClientSession(url.app, url.tc_url)
        self._transport: asyncio.Transport | None = None
        self._error: RtmpError | None = None
        self._changed = asyncio.Event()
        self._is_connected = False
        self._is_write_blocked = False
        self._is_read_paused = False
        self._is_lost = False
        self._queue: deque[PlayedMessage] = deque()
        self._queued_bytes = 0
        self.reconnect_request: ReconnectRequested | None = None
        """Set when the server asks us to connect anew; the connection goes on working meanwhile."""

    @classmethod
    async def connect(
        cls,
        url: str,
        ssl: tls.SSLContext | None = None,
        timeout: float = 10.0,  # noqa: ASYNC109  (also bounds later waits)
        idle_timeout: float = 30.0,
    ) -> Self:
        """Connect to the server and application of ``rtmp[s]://host[:port]/app/name[?query]``.

        The server has ``timeout`` seconds for each answer; while media flows it may be silent, or read
        nothing, for ``idle_timeout`` seconds. ``ssl`` replaces the default context of rtmps. Raises
        ValueError for an address that is none, and OSError when nobody listens there.
        """
        parts = parse_url(url)
        context = (ssl or tls.create_default_context()) if parts.is_tls else None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                _, client = await loop.create_connection(
                    lambda: cls(parts, timeout, idle_timeout), parts.host, parts.port, ssl=context
                )
        except TimeoutError:
            raise ConnectionLostError(f"no connection to {parts.host}:{parts.port} in {timeout} s") from None
        try:
            await client._wait_until_connected()
        except BaseException:
            client.abort()
            raise
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def bytes_received(self) -> int:
        return self._session.bytes_received

    # Publishing.

    async def publish(self, stream_name: str | None = None) -> None:
        """Start publishing under ``stream_name``, by default the one in the address."""
        self._raise_if_broken()
        self._session.publish(self._url.stream_name if stream_name is None else stream_name)
        self._flush()
        await self._wait_for_activity(ClientActivity.PUBLISHING)

    def write_audio(self, timestamp: int, body: bytes) -> None:
        """Send the body of an FLV audio tag; ``timestamp`` in ms."""
        self._raise_if_broken()
        self._session.send_audio(timestamp, body)
        self._flush()

    def write_video(self, timestamp: int, body: bytes) -> None:
        """Send the body of an FLV video tag; ``timestamp`` in ms."""
        self._raise_if_broken()
        self._session.send_video(timestamp, body)
        self._flush()

    def write_metadata(self, timestamp: int, values: Mapping[str, object]) -> None:
        """Send onMetaData."""
        self._raise_if_broken()
        self._session.send_metadata(timestamp, values)
        self._flush()

    async def drain(self) -> None:
        """Wait until the server has read enough of what was written."""
        while self._is_write_blocked:
            self._raise_if_broken()
            await self._wait_for_change(self._idle_timeout)
        self._raise_if_broken()

    # Playing.

    async def play(self, stream_name: str | None = None) -> AsyncIterator[PlayedMessage]:
        """Play ``stream_name``, by default the one in the address, until the server says it is over."""
        self._raise_if_broken()
        self._session.play(self._url.stream_name if stream_name is None else stream_name)
        self._flush()
        await self._wait_for_activity(ClientActivity.PLAYING)
        while True:
            while self._queue:
                yield self._take()
            if self._session.activity is ClientActivity.ENDED and self._error is None:
                return
            self._raise_if_broken()
            await self._wait_for_change(self._idle_timeout)

    def _take(self) -> PlayedMessage:
        message = self._queue.popleft()
        self._queued_bytes -= _size(message)
        if self._is_read_paused and self._queued_bytes <= MAX_QUEUED_BYTES // 2:
            self._is_read_paused = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()
        return message

    # Closing.

    async def close(self) -> None:
        """Say goodbye and close the connection; safe to call at any time, also twice."""
        transport = self._transport
        if transport is None or self._is_lost:
            return
        was_publishing = self._session.activity is ClientActivity.PUBLISHING
        self._session.stop()
        self._flush()
        with contextlib.suppress(TimeoutError, RtmpError):
            async with asyncio.timeout(min(_FAREWELL_TIMEOUT, self._timeout)):
                while was_publishing and self._session.activity is ClientActivity.PUBLISHING:
                    self._raise_if_broken()
                    await self._wait_for_change(self._timeout)
        transport.close()
        with contextlib.suppress(RtmpError):
            while not self._is_lost:
                await self._wait_for_change(self._timeout)
        self.abort()

    def abort(self) -> None:
        """Cut the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio.Transport, so there is nothing to check.
        self._transport = cast(asyncio.Transport, transport)
        self._flush()

    def data_received(self, data: bytes) -> None:
        for event in self._session.receive_data(data):
            self._on_event(event)
        self._flush()
        self._changed.set()

    def pause_writing(self) -> None:
        self._is_write_blocked = True

    def resume_writing(self) -> None:
        self._is_write_blocked = False
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._fail(ConnectionLostError(f"the connection is gone: {exc or 'closed by the server'}"))

    # Events.

    def _on_event(self, event: Event) -> None:
        match event:
            case AudioReceived() | VideoReceived() | MetadataReceived():
                self._enqueue(event)
            case ConnectAccepted():
                self._is_connected = True
            case RequestRefused(code, description):
                self._fail(RequestRefusedError(code, description))
            case ReconnectRequested():
                self.reconnect_request = event
            case ProtocolViolated(error):
                self._fail(error)
                self.abort()
            case PublishStarted() | PlayStarted() | StreamEnded():
                """The session's activity tells."""

    def _enqueue(self, message: PlayedMessage) -> None:
        self._queue.append(message)
        self._queued_bytes += _size(message)
        if self._queued_bytes > MAX_QUEUED_BYTES and not self._is_read_paused and self._transport is not None:
            self._is_read_paused = True
            self._transport.pause_reading()

    # Waiting.

    async def _wait_until_connected(self) -> None:
        while not self._is_connected:
            self._raise_if_broken()
            await self._wait_for_change(self._timeout)

    async def _wait_for_activity(self, activity: ClientActivity) -> None:
        while self._session.activity is not activity:
            self._raise_if_broken()
            if self._session.activity is ClientActivity.ENDED:
                raise RequestRefusedError("NetStream.Failed", "the server ended the stream before it began")
            await self._wait_for_change(self._timeout)

    async def _wait_for_change(self, patience: float) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(patience):
                await self._changed.wait()
        except TimeoutError:
            raise ConnectionLostError(f"the server did nothing for {patience} s") from None

    def _fail(self, error: RtmpError) -> None:
        """Remember the first thing that went wrong, for whoever waits or writes next."""
        if self._error is None:
            self._error = error
        self._changed.set()

    def _raise_if_broken(self) -> None:
        if self._error is not None:
            raise self._error

    def _flush(self) -> None:
        output = self._session.data_to_send()
        if output and self._transport is not None and not self._transport.is_closing():
            self._transport.write(output)


def _size(message: PlayedMessage) -> int:
    return _MESSAGE_OVERHEAD + (0 if isinstance(message, MetadataReceived) else len(message.body))
