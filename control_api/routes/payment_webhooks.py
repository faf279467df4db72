"""POST /webhooks/stripe: where the payment provider says what has happened."""

from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from control_api.decoding import body_too_large
from control_api.payments.events import MAX_EVENT_BYTES, PaymentEvents
from control_api.routing import Call, Limit, Route
from control_api.services.purchases import NOT_CONFIGURED, not_configured

SIGNATURE_HEADER: Final = "Stripe-Signature"


class PaymentWebhookRoutes:
    """Without ``events`` there is no provider."""

    def __init__(self, events: PaymentEvents | None) -> None:
        self._events = events

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/webhooks/stripe",
                self.receive,
                "For Stripe: events, signed in the header Stripe-Signature",
                errors=(
                    (HTTPStatus.BAD_REQUEST, "signature_invalid"),
                    (HTTPStatus.BAD_REQUEST, "signature_stale"),
                    (HTTPStatus.CONFLICT, "too_early"),
                    NOT_CONFIGURED,
                ),
                limit=Limit.PROVIDER,
                upload_types=("application/json",),
                max_upload_bytes=MAX_EVENT_BYTES,
            )
        ]

    async def receive(self, call: Call[Any, Any]) -> None:
        if self._events is None:
            raise not_configured()
        try:
            body = await call.request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise body_too_large(call.request.client_max_size) from error
        await self._events.receive(body, call.request.headers.get(SIGNATURE_HEADER, ""))
