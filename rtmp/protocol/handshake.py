"""The RTMP handshake, both sides, simple and digest (RTMP 1.0, section 5.2).

Rules:

* Version 3 only. Version 6 (RTMPE) and all others are refused by name, not met with silence.
* The digest form is not in the standard. A peer that uses it puts a non-zero version in bytes 4-7 of C1 or
  S1 and hides an HMAC-SHA256 digest at a place computed from four bytes of the packet. There are two layouts
  (schemas): the digest lives in the second 764-byte block (schema 0, at 772) or the first (schema 1, at 8).
* A version without a digest that verifies is answered with the simple form, as other servers do.
* C2 and S2 are read and not compared: real peers echo them carelessly, and nothing depends on them.
* Nothing past the handshake is consumed: ``trailing_data`` is the start of the chunk stream.
"""

import hashlib
import hmac
import os
from collections.abc import Callable
from enum import Enum
from typing import Final

from rtmp.protocol.errors import HandshakeError

VERSION: Final = 3
PACKET_SIZE: Final = 1536
"""Size of C1, S1, C2 and S2 in bytes."""

_DIGEST_SIZE = 32
_DIGEST_OFFSET_RANGE = 728
_SHARED_KEY = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")
_SERVER_TEXT = b"Genuine Adobe Flash Media Server 001"
_CLIENT_TEXT = b"Genuine Adobe Flash Player 001"
_SERVER_VERSION = bytes((4, 5, 0, 3))
_CLIENT_VERSION = bytes((9, 0, 124, 2))

RandomBytes = Callable[[int], bytes]


class DigestSchema(Enum):
    """Where the 764-byte digest block starts in C1 and S1."""

    KEY_FIRST = 772
    DIGEST_FIRST = 8


class HandshakeState(Enum):
    WAITING_FOR_HELLO = "waiting for C0 and C1, or S0 and S1"
    WAITING_FOR_ECHO = "waiting for C2 or S2"
    DONE = "done"
    FAILED = "failed"


_MOVES = {
    HandshakeState.WAITING_FOR_HELLO: {HandshakeState.WAITING_FOR_ECHO, HandshakeState.FAILED},
    HandshakeState.WAITING_FOR_ECHO: {HandshakeState.DONE, HandshakeState.FAILED},
    HandshakeState.DONE: set(),
    HandshakeState.FAILED: set(),
}


def _hmac_sha256(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def _digest_position(packet: bytes, schema: DigestSchema) -> int:
    base = schema.value
    return base + 4 + sum(packet[base : base + 4]) % _DIGEST_OFFSET_RANGE


def _compute_digest(packet: bytes, position: int, key: bytes) -> bytes:
    return _hmac_sha256(key, packet[:position] + packet[position + _DIGEST_SIZE :])


def find_digest(packet: bytes, key: bytes) -> tuple[DigestSchema, bytes] | None:
    """Return the schema and digest that verify ``packet`` (C1 or S1) under ``key``, or None."""
    for schema in DigestSchema:
        position = _digest_position(packet, schema)
        digest = packet[position : position + _DIGEST_SIZE]
        if hmac.compare_digest(digest, _compute_digest(packet, position, key)):
            return schema, digest
    return None


def imprint_digest(packet: bytes, schema: DigestSchema, key: bytes) -> bytes:
    """Return ``packet`` (C1 or S1) with its digest under ``key`` written where ``schema`` puts it."""
    position = _digest_position(packet, schema)
    digest = _compute_digest(packet, position, key)
    return packet[:position] + digest + packet[position + _DIGEST_SIZE :]


def sign_echo(random: bytes, peer_digest: bytes, text: bytes) -> bytes:
    """Return C2 or S2 for a peer that sent ``peer_digest``: the 1504 ``random`` bytes and a signature."""
    key = _hmac_sha256(text + _SHARED_KEY, peer_digest)
    return random + _hmac_sha256(key, random)


class _Handshake:
    """What both sides share: collecting bytes, the version check and the state."""

    _own_text: bytes
    _own_version: bytes
    _peer_text: bytes

    def __init__(self, random_bytes: RandomBytes = os.urandom) -> None:
        self._random_bytes = random_bytes
        self._received = bytearray()
        self.state = HandshakeState.WAITING_FOR_HELLO

    @property
    def trailing_data(self) -> bytes:
        """Bytes received beyond the handshake, meaningful once ``state`` is DONE."""
        return bytes(self._received)

    def receive(self, data: bytes) -> bytes:
        """Take ``data`` and return what to send. Raises HandshakeError, after which nothing more is taken."""
        self._received += data
        reply = b""
        if self.state is HandshakeState.WAITING_FOR_HELLO:
            self._check_version()
            if len(self._received) > PACKET_SIZE:
                reply = self._answer_hello(self._take(1 + PACKET_SIZE)[1:])
                self._move(HandshakeState.WAITING_FOR_ECHO)
        if self.state is HandshakeState.WAITING_FOR_ECHO and len(self._received) >= PACKET_SIZE:
            self._take(PACKET_SIZE)
            self._move(HandshakeState.DONE)
        return reply

    def _answer_hello(self, packet: bytes) -> bytes:
        raise NotImplementedError

    def _check_version(self) -> None:
        if self._received and self._received[0] != VERSION:
            version = self._received[0]
            self._move(HandshakeState.FAILED)
            name = " (RTMPE)" if version in (6, 8, 9) else ""
            raise HandshakeError(f"version {version}{name} in the first byte; only version 3 is spoken here")

    def _take(self, size: int) -> bytes:
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    def _move(self, state: HandshakeState) -> None:
        assert state in _MOVES[self.state], f"{self.state} -> {state}"
        self.state = state

    def _simple_packet(self) -> bytes:
        return bytes(8) + self._random_bytes(PACKET_SIZE - 8)

    def _digest_packet(self, schema: DigestSchema) -> bytes:
        packet = bytes(4) + self._own_version + self._random_bytes(PACKET_SIZE - 8)
        return imprint_digest(packet, schema, self._own_text)

    def _find_peer_digest(self, packet: bytes) -> tuple[DigestSchema, bytes] | None:
        return find_digest(packet, self._peer_text) if any(packet[4:8]) else None

    def _echo(self, peer_digest: bytes) -> bytes:
        return sign_echo(self._random_bytes(PACKET_SIZE - _DIGEST_SIZE), peer_digest, self._own_text)


class ServerHandshake(_Handshake):
    """Waits for C0 and C1, answers S0, S1 and S2, waits for C2."""

    _own_text = _SERVER_TEXT
    _own_version = _SERVER_VERSION
    _peer_text = _CLIENT_TEXT

    def _answer_hello(self, packet: bytes) -> bytes:
        found = self._find_peer_digest(packet)
        if found is None:
            return bytes((VERSION,)) + self._simple_packet() + packet
        schema, digest = found
        return bytes((VERSION,)) + self._digest_packet(schema) + self._echo(digest)


class ClientHandshake(_Handshake):
    """Sends C0 and C1 (``start``), answers S0 and S1 with C2, waits for S2.

    ``schema`` None offers the simple form only.
    """

    _own_text = _CLIENT_TEXT
    _own_version = _CLIENT_VERSION
    _peer_text = _SERVER_TEXT

    def __init__(
        self,
        schema: DigestSchema | None = DigestSchema.DIGEST_FIRST,
        random_bytes: RandomBytes = os.urandom,
    ) -> None:
        super().__init__(random_bytes)
        self._schema = schema

    def start(self) -> bytes:
        """Return C0 and C1."""
        packet = self._simple_packet() if self._schema is None else self._digest_packet(self._schema)
        return bytes((VERSION,)) + packet

    def _answer_hello(self, packet: bytes) -> bytes:
        found = self._find_peer_digest(packet) if self._schema is not None else None
        return packet if found is None else self._echo(found[1])
