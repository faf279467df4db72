"""Cutting a byte string in every way TCP might."""

import itertools

from hypothesis import strategies as st


def segments(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """Pieces that join to ``data``, some of them empty."""
    return st.lists(st.integers(0, len(data)), max_size=12).map(lambda cuts: _cut(data, sorted(cuts)))


def _cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *cuts, len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]
