"""Stream keys: what an encoder shows to publish. Stored as digests only.

A key is 160 random bits, so a keyed digest without salt is as hard to turn back as a slow hash, and unlike
one it can be looked up by an index.
"""

import hmac
import re
import secrets
from typing import Final

KEY_BYTES: Final = 20
_KEY: Final = re.compile(r"[0-9a-f]{40}")


def new_stream_key() -> str:
    """40 hexadecimal digits: nothing that a URL, a shell or an encoder's input field could mangle."""
    return secrets.token_hex(KEY_BYTES)


def is_stream_key(text: str) -> bool:
    """Whether ``text`` has the form of a stream key; anything else need not be looked up."""
    return _KEY.fullmatch(text) is not None


class StreamKeyDigester:
    """HMAC-SHA256 under the installation's secret: a stolen table alone lets nobody test guesses."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def digest(self, key: str) -> bytes:
        return hmac.digest(self._secret, b"stream key\0" + key.encode(), "sha256")
