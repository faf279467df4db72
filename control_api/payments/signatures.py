"""Signed events, after Stripe's scheme: ``t=<seconds>,v1=<HMAC-SHA256 of "t.body">``.

https://docs.stripe.com/webhooks#verify-manually
"""

import hmac
import time
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from stripe import SignatureVerificationError, WebhookSignature

from control_api.decoding import decode_json
from control_api.errors import ApiError
from control_api.payments.ports import ProviderEvent

TOLERANCE_SECONDS: Final = 300
MAX_HEADER_LENGTH: Final = 2048
_END_OF_TIME: Final = 253_402_300_799

Moment = Annotated[int, msgspec.Meta(ge=0, le=_END_OF_TIME)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]


class _Data(msgspec.Struct):
    object: dict[str, Any]


class _Event(msgspec.Struct):
    id: Name
    type: Name
    created: Moment
    data: _Data


def signature_of(secret: str, body: bytes, at: float) -> str:
    """The header ``Stripe-Signature`` for ``body``."""
    seconds = int(at)
    digest = hmac.new(secret.encode(), f"{seconds}.".encode() + body, sha256).hexdigest()
    return f"t={seconds},v1={digest}"


class SignedEvents:
    """Implements Events: takes what was signed with ``secret`` about now."""

    def __init__(self, secret: str, now: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._now = now

    def event_of(self, body: bytes, signature: str) -> ProviderEvent:
        self._check(body, signature)
        event: _Event = decode_json(body, _Event)
        if event.created > self._now() + TOLERANCE_SECONDS:
            raise _refused("signature_stale", "The event is from the future.")
        return ProviderEvent(
            event.id, event.type, datetime.fromtimestamp(event.created, UTC), event.data.object
        )

    def _check(self, body: bytes, signature: str) -> None:
        """Raises ApiError for what was signed with another secret, or not about now."""
        if len(signature) > MAX_HEADER_LENGTH or not signature.isascii():
            raise _refused("signature_invalid", "This is no signature.")
        try:
            WebhookSignature.verify_header(body.decode(), signature, self._secret)  # type: ignore[no-untyped-call]
            signed_at = _signed_at(signature)
        except (SignatureVerificationError, UnicodeError, ValueError) as error:
            raise _refused("signature_invalid", "The signature does not fit.") from error
        if abs(self._now() - signed_at) > TOLERANCE_SECONDS:
            raise _refused("signature_stale", "The signature is too old, or from the future.")


def _signed_at(signature: str) -> int:
    """The first time in the header, which is the one that was signed."""
    return int(next(part[2:] for part in signature.split(",") if part.startswith("t=")))


def _refused(code: str, message: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, code, message)
