"""Tokens for one room: what a viewer shows at a delivery door, and what a publisher's are made like.

A token is a short-lived JWT for one room. It says who was let in, not that they still may be: the doors check
that anew, so a token need not be revoked. Its signature is checked once; after that it is known until it
expires.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, ClassVar, Final
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ALGORITHM: Final = "HS256"
AUDIENCE: Final = "playback"
PLAY: Final = "play"
LIFETIME_SECONDS: Final = 900.0
MAX_TOKEN_LENGTH: Final = 2048
MAX_KNOWN_TOKENS: Final = 20_000
KEY_BYTES: Final = 32
KEY_ID_LENGTH: Final = 16


@dataclass(frozen=True, slots=True)
class Grant:
    """``user_id`` is None for somebody who had not signed in. ``expires_at`` in seconds of the epoch."""

    room_id: UUID
    user_id: UUID | None
    expires_at: int


@dataclass(frozen=True, slots=True)
class SignedGrant:
    token: str
    expires_at: datetime


class TokenFault(Enum):
    """Why a token opens nothing."""

    INVALID = "token_invalid"
    EXPIRED = "token_expired"


class RoomGrants:
    """Signs and verifies with a key of each purpose's own, derived from the installation's ``secret``."""

    audience: ClassVar[str]
    grant: ClassVar[str]
    key_purpose: ClassVar[bytes]

    def __init__(
        self,
        secret: bytes,
        lifetime_seconds: float = LIFETIME_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key = HKDF(SHA256(), KEY_BYTES, salt=None, info=self.key_purpose).derive(secret)
        self._key_id = hashlib.sha256(self._key).hexdigest()[:KEY_ID_LENGTH]
        self._clock = clock
        self._known: dict[str, Grant] = {}
        self.lifetime_seconds = lifetime_seconds

    def sign(self, room_id: UUID, user_id: UUID | None) -> SignedGrant:
        expires_at = int(self._clock() + self.lifetime_seconds)
        claims: dict[str, Any] = {
            "aud": self.audience,
            "exp": expires_at,
            "room": str(room_id),
            "grants": [self.grant],
        }
        if user_id is not None:
            claims["sub"] = str(user_id)
        token = jwt.encode(claims, self._key, ALGORITHM, headers={"kid": self._key_id})
        return SignedGrant(token, datetime.fromtimestamp(expires_at, UTC))

    def verify(self, token: str) -> Grant | None:
        """What ``token`` grants, or None if it grants nothing (any more)."""
        grant = self.check(token)
        return grant if isinstance(grant, Grant) else None

    def check(self, token: str) -> Grant | TokenFault:
        """As ``verify``, saying what is wrong with a token that grants nothing."""
        grant = self._known.get(token)
        if grant is None:
            grant = self._decode(token)
            if grant is None:
                return TokenFault.INVALID
        if grant.expires_at <= self._clock():
            self._known.pop(token, None)
            return TokenFault.EXPIRED
        self._remember(token, grant)
        return grant

    def _remember(self, token: str, grant: Grant) -> None:
        self._known[token] = grant
        if len(self._known) > MAX_KNOWN_TOKENS:
            del self._known[next(iter(self._known))]

    def _decode(self, token: str) -> Grant | None:
        if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
            return None
        try:
            if jwt.get_unverified_header(token).get("kid") != self._key_id:
                return None
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                audience=self.audience,
                # Expiry is judged by the caller, for tokens that are known already as for new ones.
                options={"require": ["aud", "exp", "room", "grants"], "verify_exp": False},
            )
            return _grant(claims, self.grant)
        # Whatever a forger put into the header or the claims; RecursionError comes of nested JSON.
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError, RecursionError):
            return None


class PlaybackGrants(RoomGrants):
    """Who may watch a room."""

    audience = AUDIENCE
    grant = PLAY
    key_purpose = b"mediaserver playback token"


class PublishGrants(RoomGrants):
    """Who may publish to a room from a browser: by WHIP, and as its host by ``/rtc``."""

    audience = "publish"
    grant = "publish"
    key_purpose = b"mediaserver publish token"


def _grant(claims: dict[str, Any], grant: str) -> Grant | None:
    if grant not in claims["grants"]:
        return None
    subject = claims.get("sub")
    user_id = UUID(subject) if subject is not None else None
    return Grant(UUID(claims["room"]), user_id, int(claims["exp"]))
