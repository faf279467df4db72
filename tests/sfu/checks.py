"""STUN checks as a full agent sends them, and an address they come from."""

from __future__ import annotations

from sfu.protocol import stun
from sfu.protocol.ice_lite import Address, IceCredentials

LOCAL = IceCredentials("localfragment", "p" * 22)
OTHER = IceCredentials("otherfragment", "q" * 22)
HERE = Address("udp", "192.0.2.1", 4000)
THERE = Address("udp", "2001:db8::1", 5000)
TRANSACTION = bytes(range(12))
PRIORITY = (stun.PRIORITY, (1_853_817_087).to_bytes(4, "big"))
CONTROLLING = (stun.ICE_CONTROLLING, bytes(8))
CONTROLLED = (stun.ICE_CONTROLLED, bytes(8))
USE_CANDIDATE = (stun.USE_CANDIDATE, b"")


def username(fragment: str) -> tuple[int, bytes]:
    return stun.USERNAME, f"{fragment}:remote".encode()


def check(
    credentials: IceCredentials = LOCAL,
    *attributes: tuple[int, bytes],
    nominate: bool = False,
    transaction_id: bytes = TRANSACTION,
) -> bytes:
    """Return a Binding request with the usual attributes, or exactly with `attributes`."""
    usual = [username(credentials.username_fragment), PRIORITY, CONTROLLING]
    if nominate:
        usual.append(USE_CANDIDATE)
    return stun.serialize(stun.REQUEST, transaction_id, attributes or usual, credentials.password.encode())


def error_code(answer: bytes) -> int:
    return stun.parse(answer).error()[0]
