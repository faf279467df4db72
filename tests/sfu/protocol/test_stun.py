"""STUN messages: round trips, aioice's view of them, the vectors of RFC 5769, and bytes that lie."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress

import pytest
from aioice import stun as twin
from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol import stun
from sfu.protocol.errors import MalformedPacket
from tests.sfu.checks import LOCAL, TRANSACTION, check

KEY = b"VOkJxbRl1RmTxUk/WvJxBt"
RFC_5769_REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae8022001053"
    "54554e207465737420636c69656e74002400046e0001ff80290008932ff9b151263b36"
    "00060009"
    "6576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
)
RFC_5769_RESPONSE_IPV4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
RFC_5769_RESPONSE_IPV6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004c8fb0b4c"
)
ADDRESSES = st.tuples(st.ip_addresses().map(str), st.integers(0, 65535))


def _raw(body: bytes, kind: int = 1, cookie: int = stun.MAGIC_COOKIE) -> bytes:
    return struct.pack("!HHL12s", kind, len(body), cookie, TRANSACTION) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) & 3)


def test_the_request_of_rfc_5769_is_read() -> None:
    message = stun.parse(RFC_5769_REQUEST)
    assert (message.method, message.message_class) == (stun.BINDING, stun.REQUEST)
    assert message.username == "evtj:h6vY"
    assert message.has_integrity(KEY) and not message.has_integrity(b"wrong")
    assert message.unknown_attributes() == []


@pytest.mark.parametrize(
    ("wire", "address"),
    [
        (RFC_5769_RESPONSE_IPV4, ("192.0.2.1", 32853)),
        (RFC_5769_RESPONSE_IPV6, ("2001:db8:1234:5678:11:2233:4455:6677", 32853)),
    ],
)
def test_the_responses_of_rfc_5769_are_read(wire: bytes, address: tuple[str, int]) -> None:
    message = stun.parse(wire)
    assert message.message_class == stun.SUCCESS
    assert message.mapped_address() == address
    assert message.has_integrity(KEY)


@given(st.binary(min_size=12, max_size=12), st.binary(min_size=1, max_size=64), ADDRESSES)
def test_aioice_reads_our_answers(transaction_id: bytes, key: bytes, address: tuple[str, int]) -> None:
    wire = stun.success(transaction_id, *address, key)
    seen = twin.parse_message(wire)
    assert seen.message_class == twin.Class.RESPONSE and seen.transaction_id == transaction_id
    assert seen.attributes["XOR-MAPPED-ADDRESS"] == address
    assert seen.check_message_integrity(key)
    ours = stun.parse(wire)
    assert ours.mapped_address() == address and ours.has_integrity(key)


@given(
    st.binary(min_size=12, max_size=12),
    st.text("abcdefgh+/:", min_size=1, max_size=100),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
    st.binary(min_size=1, max_size=64),
)
def test_we_read_aioices_checks(
    transaction_id: bytes, username: str, priority: int, tie_breaker: int, key: bytes
) -> None:
    sent = twin.Message(twin.Method.BINDING, twin.Class.REQUEST, transaction_id)
    sent.attributes = {"USERNAME": username, "PRIORITY": priority, "USE-CANDIDATE": None}
    sent.attributes["ICE-CONTROLLING"] = tie_breaker
    sent.add_message_integrity(key)
    message = stun.parse(bytes(sent))
    assert (message.method, message.message_class) == (stun.BINDING, stun.REQUEST)
    assert message.transaction_id == transaction_id and message.username == username
    assert message.attributes[stun.PRIORITY] == priority.to_bytes(4, "big")
    assert message.attributes[stun.ICE_CONTROLLING] == tie_breaker.to_bytes(8, "big")
    assert stun.USE_CANDIDATE in message.attributes
    assert message.has_integrity(key) and not message.has_integrity(key + b"x")


@pytest.mark.parametrize("code", [400, 401, 420, 487])
def test_aioice_reads_our_errors(code: int) -> None:
    wire = stun.error(TRANSACTION, code, KEY if code > 401 else None)
    seen = twin.parse_message(wire)
    assert seen.message_class == twin.Class.ERROR and seen.error_code == code
    assert seen.check_message_integrity(KEY) is (code > 401)
    assert stun.parse(wire).error() == (code, stun.REASONS[code])


def test_a_420_names_what_was_not_understood_and_no_more_than_fits() -> None:
    wire = stun.error(TRANSACTION, 420, KEY, range(0x10, 0x60))
    value = stun.parse(wire).attributes[stun.UNKNOWN_ATTRIBUTES]
    assert value == b"".join(struct.pack("!H", kind) for kind in range(0x10, 0x20))


@pytest.mark.parametrize("kind", [0x0001, 0x0111, 0x0101, 0x0011, 0x3EEF, 0x0113])
def test_method_and_class_are_told_apart_as_aioice_does(kind: int) -> None:
    message = stun.parse(_raw(b"", kind))
    assert message.message_class == kind & 0x110
    interleaved = message.method & 0xF | (message.method & 0x70) << 1 | (message.method & 0xF80) << 2
    assert interleaved | message.message_class == kind


def test_only_the_first_of_repeated_attributes_counts() -> None:
    wire = _raw(_attribute(stun.USERNAME, b"first:a") + _attribute(stun.USERNAME, b"second:b"))
    assert stun.parse(wire).username == "first:a"


def test_what_follows_the_integrity_is_ignored() -> None:
    signed = check()[: -stun._FINGERPRINT_SIZE]
    wire = _raw(signed[20:] + _attribute(stun.USE_CANDIDATE, b""))
    message = stun.parse(wire)
    assert message.has_integrity(LOCAL.password.encode())
    assert stun.USE_CANDIDATE not in message.attributes


def test_optional_attributes_need_not_be_understood() -> None:
    wire = _raw(_attribute(0xC057, b"\0\1\0\2") + _attribute(0x7777, b"?") + _attribute(0x0003, bytes(4)))
    assert stun.parse(wire).unknown_attributes() == [0x7777, 0x0003]


@pytest.mark.parametrize("value", [b"x" * 514, b"\xff:a", "ü:a".encode()])
def test_a_username_ice_cannot_have_made_is_none(value: bytes) -> None:
    assert stun.parse(_raw(_attribute(stun.USERNAME, value))).username is None


def _behind_its_fingerprint() -> bytes:
    """Return a message whose fingerprint is right for the length that a further attribute gives it."""
    before = _raw(bytes(12))[:20]
    checksum = struct.pack("!L", zlib.crc32(before) ^ 0x5354554E)
    return before + _attribute(stun.FINGERPRINT, checksum) + _attribute(stun.USE_CANDIDATE, b"")


MALFORMED = {
    "empty": b"",
    "short": bytes(19),
    "wrong cookie": _raw(b"", cookie=1),
    "not a type": _raw(b"", kind=0x4001),
    "too long": _raw(bytes(1500)),
    "length beyond the data": _raw(b"")[:2] + b"\0\4" + _raw(b"")[4:],
    "bytes behind the message": _raw(b"") + bytes(4),
    "odd length": _raw(b"abc"),
    "attribute beyond the message": _raw(struct.pack("!HH", 6, 5) + b"abcd"),
    "largest attribute": _raw(struct.pack("!HH", 6, 0xFFFF)),
    "too many attributes": _raw(_attribute(0x8022, b"") * (stun.MAX_ATTRIBUTES + 1)),
    "short integrity": _raw(_attribute(stun.MESSAGE_INTEGRITY, bytes(16))),
    "short priority": _raw(_attribute(stun.PRIORITY, bytes(2))),
    "USE-CANDIDATE with a value": _raw(_attribute(stun.USE_CANDIDATE, b"1")),
    "wrong fingerprint": _raw(_attribute(stun.FINGERPRINT, bytes(4))),
    "fingerprint not last": _behind_its_fingerprint(),
}


@pytest.mark.parametrize("wire", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_messages_are_refused(wire: bytes) -> None:
    with pytest.raises(MalformedPacket):
        stun.parse(wire)


@pytest.mark.parametrize(
    "value", [b"", bytes(7), bytes(8), b"\0\1" + bytes(18), b"\0\2" + bytes(6), bytes(21)]
)
def test_malformed_addresses_are_refused(value: bytes) -> None:
    with pytest.raises(MalformedPacket):
        stun.read_xor_address(value, TRANSACTION)


def test_what_is_not_in_the_message_cannot_be_read_from_it() -> None:
    message = stun.parse(_raw(b""))
    with pytest.raises(MalformedPacket):
        message.mapped_address()
    with pytest.raises(MalformedPacket):
        message.error()
    assert message.username is None and not message.has_integrity(KEY)


@given(st.integers(0, (len(check()) - stun._FINGERPRINT_SIZE) * 8 - 1))
def test_a_flipped_bit_is_always_noticed(bit: int) -> None:
    wire = bytearray(check())
    wire[bit // 8] ^= 1 << bit % 8
    with pytest.raises(MalformedPacket):
        stun.parse(bytes(wire))


@given(st.binary(max_size=120))
def test_any_bytes_are_a_message_or_malformed(body: bytes) -> None:
    for wire in (body, _raw(body)):
        with suppress(MalformedPacket):
            message = stun.parse(wire)
            message.has_integrity(KEY)
            message.unknown_attributes()
