"""A stand-in for Stripe's API on a loopback port, which the real ``stripe`` package talks to.

It answers what tests register, remembers what it was asked, keeps answers by ``Idempotency-Key`` as Stripe
does, and signs webhooks by Stripe's documented scheme (https://docs.stripe.com/webhooks#verify-manually).
"""

import hashlib
import hmac
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

WEBHOOK_SECRET = "whsec_test_0123456789abcdef"
SECRET_KEY = "sk_test_stand_in"


@dataclass(frozen=True)
class StripeRequest:
    """``form`` is flat, as it was sent: ``line_items[0][quantity]``."""

    method: str
    path: str
    form: Mapping[str, str]
    headers: Mapping[str, str]
    match: Mapping[str, str]

    @property
    def key(self) -> str:
        return self.headers.get("Idempotency-Key", "")


Handler = Callable[[StripeRequest], Awaitable[Mapping[str, Any]]]


class StripeRefusal(Exception):
    """Raised by handlers: an error as Stripe's API has it."""

    def __init__(self, status: int, kind: str = "invalid_request_error", code: str = "nope") -> None:
        super().__init__(code)
        self.status = status
        self.body = {"error": {"type": kind, "code": code, "message": "The stand-in refuses."}}


@dataclass
class StripeStandIn:
    """An async context manager. ``failures`` are the statuses of the next answers, whatever is asked."""

    secret: str = WEBHOOK_SECRET
    requests: list[StripeRequest] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    url: str = ""
    _handlers: dict[tuple[str, str], Handler] = field(default_factory=dict)
    _kept: dict[str, tuple[Mapping[str, str], Mapping[str, Any]]] = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))
    _runner: web.AppRunner | None = None

    def __post_init__(self) -> None:
        self.register("/v1/checkout/sessions", self._open_session)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def register(self, path: str, handler: Handler, method: str = "POST") -> None:
        """``path`` may have ``{names}``, one part of it each: they are in ``match``."""
        self._handlers[method, path] = handler

    def id(self, prefix: str) -> str:
        return f"{prefix}_{next(self._numbers):06}"

    def signature(self, body: bytes, at: float | None = None, secret: str | None = None) -> str:
        seconds = int(time.time() if at is None else at)
        signed = f"{seconds}.".encode() + body
        digest = hmac.new((secret or self.secret).encode(), signed, hashlib.sha256).hexdigest()
        return f"t={seconds},v1={digest}"

    def event(
        self, kind: str, data: Mapping[str, Any], event_id: str | None = None, created: float | None = None
    ) -> bytes:
        """The body of a webhook."""
        event = {
            "id": event_id or self.id("evt"),
            "object": "event",
            "api_version": "2026-01-28.clover",
            "created": int(time.time() if created is None else created),
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
            "data": {"object": data},
        }
        return json.dumps(event).encode()

    async def _answer(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        handler, match = self._handler(request.method, request.path)
        asked = StripeRequest(request.method, request.path, form, dict(request.headers), match)
        self.requests.append(asked)
        if self.failures:
            raise_status = self.failures.pop(0)
            return web.json_response({"error": {"type": "api_error", "message": "x"}}, status=raise_status)
        if handler is None:
            return web.json_response({"error": {"type": "invalid_request_error"}}, status=404)
        if asked.key and asked.key in self._kept:
            kept_form, kept = self._kept[asked.key]
            if kept_form != form:
                return web.json_response({"error": {"type": "idempotency_error"}}, status=400)
            return web.json_response(kept)
        try:
            answer = await handler(asked)
        except StripeRefusal as refusal:
            return web.json_response(refusal.body, status=refusal.status)
        if asked.key:
            self._kept[asked.key] = form, answer
        return web.json_response(answer)

    def _handler(self, method: str, path: str) -> tuple[Handler | None, Mapping[str, str]]:
        for (known_method, known), handler in self._handlers.items():
            match = _match(known, path)
            if known_method == method and match is not None:
                return handler, match
        return None, {}

    async def _open_session(self, asked: StripeRequest) -> Mapping[str, Any]:
        session = self.id("cs_test")
        form = asked.form
        amount = form.get("line_items[0][price_data][unit_amount]")
        prefix = "metadata["
        return {
            "id": session,
            "object": "checkout.session",
            "url": f"https://checkout.stripe.com/c/pay/{session}",
            "mode": form["mode"],
            "status": "open",
            "payment_status": "unpaid",
            "amount_total": int(amount) if amount else None,
            "currency": form.get("line_items[0][price_data][currency]"),
            "metadata": {n[len(prefix) : -1]: v for n, v in form.items() if n.startswith(prefix)},
        }


def _match(known: str, path: str) -> Mapping[str, str] | None:
    parts, given = known.split("/"), path.split("/")
    if len(parts) != len(given):
        return None
    match = {}
    for part, text in zip(parts, given, strict=True):
        if part.startswith("{"):
            match[part[1:-1]] = text
        elif part != text:
            return None
    return match
