"""Reading bits off headers that came from anywhere."""

from mediaserver.media.errors import CodecConfigError

MAX_GOLOMB_BITS = 32
MAX_HEADER_SIZE = 4096
"""Bytes that are looked at: reading costs more the longer the header, and none in use is near that long."""


class BitReader:
    """Most significant bit first. Running out of bits is a CodecConfigError."""

    def __init__(self, data: bytes) -> None:
        header = data[:MAX_HEADER_SIZE]
        self._value = int.from_bytes(header, "big")
        self._left = len(header) * 8

    @property
    def remaining(self) -> int:
        """Bits not read yet."""
        return self._left

    def bits(self, count: int) -> int:
        if count > self._left:
            raise CodecConfigError(f"header ends {count - self._left} bits too early")
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def flag(self) -> bool:
        return self.bits(1) == 1

    def skip(self, count: int) -> None:
        self.bits(count)

    def unsigned_golomb(self) -> int:
        """ue(v) of H.264, 9.1."""
        zeros = 0
        while not self.flag():
            zeros += 1
            if zeros > MAX_GOLOMB_BITS:
                raise CodecConfigError(f"Exp-Golomb code of more than {MAX_GOLOMB_BITS} bits")
        return (1 << zeros) - 1 + self.bits(zeros)

    def signed_golomb(self) -> int:
        """se(v) of H.264, 9.1.1."""
        code = self.unsigned_golomb()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def without_emulation_prevention(unit: bytes) -> bytes:
    """The raw byte sequence payload of a NAL unit (H.264, 7.4.1)."""
    if b"\x00\x00\x03" not in unit:
        return unit
    parts, start = [], 0
    while (found := unit.find(b"\x00\x00\x03", start)) >= 0:
        parts.append(unit[start : found + 2])
        start = found + 3
    parts.append(unit[start:])
    return b"".join(parts)
