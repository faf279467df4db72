"""A consumer with a receiver that reads and decrypts what it was sent."""

import socket
import struct
from collections.abc import Callable

from sfu.forwarding import ConsumerState
from sfu.header_extensions import ExtensionPlan, extension_plan
from sfu.protocol import rtp
from sfu.protocol.congestion.ledger import MAX_SIZE
from sfu.sending_path import SendingPath
from sfu.srtp import AEAD_AES_128_GCM, SrtpProfile
from tests.sfu.srtp_pair import srtp_pair

PLAN = extension_plan({5: 10}, mid=4, mid_size=2, abs_send_time=2, transport_sequence=3)


def packet(
    sequence_number: int,
    extensions: list[tuple[int, bytes]] | None = None,
    size: int = 1000,
    marker: bool = False,
    csrc: tuple[int, ...] = (),
) -> bytes:
    """Return a packet of a producer whose payload says its number."""
    block = rtp.serialize_extensions(extensions or [])
    head = struct.pack(
        "!BBHLL",
        0x80 | (0x10 if block else 0) | len(csrc),
        (0x80 if marker else 0) | 100,
        sequence_number & 0xFFFF,
        90 * sequence_number,
        0xCAFE,
    )
    sources = b"".join(struct.pack("!L", source) for source in csrc)
    return head + sources + block + struct.pack("!L", sequence_number).ljust(size, b"v")


class Receiver:
    """A UDP socket with a consumer that sends to it."""

    def __init__(
        self,
        plan: ExtensionPlan = PLAN,
        profile: SrtpProfile = AEAD_AES_128_GCM,
        segmentation: bool = False,
        rewrite: Callable[[int], int | None] = lambda number: number,
        ssrc: int = 77,
    ) -> None:
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.udp.setblocking(False)
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sender.setblocking(False)
        self.path = SendingPath(self.sender, self.udp.getsockname(), segmentation=segmentation)
        self.path.srtp, self.srtp = srtp_pair(profile)
        self.consumer = ConsumerState(self.path, ssrc, 96, rewrite, plan, b"mid"[: plan.mid_size])

    def datagrams(self) -> list[bytes]:
        """Return what has arrived, as it came."""
        found = []
        while True:
            try:
                found.append(self.udp.recv(65536))
            except BlockingIOError:
                return found

    def packets(self) -> list[bytes]:
        """Return what has arrived, decrypted by libsrtp."""
        return [self.srtp.unprotect(datagram) for datagram in self.datagrams()]

    def close(self) -> None:
        """Close both sockets."""
        self.udp.close()
        self.sender.close()


class Ledger:
    """Counts like congestion control's, and keeps what it was told."""

    def __init__(self, first: int = 1) -> None:
        self.next = first
        self.batches: list[tuple[list[int], int]] = []

    def record_batch(self, entries: list[int]) -> int:
        first = self.next
        self.next += len(entries)
        self.batches.append(([entry & MAX_SIZE for entry in entries], entries[0] >> 16))
        return first & 0xFFFF
