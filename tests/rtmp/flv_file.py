"""Reading FLV files, to compare what programs published or played with what they had."""

from pathlib import Path
from typing import NamedTuple


class Tag(NamedTuple):
    kind: str
    timestamp: int
    body: bytes


KINDS = {8: "audio", 9: "video", 18: "script"}


def read_tags(path: Path) -> list[Tag]:
    """All tags of a file, in order; stops where the file is cut off."""
    data = path.read_bytes()
    assert data[:4] == b"FLV\x01"
    tags = []
    position = 13
    while position + 11 <= len(data):
        size = int.from_bytes(data[position + 1 : position + 4], "big")
        timestamp = int.from_bytes(data[position + 4 : position + 7], "big") | data[position + 7] << 24
        start = position + 11
        if start + size > len(data):
            break
        tags.append(Tag(KINDS[data[position]], timestamp, data[start : start + size]))
        position = start + size + 4
    return tags


def media(tags: list[Tag]) -> list[Tag]:
    return [tag for tag in tags if tag.kind != "script"]
