"""STUN, frames and the mux: any bytes are answered, dropped or malformed, and nobody unproven is heard.

The first byte of an input says what the rest is: bit 0 has it signed with the password, bit 1 sends it from
an address that was proven before, bit 2 has it cut into RFC 4571 frames first.

Run: python tests/fuzz/fuzz_stun.py [libFuzzer options] folder...
"""

import hmac
import sys
from contextlib import suppress

import atheris

with atheris.instrument_imports():
    from sfu.mux import MAX_DATAGRAM_SIZE, Mux
    from sfu.protocol import stun
    from sfu.protocol.errors import MalformedPacket
    from sfu.protocol.framing import FrameReader
    from sfu.protocol.ice_lite import Address, IceCredentials, IceLiteAgent

CREDENTIALS = IceCredentials("localfragment", "p" * 22)
KEY = CREDENTIALS.password.encode()
PROVEN = Address("udp", "192.0.2.1", 4000)
STRANGER = Address("udp", "2001:db8::1", 5000)
CHECK = stun.serialize(
    stun.REQUEST,
    bytes(12),
    [(stun.USERNAME, b"localfragment:r"), (stun.PRIORITY, bytes(4)), (stun.USE_CANDIDATE, b"")],
    KEY,
)


class _Endpoint:
    def __init__(self) -> None:
        self.ice = IceLiteAgent(CREDENTIALS, 0.0)

    def receive_dtls(self, data: bytes, address: Address) -> None:
        assert address in self.ice.addresses and len(data) <= MAX_DATAGRAM_SIZE

    receive_rtp = receive_rtcp = receive_dtls


def _sign(data: bytes) -> bytes:
    """Return `data` as the header and attributes of a check that knows the password."""
    body = data[: len(data) & ~3]
    size = (len(body) + 24).to_bytes(2, "big")
    message = b"\0\1" + size + stun.MAGIC_COOKIE.to_bytes(4, "big") + bytes(12) + body
    return message + b"\0\x08\0\x14" + hmac.digest(KEY, message, "sha1")


def _receive(mux: Mux, data: bytes, address: Address) -> None:
    for answer, destination in mux.receive(data, address, 2.0):
        assert destination == address
        stun.parse(answer)
    with suppress(MalformedPacket):
        stun.parse(data).mapped_address()
    with suppress(MalformedPacket):
        stun.parse(data).error()


def test_one_input(data: bytes) -> None:
    if not data:
        return
    options, data = data[0], data[1:]
    mux, endpoint = Mux(), _Endpoint()
    mux.add(endpoint)
    assert mux.receive(CHECK, PROVEN, 1.0)
    datagrams = [data]
    if options & 4:
        with suppress(MalformedPacket):
            datagrams = FrameReader().feed(data)
    for datagram in datagrams:
        _receive(mux, _sign(datagram) if options & 1 else datagram, PROVEN if options & 2 else STRANGER)
    assert mux.counters.endpoint_errors == 0
    assert endpoint.ice.selected in endpoint.ice.addresses


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
