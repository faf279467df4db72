"""The test provider's events: made here, signed, and sent the way that Stripe's come. No money moves."""

import time
from collections.abc import Callable, Mapping
from secrets import token_hex
from typing import Any

import msgspec

from control_api.payments.events import PaymentEvents
from control_api.payments.signatures import signature_of


class DemoEvents:
    """``secret`` is what the SignedEvents of ``events`` was given."""

    def __init__(self, events: PaymentEvents, secret: str, now: Callable[[], float] = time.time) -> None:
        self._events = events
        self._secret = secret
        self._now = now

    async def send(self, kind: str, data: Mapping[str, Any]) -> None:
        """Say that ``kind`` has happened to ``data``, an object as Stripe describes it. Raises ApiError."""
        at = self._now()
        event = {
            "id": f"evt_test_{token_hex(12)}",
            "object": "event",
            "type": kind,
            "created": int(at),
            "livemode": False,
            "data": {"object": dict(data)},
        }
        body = msgspec.json.encode(event)
        await self._events.receive(body, signature_of(self._secret, body, at))
