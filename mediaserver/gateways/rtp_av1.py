"""AV1 over RTP (AV1 RTP specification, 4): temporal units out of payloads."""

from collections.abc import Iterator, Sequence
from typing import Final

from mediaserver.media.codecs.av1_sequence import av1_record
from mediaserver.media.errors import MediaError
from sfu.protocol.errors import MalformedPacket

MAX_OBUS: Final = 4096
"""In one temporal unit: more than a tile group for each tile of the largest frame."""
MAX_LENGTH_BYTES: Final = 4
"""Of a LEB128 length; a unit that needs more is larger than any frame here."""

_CONTINUES: Final = 0x80
_IS_CONTINUED: Final = 0x40
_SEQUENCE_HEADER: Final = 1
_FRAME_HEADERS: Final = (3, 6)
_NOT_STORED: Final = frozenset((2, 8, 15))
"""Temporal delimiters, tile lists and padding."""
_HAS_EXTENSION: Final = 0x04
_HAS_SIZE: Final = 0x02
_FORBIDDEN: Final = 0x80


class Av1Format:
    """Temporal units as samples are stored: every OBU with its size, no temporal delimiters."""

    def __init__(self) -> None:
        self._config: bytes | None = None

    @property
    def config(self) -> bytes | None:
        """The av1C record of the last keyframe."""
        return self._config

    def starts_frame(self, payload: bytes) -> bool:
        """Where the packet before is missing, only what begins with a whole OBU may be a beginning."""
        return len(payload) > 1 and not payload[0] & _CONTINUES

    def assemble(self, payloads: Sequence[bytes]) -> tuple[bytes, bool]:
        stored: list[bytes] = []
        record: bytes | None = None
        is_keyframe: bool | None = None
        for count, element in enumerate(_elements(payloads)):
            if count >= MAX_OBUS:
                raise MalformedPacket(f"AV1 temporal unit of more than {MAX_OBUS} OBUs")
            kind, prefix, body = _split(element)
            if kind in _NOT_STORED:
                continue
            obu = prefix + leb128(len(body)) + body
            stored.append(obu)
            if kind == _SEQUENCE_HEADER:
                record = _record(obu, len(obu) - len(body))
            elif kind in _FRAME_HEADERS and is_keyframe is None:
                # show_existing_frame and frame_type, all 0 in a keyframe (AV1, 5.9.2)
                is_keyframe = bool(body) and not body[0] >> 5
        # A keyframe that nobody can begin with, for want of a sequence header, is of no use as one.
        if not is_keyframe or record is None:
            return b"".join(stored), False
        self._config = record
        return b"".join(stored), True


def _record(obu: bytes, body_offset: int) -> bytes:
    try:
        return av1_record(obu, body_offset)
    except MediaError as error:
        raise MalformedPacket(f"AV1 sequence header: {error}") from error


def _elements(payloads: Sequence[bytes]) -> Iterator[bytes]:
    """The OBUs in the packets of one temporal unit, put together from their fragments (4.4)."""
    fragments: list[bytes] = []
    for payload in payloads:
        if not payload:  # only probes the path
            continue
        parts = list(_parts(payload))
        if not parts or bool(payload[0] & _CONTINUES) != bool(fragments):
            raise MalformedPacket("AV1 packet without OBUs, or fragments without a beginning")
        for part in parts[:-1]:
            yield b"".join((*fragments, part))
            fragments.clear()
        fragments.append(parts[-1])
        if not payload[0] & _IS_CONTINUED:
            yield b"".join(fragments)
            fragments.clear()
    if fragments:
        raise MalformedPacket("AV1 unit without its last fragment")


def _parts(payload: bytes) -> Iterator[bytes]:
    """The OBU elements of one packet: each behind its length, but for the last one if W counts them."""
    count = payload[0] >> 4 & 3
    position, index = 1, 0
    while position < len(payload) and (not count or index < count):
        index += 1
        size = len(payload) - position
        if index != count:
            size, position = _read_leb128(payload, position)
        end = position + size
        if not size or end > len(payload):
            raise MalformedPacket("AV1 OBU that is empty or past the end of its packet")
        yield payload[position:end]
        position = end
    if index < count or position < len(payload):
        raise MalformedPacket(f"AV1 packet with {index} OBUs of {count}")


def _split(element: bytes) -> tuple[int, bytes, bytes]:
    """(type, header with the size flag set, payload) of an OBU (AV1, 5.3)."""
    header = element[0]
    start = 2 if header & _HAS_EXTENSION else 1
    if header & _FORBIDDEN or len(element) < start:
        raise MalformedPacket("AV1 OBU header")
    prefix = bytes((header | _HAS_SIZE,)) + element[1:start]
    end = len(element)
    if header & _HAS_SIZE:
        size, start = _read_leb128(element, start)
        end = start + size
        if end > len(element):
            raise MalformedPacket("AV1 OBU larger than its element")
    return header >> 3 & 0x0F, prefix, element[start:end]


def _read_leb128(data: bytes, position: int) -> tuple[int, int]:
    """A length and where it ends (AV1, 4.10.5)."""
    value = 0
    for index, byte in enumerate(data[position : position + MAX_LENGTH_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, position + index + 1
    raise MalformedPacket("AV1 length that does not end")


def leb128(value: int) -> bytes:
    """Return a length as it is written (AV1, 4.10.5)."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
