"""Program tables of a transport stream (ISO 13818-1, 2.4.4)."""

from collections.abc import Sequence
from struct import pack
from typing import Final

from mediaserver.media.codecs import CODECS, AudioDescription, describe
from mediaserver.media.packet import Codec, Track

PMT_PID: Final = 0x1000
FIRST_PID: Final = 0x100
NULL_PID: Final = 0x1FFF
PROGRAM: Final = 1
TABLE_VERSIONS: Final = 32
_POLYNOMIAL: Final = 0x04C11DB7


def program_association() -> bytes:
    """The PAT: one program, whose map is on PMT_PID."""
    return _PROGRAM_ASSOCIATION


def program_map(streams: Sequence[tuple[Track, int]], version: int) -> bytes:
    """The PMT for (Track, PID) pairs; the first one carries the clock.

    Receivers take no notice of a change of streams unless ``version``, modulo TABLE_VERSIONS, changes too.
    """
    clock_pid = streams[0][1] if streams else NULL_PID
    body = pack(">HH", 0xE000 | clock_pid, 0xF000)
    for track, pid in streams:
        descriptors = _descriptors(track)
        stream_type = CODECS[track.codec].transport_stream_type or 0
        body += pack(">BHH", stream_type, 0xE000 | pid, 0xF000 | len(descriptors)) + descriptors
    return _section(2, PROGRAM, version, body)


def _descriptors(track: Track) -> bytes:
    if track.codec is Codec.AC3:
        return b"\x05\x04AC-3"
    if track.codec is Codec.OPUS:
        description = describe(track)
        channels = description.channels if isinstance(description, AudioDescription) else 2
        return b"\x05\x04Opus" + bytes((0x7F, 2, 0x80, channels))
    return b""


def _section(table_id: int, extension: int, version: int, body: bytes) -> bytes:
    """A section, in force at once, with its checksum."""
    length = len(body) + 9
    section = pack(">BHHBBB", table_id, 0xB000 | length, extension, 0xC1 | version << 1, 0, 0) + body
    return section + pack(">I", _checksum(section))


def _checksum(data: bytes) -> int:
    """CRC-32/MPEG-2 (annex A). Only tables of a few dozen bytes go through here, once per change."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1 ^ (_POLYNOMIAL if register & 0x80000000 else 0)) & 0xFFFFFFFF
    return register


_PROGRAM_ASSOCIATION: Final = _section(0, 1, 0, pack(">HH", PROGRAM, 0xE000 | PMT_PID))
