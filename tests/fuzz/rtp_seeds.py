"""Writes the committed corpora of `fuzz_rtp.py`, `fuzz_rtcp.py`, `fuzz_red.py` and `fuzz_payloads.py`.

Run: python -m tests.fuzz.rtp_seeds
"""

from collections.abc import Iterable

from sfu.protocol import rtcp
from tests.fuzz.seeds import write
from tests.sfu.protocol.packets import packet_with
from tests.sfu.protocol.payloads.descriptors import extended, mandatory
from tests.sfu.protocol.payloads.test_dependency_descriptor import L1T3, L2T1
from tests.sfu.protocol.payloads.test_vp9 import KEYFRAME
from tests.sfu.protocol.red_payloads import red_payload

ARRIVALS = [
    (number, None if number % 7 == 3 else number * 900 + number % 5 * 100_000) for number in range(60)
]
BLOCK = rtcp.ReportBlock(1, 2, -3, 4, 5, 6, 7)
EVENTS: tuple[rtcp.Event, ...] = (
    rtcp.SenderReport(1, 2 << 32, 3, 4, 5, (BLOCK, BLOCK)),
    rtcp.ReceiverReport(1, (BLOCK,)),
    rtcp.SourceDescription(((1, "name"), (2, ""))),
    rtcp.Goodbye((1, 2)),
    rtcp.ExtendedReport(1, 2 << 32, ((1, 2, 3),)),
    rtcp.Nack(1, 2, (5, 6, 9, 40, 65535, 0)),
    rtcp.PictureLossIndication(1, 2),
    rtcp.FullIntraRequest(1, ((2, 3), (4, 5))),
    rtcp.ReceiverEstimatedMaximumBitrate(1, 2_500_000, (1, 2)),
    rtcp.TransportFeedback(1, 2, 3, ARRIVALS),
    rtcp.TransportFeedback(1, 2, 4, [(number, number * 250) for number in range(300)]),
)


def rtp_seeds() -> Iterable[bytes]:
    """Return packets without extensions, and in both forms."""
    for values in ([], [(1, b"0"), (5, b"\x01\x02"), (14, b"x" * 16)], [(1, b""), (200, b"y" * 40)]):
        packet = packet_with(values)
        yield packet
        yield b"\xb2" + packet[1:12] + bytes(8) + packet[12:] + b"\0\0\0\4"


def red_seeds() -> Iterable[bytes]:
    """Return packets with and without copies, padding and extensions."""
    for payload in (b"", red_payload(b"frame"), red_payload(b"frame", b"older", b"old"), b"\xef\0\0\4"):
        packet = packet_with([(6, b"\x85")], payload)
        yield packet
        yield b"\xb0" + packet[1:] + b"\0\0\3"


def rtcp_seeds() -> Iterable[bytes]:
    """Return every kind alone and all that fit together."""
    for event in EVENTS:
        yield event.serialize()
    yield b"".join(event.serialize() for event in EVENTS)


def payload_seeds() -> Iterable[bytes]:
    """Return payloads after the number of their codec."""
    for payload in (b"\x10\x00", b"\x90\xf0\x81\x23\x07\x60\x01", b"\x90\x80\x05\x00"):
        yield b"\x00" + payload * 2
    for payload in (KEYFRAME, b"\xf8\x05\x22\x03\x05\x06frame", b"\xe5\x05\x22\x03"):
        yield b"\x01" + payload * 2
    for payload in (b"\x65\x88", b"\x78\x00\x02\x67\x42\x00\x02\x68\xce", b"\x7c\x85"):
        yield b"\x02" + payload
    for payload in (b"\x18\x30\x10", b"\x20\x01\x10\x08\x00\x00", b"\x00\x03\x08\x00\x00\x02\x30\x10"):
        yield b"\x03" + payload
    for structure in (L1T3, L2T1):
        custom = extended(
            None, 1, structure.target_count, [1] * structure.target_count, [9], [2] * structure.chain_count
        )
        first = mandatory(structure.template_id_offset, 1)
        descriptors = (first + extended(structure), first, first + custom)
        yield b"\x04" + b"".join(bytes((len(found),)) + found for found in descriptors)


if __name__ == "__main__":
    write("rtp", rtp_seeds())
    write("red", red_seeds())
    write("rtcp", rtcp_seeds())
    write("payloads", payload_seeds())
