"""One batch of a broadcast: bytes, and for many sockets pages that the kernel sends without copying.

``write`` makes the kernel copy the batch once per socket, and that copy is most of what a viewer costs. The
batch is therefore put into a memory file once; ``sendfile`` only refers to its pages, which live until the
last socket has sent them. Measured on loopback: even at 10 kB, a quarter less CPU at 26 kB, 40 % at 90 kB.

Rules:

* Only a plain TCP socket whose transport has nothing unsent is written to past the transport: order is kept.
* What the socket does not take goes to the transport, and so does every error: it knows how to end.
"""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MINIMUM_BYTES: Final = 16 * 1024
MINIMUM_RECEIVERS: Final = 16
IS_SUPPORTED: Final = sys.platform == "linux"


class Batch:
    """``data``, and an open memory file with the same in ``pages``, or None."""

    __slots__ = ("data", "pages", "size")

    def __init__(self, data: bytes, pages: int | None = None) -> None:
        self.data: Final = data
        self.size: Final = len(data)
        self.pages: Final = pages

    def send_pages(self, to: socket.socket) -> int:
        """How many bytes the socket took at once; 0 also when it is full, closed or broken."""
        if self.pages is None:
            return 0
        try:
            # A closed socket's fileno() is -1, so a number that belongs to another by now is never used.
            return os.sendfile(to.fileno(), self.pages, 0, self.size)
        except OSError:
            return 0


@contextmanager
def batch_for(receivers: int, data: bytes) -> Iterator[Batch]:
    """A batch to be sent to ``receivers`` sockets; its pages are let go at the end of the block."""
    is_worthwhile = receivers >= MINIMUM_RECEIVERS and len(data) >= MINIMUM_BYTES
    pages = _memory_file(data) if is_worthwhile and IS_SUPPORTED else None
    try:
        yield Batch(data, pages)
    finally:
        if pages is not None:
            os.close(pages)


def _memory_file(data: bytes) -> int | None:
    """None where there is none to be had: out of files or memory, or a sandbox that forbids it."""
    try:
        file = os.memfd_create("batch")
    except OSError:
        return None
    try:
        if os.write(file, data) == len(data):
            return file
    except OSError:
        pass
    os.close(file)
    return None
