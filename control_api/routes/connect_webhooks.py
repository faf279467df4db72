"""POST /webhooks/stripe/connect: where Stripe says what has happened in creators' accounts."""

from http import HTTPStatus
from typing import Any

from control_api.payments.events import MAX_EVENT_BYTES, PaymentEvents
from control_api.routes.payment_webhooks import PaymentWebhookRoutes
from control_api.routing import Call, Limit, Route


class ConnectWebhookRoutes:
    def __init__(self, events: PaymentEvents) -> None:
        self._webhook = PaymentWebhookRoutes(events)

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/webhooks/stripe/connect",
                self.receive,
                "For Stripe: events of creators' accounts, signed in the header Stripe-Signature",
                errors=(
                    (HTTPStatus.BAD_REQUEST, "signature_invalid"),
                    (HTTPStatus.BAD_REQUEST, "signature_stale"),
                    (HTTPStatus.CONFLICT, "too_early"),
                ),
                limit=Limit.PROVIDER,
                upload_types=("application/json",),
                max_upload_bytes=MAX_EVENT_BYTES,
            )
        ]

    async def receive(self, call: Call[Any, Any]) -> None:
        await self._webhook.receive(call)
