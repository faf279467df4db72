"""Pieces of batches that wait for their consumers' pace; consumers that wait for the same one share it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING, Final

from sfu.forwarding import ConsumerState
from sfu.header_extensions import Batch

if TYPE_CHECKING:
    from sfu.consumer import Consumer
    from sfu.producer_stream import ProducerStream

PIECE_PACKETS: Final = 4
"""About one slice of the pacer at two megabits per second."""

_serials = count()


class Piece:
    """A few packets of one stream, not yet numbered for anybody."""

    __slots__ = ("batch", "serial", "size", "stream")

    def __init__(self, stream: ProducerStream, batch: Batch, size: int) -> None:
        self.stream = stream
        self.batch = batch
        self.size = size
        self.serial = next(_serials)
        """What is older leaves first, whoever waits for it."""


Waiting = tuple["Consumer", "Piece | bytearray"]
"""What a pacer's queue holds: a piece, or a packet of RTX."""


def pieces(stream: ProducerStream, batch: Batch) -> Iterator[Piece]:
    """Divide a batch."""
    for start in range(0, len(batch.packets), PIECE_PACKETS):
        end = start + PIECE_PACKETS
        part = Batch(batch.stream)
        part.packets = batch.packets[start:end]
        part.headers = batch.headers[start:end]
        part.places = batch.places[start:end]
        part.sources = batch.sources[start:end]
        part.details = batch.details[start:end]
        yield Piece(stream, part, sum(map(len, part.packets)))


class Releases:
    """Pieces whose time has come, gathered over all transports and sent once for each."""

    __slots__ = ("_by_serial",)

    def __init__(self) -> None:
        self._by_serial: dict[int, tuple[Piece, list[ConsumerState]]] = {}

    def add(self, piece: Piece, state: ConsumerState) -> None:
        """Send `piece` to this consumer, too."""
        self._by_serial.setdefault(piece.serial, (piece, []))[1].append(state)

    def take(self) -> Sequence[tuple[Piece, list[ConsumerState]]]:
        """Return all, the oldest piece first."""
        if not self._by_serial:
            return ()
        found, self._by_serial = self._by_serial, {}
        return [found[serial] for serial in sorted(found)]
