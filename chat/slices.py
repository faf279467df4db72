"""Much work that nobody waits for, cut up so that it does not hold up everything else."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

ItemT = TypeVar("ItemT")


def sliced(items: Sequence[ItemT], size: int) -> Iterator[Sequence[ItemT]]:
    """``size`` of them at a time, and the rest."""
    for first in range(0, len(items), size):
        yield items[first : first + size]
