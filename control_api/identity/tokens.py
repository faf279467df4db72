"""The two tokens of somebody who signed in.

AccessTokens
    short-lived JWTs that go with every request
RefreshTokens
    long-lived opaque ones, each good for one exchange

All keys are derived from the installation's secret, each under a name of its own, so that no token of one
kind passes for one of another.
"""

import hashlib
import hmac
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from storage.repositories import Role

ISSUER: Final = "mediaserver"
AUDIENCE: Final = "mediaserver-api"
ACCESS_LIFETIME: Final = timedelta(minutes=15)
# So much may the clocks of two nodes differ.
CLOCK_LEEWAY: Final = timedelta(seconds=5)
MAX_TOKEN_LENGTH: Final = 2048
MAX_KNOWN: Final = 10_000
KEY_BYTES: Final = 32
RANDOM_BYTES: Final = 32
MAC_BYTES: Final = 16
ID_BYTES: Final = 16
_CLAIMS: Final = ("iss", "aud", "sub", "sid", "role", "iat", "exp")


class Algorithm(Enum):
    """How access tokens are signed. With EdDSA, who can check them cannot make them."""

    EDDSA = "EdDSA"
    HS256 = "HS256"


class TokenRefused(Exception):
    """``is_expired`` tells a token that was good once from one that never was."""

    def __init__(self, is_expired: bool = False) -> None:
        super().__init__("expired" if is_expired else "invalid")
        self.is_expired = is_expired


@dataclass(frozen=True, slots=True)
class AccessClaims:
    user_id: UUID
    session_id: UUID
    role: Role


class AccessTokens:
    """JWTs (RFC 7519) with ``sub``, ``sid``, ``role``, checked as RFC 8725 asks: one algorithm, one key."""

    def __init__(
        self, secret: bytes, algorithm: Algorithm = Algorithm.EDDSA, lifetime: timedelta = ACCESS_LIFETIME
    ) -> None:
        self._algorithm = algorithm
        self._lifetime = lifetime
        self._known: dict[str, tuple[AccessClaims, float]] = {}
        self._signing_key: Any
        self._checking_key: Any
        material = derived_key(secret, f"access token {algorithm.value}")
        if algorithm is Algorithm.EDDSA:
            private = Ed25519PrivateKey.from_private_bytes(material)
            self._signing_key, self._checking_key = private, private.public_key()
            identity = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        else:
            self._signing_key = self._checking_key = material
            identity = derived_key(secret, "access token HS256 kid")
        self.key_id: Final = hashlib.sha256(identity).hexdigest()[:16]

    def issue(self, user_id: UUID, session_id: UUID, role: Role) -> str:
        now = datetime.now(UTC)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "sid": str(session_id),
            "role": role.value,
            "iat": now,
            "exp": now + self._lifetime,
        }
        return jwt.encode(claims, self._signing_key, self._algorithm.value, headers={"kid": self.key_id})

    def read(self, token: str) -> AccessClaims:
        """What ``token`` says, if this installation made it for this purpose. Raises TokenRefused.

        One that was good is remembered until it expires: to check a signature takes longer than most of what
        is asked for.
        """
        known = self._known.get(token)
        if known is not None and known[1] > time.time():
            return known[0]
        claims, expires_at = self._verified(token)
        self._known[token] = claims, expires_at
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        return claims

    def _verified(self, token: str) -> tuple[AccessClaims, float]:
        if len(token) > MAX_TOKEN_LENGTH:
            raise TokenRefused
        try:
            if jwt.get_unverified_header(token).get("kid") != self.key_id:
                raise TokenRefused
            claims = jwt.decode(
                token,
                self._checking_key,
                algorithms=[self._algorithm.value],
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=CLOCK_LEEWAY,
                options={"require": list(_CLAIMS), "strict_aud": True},
            )
            read = AccessClaims(UUID(claims["sub"]), UUID(claims["sid"]), Role(claims["role"]))
            return read, float(claims["exp"])
        except jwt.ExpiredSignatureError as error:
            raise TokenRefused(is_expired=True) from error
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
            raise TokenRefused from error


class RefreshTokens:
    """256 random bits behind the session's id, sealed: an old token is recognised as ours without a list.

    The seal is what lets a token that was used up revoke its session, and nothing else do so.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = derived_key(secret, "refresh token")

    def issue(self, session_id: UUID) -> str:
        content = session_id.bytes + secrets.token_bytes(RANDOM_BYTES)
        return urlsafe_b64encode(content + self._seal(content)).rstrip(b"=").decode()

    def session_of(self, token: str) -> UUID | None:
        """The session that ``token`` was made for; None for what we never made."""
        try:
            raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        except ValueError:
            return None
        content, seal = raw[: ID_BYTES + RANDOM_BYTES], raw[ID_BYTES + RANDOM_BYTES :]
        if not hmac.compare_digest(seal, self._seal(content)):
            return None
        return UUID(bytes=content[:ID_BYTES])

    @staticmethod
    def digest(token: str) -> bytes:
        """What is stored of a token. It is random, so a fast hash is enough."""
        return hashlib.sha256(token.encode("utf-8", "replace")).digest()

    def _seal(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content, "sha256")[:MAC_BYTES]


def derived_key(secret: bytes, purpose: str) -> bytes:
    """A key of 256 bits from the installation's secret (HKDF, RFC 5869)."""
    return HKDF(SHA256(), KEY_BYTES, None, f"mediaserver {purpose}".encode()).derive(secret)
