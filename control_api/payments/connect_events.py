"""Events that happened in creators' accounts at Stripe. They come to an endpoint of their own.

https://docs.stripe.com/connect/webhooks
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import msgspec

from control_api.payments.ports import ProviderEvent
from control_api.payments.signatures import Name, SignedEvents

ACCOUNT: Final = "connected_account"
"""In the data of an event: the account in which it happened."""


class _Where(msgspec.Struct):
    account: Name | None = None


class ConnectEvents:
    """Implements Events. ``secret`` is that of the endpoint for events of connected accounts."""

    def __init__(self, secret: str, now: Callable[[], float] = time.time) -> None:
        self._signed = SignedEvents(secret, now)

    def event_of(self, body: bytes, signature: str) -> ProviderEvent:
        event = self._signed.event_of(body, signature)
        try:
            account = msgspec.json.decode(body, type=_Where).account
        except msgspec.ValidationError:
            account = None
        return replace(event, data={**event.data, ACCOUNT: account})
