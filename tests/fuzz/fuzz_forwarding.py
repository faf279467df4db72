"""Forwarding: any packets are refused, or leave with the same payload and only a peer's extensions.

The first byte of an input is the form of the peer's ids, the second how many packets follow.

Run: python tests/fuzz/fuzz_forwarding.py [libFuzzer options] folder...
"""

import os
import sys

import atheris

with atheris.instrument_imports():
    from sfu.forwarding import ConsumerState, Forwarder
    from sfu.header_extensions import Batch, extension_plan
    from sfu.protocol import rtp
    from sfu.protocol.errors import MalformedPacket
    from sfu.sending_path import SendingPath
    from sfu.srtp import AEAD_AES_128_GCM, SrtpSession

PLANS = (
    extension_plan({1: 9, 5: 10}, mid=4, mid_size=2, abs_send_time=2, transport_sequence=3),
    extension_plan({1: 20, 5: 10}, mid=40, mid_size=2, abs_send_time=2, transport_sequence=3),
)
FORWARDER = Forwarder()
KEYS = [os.urandom(28), os.urandom(28)]


class Ledger:
    """Numbers packets from 1."""

    def record_batch(self, entries: list[int]) -> int:
        return 1


def test_one_input(data: bytes) -> None:
    if len(data) < 2:
        return
    plan = PLANS[data[0] & 1]
    size = max(1, (len(data) - 2) // (1 + data[1] % 8))
    batch = Batch()
    for start in range(2, len(data), size):
        try:
            batch.add(data[start : start + size])
        except MalformedPacket:
            continue
    sent: list[bytes] = []
    path = SendingPath(send=sent.append, ledger=Ledger())
    path.srtp = SrtpSession(AEAD_AES_128_GCM, *KEYS)
    numbers = iter(range(1, 100_000))
    consumer = ConsumerState(path, 7, 96, lambda _: next(numbers), plan, b"ab")
    assert FORWARDER.forward(batch, [consumer], 1.0) == len(batch.packets) == len(sent)
    receiver = SrtpSession(AEAD_AES_128_GCM, KEYS[1], KEYS[0])
    for number, (source, header, datagram) in enumerate(
        zip(batch.packets, batch.headers, sent, strict=True), start=1
    ):
        packet = receiver.unprotect(datagram)
        arrived = rtp.parse(packet)
        assert (arrived.ssrc, arrived.sequence_number, arrived.payload_type) == (7, number, 96)
        assert packet[arrived.payload_offset :] == source[header.payload_offset :]
        allowed = {plan.mid, plan.abs_send_time, plan.transport_sequence, *plan.renumbered.values()}
        assert rtp.extensions(packet, arrived).keys() <= allowed


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
