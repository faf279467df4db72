"""STUN messages (RFC 8489) as ICE connectivity checks need them (RFC 8445 7), parsed and serialized."""

from __future__ import annotations

import hmac
import ipaddress
import struct
import zlib
from collections.abc import Iterable

from sfu.protocol.errors import MalformedPacket

HEADER_SIZE = 20
MAX_MESSAGE_SIZE = 1500
"""A check is about 100 bytes; nothing that ICE needs exceeds one datagram."""
MAX_ATTRIBUTES = 32
MAX_USERNAME_SIZE = 513
"""Two fragments of 256 characters and the colon between them (RFC 8445 5.3)."""
MAX_REASON_SIZE = 763
MAX_UNKNOWN_REPORTED = 16

MAGIC_COOKIE = 0x2112A442
BINDING = 0x001
REQUEST = 0x000
INDICATION = 0x010
SUCCESS = 0x100
ERROR = 0x110
_CLASS_MASK = 0x110

USERNAME = 0x0006
MESSAGE_INTEGRITY = 0x0008
ERROR_CODE = 0x0009
UNKNOWN_ATTRIBUTES = 0x000A
XOR_MAPPED_ADDRESS = 0x0020
PRIORITY = 0x0024
USE_CANDIDATE = 0x0025
FINGERPRINT = 0x8028
ICE_CONTROLLED = 0x8029
ICE_CONTROLLING = 0x802A

BAD_REQUEST = 400
UNAUTHENTICATED = 401
UNKNOWN_ATTRIBUTE = 420
ROLE_CONFLICT = 487
REASONS = {
    BAD_REQUEST: "Bad Request",
    UNAUTHENTICATED: "Unauthenticated",
    UNKNOWN_ATTRIBUTE: "Unknown Attribute",
    ROLE_CONFLICT: "Role Conflict",
}

_FIRST_OPTIONAL = 0x8000
_UNDERSTOOD = frozenset(
    {
        USERNAME,
        MESSAGE_INTEGRITY,
        ERROR_CODE,
        UNKNOWN_ATTRIBUTES,
        XOR_MAPPED_ADDRESS,
        PRIORITY,
        USE_CANDIDATE,
    }
)
_FIXED_SIZES = {
    MESSAGE_INTEGRITY: 20,
    PRIORITY: 4,
    USE_CANDIDATE: 0,
    FINGERPRINT: 4,
    ICE_CONTROLLED: 8,
    ICE_CONTROLLING: 8,
}
_INTEGRITY_SIZE = 24
_FINGERPRINT_SIZE = 8
_FINGERPRINT_XOR = 0x5354554E
_IPV4 = 1
_IPV6 = 2

_HEADER = struct.Struct("!HHL12s")
_ATTRIBUTE = struct.Struct("!HH")
_LENGTH = struct.Struct("!H")
_WORD = struct.Struct("!L")
_FAMILY = struct.Struct("!xBH")
_ERROR = struct.Struct("!2xBB")


class Message:
    """A parsed message; of an attribute that is repeated only the first counts (RFC 8489 14)."""

    __slots__ = ("_signed", "attributes", "message_class", "method", "transaction_id")

    def __init__(self, method: int, message_class: int, transaction_id: bytes) -> None:
        self.method = method
        self.message_class = message_class
        self.transaction_id = transaction_id
        self.attributes: dict[int, bytes] = {}
        self._signed: bytes | None = None

    @property
    def username(self) -> str | None:
        """The USERNAME, or None where there is none that ICE could have made."""
        value = self.attributes.get(USERNAME)
        if value is None or len(value) > MAX_USERNAME_SIZE or not value.isascii():
            return None
        return value.decode("ascii")

    @property
    def is_signed(self) -> bool:
        """Whether there is a MESSAGE-INTEGRITY, right or wrong."""
        return self._signed is not None

    def has_integrity(self, key: bytes) -> bool:
        """Return whether MESSAGE-INTEGRITY is there and made with `key` (RFC 8489 14.5)."""
        if self._signed is None:
            return False
        expected = hmac.digest(key, self._signed, "sha1")
        return hmac.compare_digest(expected, self.attributes[MESSAGE_INTEGRITY])

    def unknown_attributes(self) -> list[int]:
        """Return the types that must be understood (RFC 8489 14) and are not."""
        return [kind for kind in self.attributes if kind < _FIRST_OPTIONAL and kind not in _UNDERSTOOD]

    def mapped_address(self) -> tuple[str, int]:
        """Return host and port of XOR-MAPPED-ADDRESS; raises MalformedPacket where there is none."""
        value = self.attributes.get(XOR_MAPPED_ADDRESS)
        if value is None:
            raise MalformedPacket("STUN without XOR-MAPPED-ADDRESS")
        return read_xor_address(value, self.transaction_id)

    def error(self) -> tuple[int, str]:
        """Return number and reason of ERROR-CODE; raises MalformedPacket where there is none."""
        value = self.attributes.get(ERROR_CODE, b"")
        if not 4 <= len(value) <= 4 + MAX_REASON_SIZE:
            raise MalformedPacket("STUN error code is missing or of a wrong length")
        hundreds, rest = _ERROR.unpack_from(value)
        return (hundreds & 7) * 100 + rest, value[4:].decode("utf-8", "replace")

    def _read(self, data: bytes) -> None:
        offset = HEADER_SIZE
        end = len(data)
        seen = 0
        while offset < end:
            kind, size = _ATTRIBUTE.unpack_from(data, offset)
            following = offset + 4 + size + (-size & 3)
            seen += 1
            if following > end or seen > MAX_ATTRIBUTES:
                raise MalformedPacket("STUN attribute beyond the message, or too many")
            self._take(kind, data[offset + 4 : offset + 4 + size], offset, data)
            if kind == FINGERPRINT and following != end:
                raise MalformedPacket("STUN fingerprint is not the last attribute")
            offset = following

    def _take(self, kind: int, value: bytes, offset: int, data: bytes) -> None:
        if _FIXED_SIZES.get(kind, len(value)) != len(value):
            raise MalformedPacket(f"STUN attribute {kind:#06x} of {len(value)} bytes")
        if kind == FINGERPRINT:
            if _WORD.unpack(value)[0] != _fingerprint(data[:offset]):
                raise MalformedPacket("STUN fingerprint is wrong")
        elif self._signed is not None:
            return  # what follows the signature is not covered by it: RFC 8489 14.5 has it ignored
        elif kind == MESSAGE_INTEGRITY:
            self._signed = _with_length(data[:offset], offset - HEADER_SIZE + _INTEGRITY_SIZE)
        self.attributes.setdefault(kind, value)


def parse(data: bytes) -> Message:
    """Return the message in `data`; a wrong FINGERPRINT raises, the integrity is for the caller to check."""
    if not HEADER_SIZE <= len(data) <= MAX_MESSAGE_SIZE:
        raise MalformedPacket(f"STUN of {len(data)} bytes")
    kind, length, cookie, transaction_id = _HEADER.unpack_from(data)
    if kind > 0x3FFF or cookie != MAGIC_COOKIE:
        raise MalformedPacket("not STUN")
    if length % 4 or length != len(data) - HEADER_SIZE:
        raise MalformedPacket("STUN length is wrong")
    method = (kind & 0x3E00) >> 2 | (kind & 0x00E0) >> 1 | kind & 0x000F
    message = Message(method, kind & _CLASS_MASK, transaction_id)
    message._read(data)
    return message


def peek_fragment(data: bytes) -> bytes | None:
    """Return our side's user name fragment of a check, without judging the rest of the message.

    Whether it names anybody decides if a stranger's datagram is worth parsing and hashing.
    """
    offset = HEADER_SIZE
    end = min(len(data), MAX_MESSAGE_SIZE)
    for _ in range(MAX_ATTRIBUTES):
        if offset + 4 > end:
            break
        kind, size = _ATTRIBUTE.unpack_from(data, offset)
        if kind == USERNAME:
            return data[offset + 4 : min(offset + 4 + size, end)].partition(b":")[0]
        offset += 4 + size + (-size & 3)
    return None


def serialize(
    message_class: int,
    transaction_id: bytes,
    attributes: Iterable[tuple[int, bytes]],
    key: bytes | None = None,
) -> bytes:
    """Return a Binding message with FINGERPRINT, and with MESSAGE-INTEGRITY where `key` is given."""
    body = b"".join(
        _ATTRIBUTE.pack(kind, len(value)) + value + bytes(-len(value) & 3) for kind, value in attributes
    )
    message = _HEADER.pack(BINDING | message_class, len(body), MAGIC_COOKIE, transaction_id) + body
    if key is not None:
        message = _with_length(message, len(body) + _INTEGRITY_SIZE)
        message += _ATTRIBUTE.pack(MESSAGE_INTEGRITY, 20) + hmac.digest(key, message, "sha1")
    message = _with_length(message, len(message) - HEADER_SIZE + _FINGERPRINT_SIZE)
    return message + _ATTRIBUTE.pack(FINGERPRINT, 4) + _WORD.pack(_fingerprint(message))


def success(transaction_id: bytes, host: str, port: int, key: bytes) -> bytes:
    """Return the answer to a valid check that came from `host` and `port`."""
    mapped = xor_address(host, port, transaction_id)
    return serialize(SUCCESS, transaction_id, [(XOR_MAPPED_ADDRESS, mapped)], key)


def error(
    transaction_id: bytes, code: int, key: bytes | None = None, unknown: Iterable[int] | None = None
) -> bytes:
    """Return an error answer; `unknown` are the attribute types that a 420 names."""
    attributes = [(ERROR_CODE, _ERROR.pack(code // 100, code % 100) + REASONS[code].encode())]
    if unknown is not None:
        reported = list(unknown)[:MAX_UNKNOWN_REPORTED]
        attributes.append((UNKNOWN_ATTRIBUTES, b"".join(map(_LENGTH.pack, reported))))
    return serialize(ERROR, transaction_id, attributes, key)


def xor_address(host: str, port: int, transaction_id: bytes) -> bytes:
    """Return the value of XOR-MAPPED-ADDRESS (RFC 8489 14.2)."""
    packed = ipaddress.ip_address(host).packed
    family = _IPV4 if len(packed) == 4 else _IPV6
    return _FAMILY.pack(family, port ^ MAGIC_COOKIE >> 16) + _xor(packed, transaction_id)


def read_xor_address(value: bytes, transaction_id: bytes) -> tuple[str, int]:
    """Return host and port of a XOR-MAPPED-ADDRESS."""
    if len(value) not in (8, 20):
        raise MalformedPacket(f"STUN address of {len(value)} bytes")
    family, port = _FAMILY.unpack_from(value)
    if family != (_IPV4 if len(value) == 8 else _IPV6):
        raise MalformedPacket("STUN address of an unknown family")
    host = ipaddress.ip_address(_xor(value[4:], transaction_id))
    return str(host), port ^ MAGIC_COOKIE >> 16


def _xor(packed: bytes, transaction_id: bytes) -> bytes:
    pad = (_WORD.pack(MAGIC_COOKIE) + transaction_id)[: len(packed)]
    return (int.from_bytes(packed, "big") ^ int.from_bytes(pad, "big")).to_bytes(len(packed), "big")


def _with_length(message: bytes, length: int) -> bytes:
    return message[:2] + _LENGTH.pack(length) + message[4:]


def _fingerprint(before: bytes) -> int:
    """Return the checksum over what stands before it, whose header already counts it (RFC 8489 14.7)."""
    return zlib.crc32(before) ^ _FINGERPRINT_XOR
