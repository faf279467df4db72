"""Listening for HTTP, and closing connections that never say anything or never take anything.

aiohttp bounds the time between requests but neither the time to the first one nor the time a peer may leave
an answer unread; thousands of such connections would stay for ever. One sweep over all of them does it,
without a timer per connection.
"""

import asyncio
import socket
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestHandler

from mediaserver.delivery.http_app import Handler, with_readable_expectation

FIRST_REQUEST_SECONDS: Final = 15.0
STALLED_SECONDS: Final = 30.0
KEEPALIVE_SECONDS: Final = 75.0
SHUTDOWN_SECONDS: Final = 2.0
SWEEP_SECONDS: Final = 5.0
LISTEN_BACKLOG: Final = 4096

logger = structlog.get_logger("mediaserver.http")


class HttpServer:
    """One application on one address. ``run_sweeps`` is a task of whoever starts the server."""

    def __init__(
        self,
        app: web.Application,
        first_request_seconds: float = FIRST_REQUEST_SECONDS,
        stalled_seconds: float = STALLED_SECONDS,
        shutdown_seconds: float = SHUTDOWN_SECONDS,
    ) -> None:
        self._first_request_seconds = first_request_seconds
        self._stalled_seconds = stalled_seconds
        # What has left is forgotten at the next sweep: aiohttp's handlers cannot be referenced weakly.
        self._has_spoken: set[RequestHandler] = set()
        self._silent_since: dict[RequestHandler, float] = {}
        # Bytes not sent yet, and since when they have been as many.
        self._unsent: dict[RequestHandler, tuple[int, float]] = {}
        self._is_draining = False
        app.middlewares.insert(0, self._note_request)
        app.on_response_prepare.append(self._say_goodbye)
        # handler_cancellation: a viewer that leaves ends its handler at once and so leaves the broadcast
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,
            keepalive_timeout=KEEPALIVE_SECONDS,
            shutdown_timeout=shutdown_seconds,
        )

    @property
    def connection_count(self) -> int:
        server = self._runner.server
        return len(server.connections) if server is not None else 0

    async def start(self, host: str, port: int) -> int:
        """Listen and return the port. Raises OSError when the address cannot be bound."""
        await self._runner.setup()
        if self._runner.server is not None:
            self._runner.server.request_handler = with_readable_expectation(
                self._runner.server.request_handler
            )
        family = _family(host)
        is_both = host == "::" and socket.has_dualstack_ipv6()
        listening = socket.create_server(
            (host, port), family=family, backlog=LISTEN_BACKLOG, dualstack_ipv6=is_both
        )
        await web.SockSite(self._runner, listening, backlog=LISTEN_BACKLOG).start()
        return int(listening.getsockname()[1])

    async def stop_listening(self) -> None:
        """Take no new connections; those that are there get their answers and ``Connection: close``."""
        self._is_draining = True
        for site in list(self._runner.sites):
            await site.stop()

    async def close(self) -> None:
        """Close every connection, giving handlers ``shutdown_seconds`` to finish."""
        await self._runner.cleanup()

    async def run_sweeps(self) -> None:
        while True:
            await asyncio.sleep(min(SWEEP_SECONDS, self._first_request_seconds / 2))
            closed = self.sweep(asyncio.get_running_loop().time())
            if closed:
                logger.info("idle_connections_closed", count=closed)

    def sweep(self, now: float) -> int:
        """Abort connections whose peer has asked or taken nothing for too long; returns how many."""
        server = self._runner.server
        connected = set(server.connections) if server is not None else set()
        overdue = self._silent(connected, now) | self._stalled(connected, now)
        for handler in overdue:
            if handler.transport is not None:
                handler.transport.abort()
        return len(overdue)

    def _silent(self, connected: set[RequestHandler], now: float) -> set[RequestHandler]:
        """Those without a request for too long."""
        self._has_spoken &= connected
        silent = connected - self._has_spoken
        self._silent_since = {handler: self._silent_since.get(handler, now) for handler in silent}
        return {h for h, since in self._silent_since.items() if now - since >= self._first_request_seconds}

    def _stalled(self, connected: set[RequestHandler], now: float) -> set[RequestHandler]:
        """Those whose unsent bytes have been the same number for too long.

        While somebody writes, the number changes; a broadcast sees to its own slow viewers.
        """
        unsent: dict[RequestHandler, tuple[int, float]] = {}
        for handler in connected:
            transport = handler.transport
            size = transport.get_write_buffer_size() if transport is not None else 0
            if size:
                before = self._unsent.get(handler)
                unsent[handler] = before if before is not None and before[0] == size else (size, now)
        self._unsent = unsent
        return {h for h, (_, since) in unsent.items() if now - since >= self._stalled_seconds}

    @web.middleware
    async def _note_request(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._has_spoken.add(request.protocol)
        return await handler(request)

    async def _say_goodbye(self, _request: web.Request, response: web.StreamResponse) -> None:
        if self._is_draining and response.status != HTTPStatus.SWITCHING_PROTOCOLS:
            response.force_close()
            response.headers[hdrs.CONNECTION] = "close"


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
