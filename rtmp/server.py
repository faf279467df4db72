"""The RTMP and RTMPS server: listening, sweeping, draining, stopping. Connections do the rest."""

import asyncio
import contextlib
import ssl as tls
from collections.abc import Callable

from rtmp.connection import RtmpConnection
from rtmp.context import ServerContext
from rtmp.limits import RtmpCounters, RtmpLimits
from rtmp.ports import Authorizer, Ingest, Playback

BACKLOG = 1_024
_SWEEPS_PER_TIMEOUT = 4
_MAX_SWEEP_INTERVAL = 1.0


class RtmpServer:
    """Serves RTMP on any number of addresses until closed.

    ``counters`` may be shared with whoever exports them.
    """

    def __init__(
        self,
        authorizer: Authorizer,
        ingest: Ingest,
        playback: Playback,
        limits: RtmpLimits | None = None,
        counters: RtmpCounters | None = None,
    ) -> None:
        self.counters = counters or RtmpCounters()
        self._context = ServerContext(authorizer, ingest, playback, limits or RtmpLimits(), self.counters)
        self._listeners: list[asyncio.Server] = []
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int, ssl: tls.SSLContext | None = None) -> int:
        """Listen on one more address, with TLS if ``ssl`` is given, and return the bound port.

        ``port`` 0 takes a free one. Raises OSError when the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        handshake_timeout = self._context.limits.handshake_timeout if ssl else None
        listener = await loop.create_server(
            lambda: RtmpConnection(self._context, loop),
            host,
            port,
            ssl=ssl,
            ssl_handshake_timeout=handshake_timeout,
            backlog=BACKLOG,
        )
        self._listeners.append(listener)
        if self._sweeper is None:
            self._sweeper = loop.create_task(self._sweep_forever(), name="rtmp-sweeper")
        bound_port: int = listener.sockets[0].getsockname()[1]
        return bound_port

    @property
    def is_listening(self) -> bool:
        return bool(self._listeners)

    def apply(self, limits: RtmpLimits) -> None:
        """Use other limits from now on; connections keep the sizes they began with."""
        self._context.limits = limits

    async def drain(self, grace: float) -> int:
        """Take no new connections and publishers, ask those that can to reconnect, and wait for them to go.

        Return how many publishers are left after ``grace`` seconds; ``close`` ends them.
        """
        self._context.is_draining = True
        self._stop_listening()
        for connection in tuple(self._context.connections):
            if connection.is_publishing:
                connection.request_reconnect("The server is going down.")
        await self._wait_until(lambda: self.counters.active_publishers == 0, grace)
        return self.counters.active_publishers

    async def close(self) -> None:
        """End every connection with a status, and stop. Takes ``linger_timeout`` seconds at most."""
        self._stop_listening()
        connections = self._context.connections
        for connection in tuple(connections):
            connection.close("NetConnection.Connect.AppShutdown", "The server is going down.")
        await self._wait_until(lambda: not connections, self._context.limits.linger_timeout)
        for connection in tuple(connections):
            connection.abort()
        await self._wait_until(lambda: not connections, self._context.limits.linger_timeout)
        tasks = set(self._context.tasks)
        if self._sweeper is not None:
            tasks.add(self._sweeper)
            self._sweeper = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    async def _wait_until(self, is_done: Callable[[], bool], patience: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while not is_done():
                    self._context.departed.clear()
                    await self._context.departed.wait()

    async def _sweep_forever(self) -> None:
        """Judge all connections a few times per shortest timeout: cheaper than a timer for each."""
        limits = self._context.limits
        shortest = min(
            limits.handshake_timeout, limits.request_timeout, limits.idle_timeout / 2, limits.linger_timeout
        )
        interval = min(_MAX_SWEEP_INTERVAL, shortest / _SWEEPS_PER_TIMEOUT)
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(interval)
            now = loop.time()
            for connection in tuple(self._context.connections):
                connection.sweep(now)
