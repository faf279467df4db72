"""Reading FLV bytes back, strictly (Adobe FLV 10.1, annex E)."""

from typing import NamedTuple


class FlvTag(NamedTuple):
    type: int
    timestamp: int
    body: bytes


def read_flv(data: bytes) -> list[FlvTag]:
    """The tags behind a file header."""
    assert data[:4] == b"FLV\x01"
    assert data[5:13] == bytes((0, 0, 0, 9, 0, 0, 0, 0))
    return read_tags(data[13:])


def read_tags(data: bytes) -> list[FlvTag]:
    """The tags in ``data``, all whole and each with its size behind it."""
    tags = []
    position = 0
    while position < len(data):
        head = data[position : position + 11]
        size = int.from_bytes(head[1:4], "big")
        assert head[8:11] == bytes(3), "stream id"
        end = position + 11 + size
        assert int.from_bytes(data[end : end + 4], "big") == 11 + size, "previous tag size"
        timestamp = int.from_bytes(head[7:8] + head[4:7], "big")
        tags.append(FlvTag(head[0], timestamp, data[position + 11 : end]))
        position = end + 4
    assert position == len(data)
    return tags
