"""Web Push (RFC 8030, 8291, 8292): messages to browsers that their users allowed to be woken.

pywebpush encrypts, in few threads because of the elliptic curves; the sending is that of all calls to
addresses that users gave, which keeps them out of the operator's network.
"""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from py_vapid import Vapid02, VapidException  # type: ignore[import-untyped]
from pywebpush import WebPusher, WebPushException  # type: ignore[import-untyped]

from control_api.errors import invalid
from control_api.outbound import AddressRefused, OutboundError
from storage.repositories.notification_outbox import PushKeys

THREADS: Final = 2
ENCRYPTION_TIMEOUT_SECONDS: Final = 5.0
MAX_PAYLOAD_BYTES: Final = 3000
POINT_BYTES: Final = 65
AUTH_BYTES: Final = 16
MAX_RETRY_AFTER_SECONDS: Final = 3600


class Answered(Protocol):
    """What came back; see control_api.outbound.Answer."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


class Sender(Protocol):
    """Calls addresses that users gave; see control_api.outbound.Outbound."""

    def check_url(self, text: str) -> Any:
        """Raises AddressRefused."""

    async def post(self, address: str, body: bytes, headers: Mapping[str, str]) -> Answered:
        """Raises OutboundError."""


class Verdict(Enum):
    """What became of a push."""

    DELIVERED = "delivered"
    GONE = "gone"
    """The browser is not subscribed any more."""
    REFUSED = "refused"
    """This push will never be taken."""
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Outcome:
    """``retry_after`` seconds are what the push service asks for, 0 if it says nothing."""

    verdict: Verdict
    retry_after: int = 0


class WebPush:
    """Close it after use. ``public_key`` is what browsers subscribe with."""

    def __init__(self, private_key_pem: str, contact: str, sender: Sender) -> None:
        """``contact`` is where the push services reach the operator: mailto: or the server's address.

        Raises ValueError when the key is no private key on P-256.
        """
        key = load_pem_private_key(private_key_pem.encode(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("the VAPID key must be a private key on the curve P-256")
        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.public_key: Final[str] = urlsafe_b64encode(point).rstrip(b"=").decode()
        # py_vapid takes no http: address and no port for a contact, which push services do not mind.
        self._vapid = Vapid02(private_key=key, conf={"no-strict": True})
        self._contact = contact
        self._sender = sender
        self._threads = ThreadPoolExecutor(THREADS, "web-push")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def check_subscription(self, endpoint: str, p256dh: str, auth: str) -> None:
        """Raises ApiError 400 for what no push could be sent to."""
        if not endpoint.startswith("https://") or not (endpoint.isascii() and endpoint.isprintable()):
            raise invalid("endpoint", "must begin with https://")
        try:
            self._sender.check_url(endpoint)
        except AddressRefused as error:
            raise invalid("endpoint", str(error)) from error
        if not _is_point(p256dh):
            raise invalid("keys.p256dh", "must be a public key on P-256 in URL-safe Base64")
        if len(_decoded(auth)) != AUTH_BYTES:
            raise invalid("keys.auth", f"must be {AUTH_BYTES} bytes in URL-safe Base64")

    async def send(self, target: PushKeys, payload: bytes, lifetime_seconds: int) -> Outcome:
        """One attempt. The push service keeps it for ``lifetime_seconds`` while the browser is away."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ENCRYPTION_TIMEOUT_SECONDS):
                body, headers = await loop.run_in_executor(self._threads, self._encrypt, target, payload)
        except TimeoutError:
            return Outcome(Verdict.LATER)
        except (WebPushException, VapidException, ValueError):
            return Outcome(Verdict.REFUSED)
        headers |= {"TTL": str(lifetime_seconds), "Content-Type": "application/octet-stream"}
        try:
            return _outcome(await self._sender.post(target.endpoint, body, headers))
        except OutboundError:
            # An address that is refused may be one whose name server is away.
            return Outcome(Verdict.LATER)

    def _encrypt(self, target: PushKeys, payload: bytes) -> tuple[bytes, dict[str, str]]:
        """Body and headers; in a thread."""
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise ValueError("too long for a push")
        keys = {"p256dh": target.p256dh, "auth": target.auth}
        body: bytes = WebPusher({"endpoint": target.endpoint, "keys": keys}).encode(payload)["body"]
        parts = urlsplit(target.endpoint)
        claims = {"sub": self._contact, "aud": f"{parts.scheme}://{parts.netloc}"}
        headers: dict[str, str] = self._vapid.sign(claims)
        return body, {**headers, "Content-Encoding": "aes128gcm"}


def new_vapid_key() -> str:
    """A private key in PEM, to be made once and kept: subscriptions are bound to it."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _outcome(answer: Answered) -> Outcome:
    if 200 <= answer.status < 300:
        return Outcome(Verdict.DELIVERED)
    if answer.status in (404, 410):
        return Outcome(Verdict.GONE)
    if answer.status == 429 or answer.status >= 500:
        after = next((value for name, value in answer.headers.items() if name.lower() == "retry-after"), "")
        seconds = int(after) if after.isdecimal() and len(after) < 10 else 0
        return Outcome(Verdict.LATER, min(seconds, MAX_RETRY_AFTER_SECONDS))
    return Outcome(Verdict.REFUSED)


def _decoded(text: str) -> bytes:
    """The bytes of unpadded URL-safe Base64; nothing for something else."""
    try:
        decoded = urlsafe_b64decode(text.rstrip("=").encode("ascii") + b"=" * (-len(text.rstrip("=")) % 4))
    except ValueError:
        return b""
    # The decoder passes over characters that do not belong there.
    return decoded if urlsafe_b64encode(decoded).rstrip(b"=").decode() == text.rstrip("=") else b""


def _is_point(text: str) -> bool:
    decoded = _decoded(text)
    if len(decoded) != POINT_BYTES:
        return False
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decoded)
    except ValueError:
        return False
    return True
