"""Writes the committed corpus of `fuzz_stun.py` from the tests' messages; run it after changing one.

Run: python -m tests.fuzz.stun_seeds
"""

from collections.abc import Iterable

from sfu.protocol import stun
from sfu.protocol.framing import frame
from tests.fuzz.seeds import write
from tests.sfu.checks import CONTROLLED, LOCAL, OTHER, PRIORITY, TRANSACTION, check, username
from tests.sfu.protocol.test_stun import (
    MALFORMED,
    RFC_5769_REQUEST,
    RFC_5769_RESPONSE_IPV4,
    RFC_5769_RESPONSE_IPV6,
)

FRAGMENT = username(LOCAL.username_fragment)
CHECKS = (
    check(),
    check(nominate=True),
    check(OTHER),
    check(LOCAL, FRAGMENT, PRIORITY, CONTROLLED),
    check(LOCAL, FRAGMENT, PRIORITY, (0x7000, b"what")),
    stun.serialize(stun.INDICATION, TRANSACTION, []),
    stun.error(TRANSACTION, stun.UNKNOWN_ATTRIBUTE, b"key", [0x7000]),
)
OTHERS = (b"\x16" + bytes(20), b"\x80\x60" + bytes(20), b"\x80\xc9" + bytes(10), b"\x04" * 20)


def stun_seeds() -> Iterable[bytes]:
    """Return every message as it is, signed, proven and framed."""
    rfc = (RFC_5769_REQUEST, RFC_5769_RESPONSE_IPV4, RFC_5769_RESPONSE_IPV6)
    for wire in (*CHECKS, *OTHERS, *rfc, *MALFORMED.values()):
        yield b"\x00" + wire
        yield b"\x01" + wire[20:88]
        yield b"\x02" + wire
        yield b"\x06" + frame(wire) + frame(CHECKS[0])


if __name__ == "__main__":
    write("stun", stun_seeds())
