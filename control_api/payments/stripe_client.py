"""Stripe's own client, bounded in time and tries, and its errors as ours."""

import asyncio
import ssl
from collections.abc import Awaitable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Self, TypeVar

import aiohttp
import stripe
import structlog

from control_api.errors import ApiError, unavailable

logger = structlog.get_logger("mediaserver.money")

RETRIES: Final = 2
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StripeOptions:
    """``timeout_seconds`` is for one try."""

    secret_key: str
    webhook_secret: str
    api_base: str = "https://api.stripe.com"
    timeout_seconds: float = 10.0


class StripeApi:
    """One for all adapters: ``await api.ask(api.client.v1.….create_async(…))``.

    An async context manager. What creates something is to be given an idempotency key: calls are tried again.
    """

    def __init__(self, options: StripeOptions) -> None:
        self._options = options
        self._session: aiohttp.ClientSession | None = None
        self._client: stripe.StripeClient | None = None

    async def __aenter__(self) -> Self:
        # To read all the authorities takes longer than the loop may be held up.
        authorities = await asyncio.to_thread(ssl.create_default_context, cafile=stripe.ca_bundle_path)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=authorities))
        timeout = aiohttp.ClientTimeout(total=self._options.timeout_seconds)
        self._client = stripe.StripeClient(
            self._options.secret_key,
            base_addresses={"api": self._options.api_base},
            max_network_retries=RETRIES,
            http_client=stripe.AIOHTTPClient(timeout=timeout, session=self._session),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def client(self) -> stripe.StripeClient:
        assert self._client is not None, "enter it first"
        return self._client

    async def ask(self, call: Awaitable[T]) -> T:
        """Raises ApiError: 502 ``payment_provider_refused``, 503 when Stripe cannot be reached or is busy."""
        try:
            async with asyncio.timeout(self._options.timeout_seconds * (RETRIES + 1)):
                return await call
        except stripe.StripeError as error:
            raise _as_api_error(error) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            logger.warning("stripe_unreachable", reason=type(error).__name__)
            raise _unreachable() from error


def _as_api_error(error: stripe.StripeError) -> ApiError:
    """Without Stripe's words, which are for the operator alone."""
    logger.warning(
        "stripe_refused",
        kind=type(error).__name__,
        status=error.http_status,
        code=error.code,
        request_id=error.request_id,
        reason=str(error.user_message or "")[:300],
    )
    is_passing = isinstance(error, stripe.APIConnectionError | stripe.RateLimitError)
    if is_passing or (error.http_status or 0) >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _unreachable()
    return ApiError(
        HTTPStatus.BAD_GATEWAY,
        "payment_provider_refused",
        "The payment provider refused this. Try again later, or tell the operator of this server.",
    )


def _unreachable() -> ApiError:
    return unavailable("The payment provider cannot be reached; try again shortly.")
