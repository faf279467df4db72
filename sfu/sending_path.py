"""How protected datagrams leave for one peer: UDP, several at a time where the kernel can, or another way."""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Callable
from typing import Final, Protocol

from sfu.srtp import SrtpSession

UDP_SEGMENT: Final = 103
"""Linux's socket option (udp(7)): the kernel cuts one buffer into datagrams of this size (GSO)."""
MAX_SEGMENTS: Final = 32
"""The kernel takes 64 and more; a longer burst would hold the other peers up."""
MAX_RUN_SIZE: Final = 60_000
"""What one UDP message holds, with room for headers."""

_SEGMENT_SIZE = struct.Struct("=H")
_REFUSALS: Final = frozenset(
    (errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.ENOSYS)
)
"""What kernels, devices and paths say that cannot segment; the datagrams go out one by one then."""

MAX_SEGMENT_SIZE: Final = 1_400
"""Larger datagrams may not fit the path, which the kernel tells of segments alone: they go out one by one."""

SocketAddress = tuple[str, int] | tuple[str, int, int, int]
Ancillary = list[tuple[int, int, bytes]]

_ANCILLARY: Final[dict[int, Ancillary]] = {}
"""By segment size, of which there are at most as many as packet sizes."""


class TransportLedger(Protocol):
    """Who numbers packets transport-wide and remembers when they left (congestion control)."""

    def record_batch(self, entries: list[int]) -> int:
        """Note packets that leave together (`sent_entries` of the ledger); return the first one's number."""


def can_segment(udp: socket.socket) -> bool:
    """Ask the kernel once whether this socket may send by segments."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        udp.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 0)
    except OSError:
        return False
    return True


class SendingPath:
    """Where one transport's datagrams go; `address` and `srtp` come when ICE and DTLS have them.

    What cannot be sent at once is dropped and counted: late media is of no use, and a queue would grow.
    """

    __slots__ = ("address", "dropped", "ledger", "octets", "packets", "segmentation", "send", "srtp", "udp")

    def __init__(
        self,
        udp: socket.socket | None = None,
        address: SocketAddress | None = None,
        send: Callable[[bytes], None] | None = None,
        segmentation: bool = False,
        ledger: TransportLedger | None = None,
    ) -> None:
        """With `udp`, a non-blocking socket, datagrams go to `address`; else to `send` (ICE-TCP)."""
        self.udp = udp
        self.address = address
        self.send = send
        self.segmentation = segmentation
        self.ledger = ledger
        self.srtp: SrtpSession | None = None
        self.packets = 0
        self.octets = 0
        self.dropped = 0

    @property
    def is_open(self) -> bool:
        """Whether anything can be sent."""
        return self.srtp is not None and (
            self.send is not None or (self.udp is not None and self.address is not None)
        )

    def send_run(self, data: memoryview, size: int) -> int:
        """Send `data` as datagrams of `size` bytes each, the last may be shorter; return how many left."""
        if len(data) <= size:
            return self.send_one(data)
        if self.segmentation and size <= MAX_SEGMENT_SIZE and self.udp is not None:
            try:
                self.udp.sendmsg((data,), _ancillary(size), 0, self.address)
            except OSError as error:
                if error.errno not in _REFUSALS:
                    return self._drop(-(-len(data) // size))
                self.segmentation = False
            else:
                count = -(-len(data) // size)
                self.packets += count
                self.octets += len(data)
                return count
        return sum(self.send_one(data[start : start + size]) for start in range(0, len(data), size))

    def send_one(self, datagram: memoryview | bytes) -> int:
        """Send one datagram; return 1, or 0 if it was dropped."""
        try:
            if self.udp is not None and self.address is not None:
                self.udp.sendto(datagram, self.address)
            elif self.send is not None:
                self.send(bytes(datagram))
            else:
                return self._drop(1)
        except OSError:
            return self._drop(1)
        self.packets += 1
        self.octets += len(datagram)
        return 1

    def _drop(self, count: int) -> int:
        self.dropped += count
        return 0


def _ancillary(size: int) -> Ancillary:
    known = _ANCILLARY.get(size)
    if known is None:
        known = _ANCILLARY[size] = [(socket.IPPROTO_UDP, UDP_SEGMENT, _SEGMENT_SIZE.pack(size))]
    return known
