"""Send times inside the media, so that latency is measured from end to end whatever carries it.

A stamp is an H.264 SEI message, user data unregistered (ITU-T H.264, D.1.7): our UUID, then the number of
the frame (8 hexadecimal digits) and the sender's clock in microseconds since 1970 (16 digits). As hexadecimal
text it needs no emulation prevention, so it is the same bytes in FLV, RTMP, fMP4 and MPEG-TS, and a viewer
finds it by searching, without knowing the container. Sender and viewer must share a clock.
"""

from array import array
from typing import Final

STAMP_UUID: Final = bytes.fromhex("6d65646961736572b665722d62656e63")
SEQUENCE_DIGITS: Final = 8
TIME_DIGITS: Final = 16
STAMP_LENGTH: Final = len(STAMP_UUID) + SEQUENCE_DIGITS + TIME_DIGITS
SEQUENCE_LIMIT: Final = 16**SEQUENCE_DIGITS

SEI_NAL_HEADER: Final = 0x06
SEI_USER_DATA_UNREGISTERED: Final = 5
RBSP_TRAILING: Final = 0x80

SEI_PREFIX: Final = bytes((SEI_NAL_HEADER, SEI_USER_DATA_UNREGISTERED, STAMP_LENGTH)) + STAMP_UUID
"""What stands before the digits in the SEI NAL unit."""
SEI_SUFFIX: Final = bytes((RBSP_TRAILING,))
SEI_LENGTH: Final = 3 + STAMP_LENGTH + 1


def serialize_stamp(sequence: int, microseconds: int) -> bytes:
    """The digits of a stamp, which follow ``SEI_PREFIX``."""
    return b"%08x%016x" % (sequence % SEQUENCE_LIMIT, microseconds)


def parse_stamp(digits: bytes) -> tuple[int, int]:
    """(sequence, microseconds). Raises ValueError when ``digits`` are none."""
    return int(digits[:SEQUENCE_DIGITS], 16), int(digits[SEQUENCE_DIGITS:], 16)


class StampScanner:
    """Finds stamps in a byte stream that arrives in pieces of any size.

    ``latencies`` are seconds from stamp to arrival, one per frame; ``lost`` counts frame numbers that were
    jumped over, ``repeated`` those that came again or late.
    """

    __slots__ = ("_expected", "_tail", "latencies", "lost", "repeated")

    def __init__(self) -> None:
        self._tail = b""
        self._expected: int | None = None
        self.latencies = array("d")
        self.lost = 0
        self.repeated = 0

    def feed(self, piece: memoryview, now: float) -> None:
        """Search ``piece``, which arrived at ``now`` (seconds since 1970)."""
        data = self._tail + piece
        end = 0
        while (at := data.find(STAMP_UUID, end)) >= 0:
            if at + STAMP_LENGTH > len(data):
                self._tail = data[at:]
                return
            end = at + STAMP_LENGTH
            self._take(data[at + len(STAMP_UUID) : end], now)
        self._tail = data[max(end, len(data) - len(STAMP_UUID) + 1) :]

    def restart(self) -> None:
        """Forget what was counted, and go on from the frame expected next."""
        self.latencies = array("d")
        self.lost = self.repeated = 0

    def _take(self, digits: bytes, now: float) -> None:
        try:
            sequence, microseconds = parse_stamp(digits)
        except ValueError:
            return
        self.latencies.append(now - microseconds / 1e6)
        if self._expected is not None and sequence != self._expected:
            missing = (sequence - self._expected) % SEQUENCE_LIMIT
            if missing >= SEQUENCE_LIMIT // 2:
                self.repeated += 1
                return
            self.lost += missing
        self._expected = (sequence + 1) % SEQUENCE_LIMIT
