"""One table of chunk streams: it drives the reader, the writer, feeding byte by byte and the fuzz seeds."""

from dataclasses import dataclass

from rtmp.protocol.chunks import ChunkLimits
from rtmp.protocol.errors import ChunkError, LimitExceededError, ProtocolError

LIMITS = ChunkLimits(
    max_chunk_size=0xFFFF, max_message_size=4096, max_chunk_streams=4, max_buffered_bytes=6000
)
"""The limits all cases are read under."""

Message = tuple[int, int, int, bytes]
"""Type id, timestamp, message stream id, payload."""


@dataclass(frozen=True)
class ChunkCase:
    name: str
    wire: bytes
    messages: tuple[Message, ...]
    chunk_stream_id: int | None = None
    """Set where ``serialize_message`` with 128-byte chunks must give exactly ``wire`` for the one message."""


@dataclass(frozen=True)
class MalformedCase:
    name: str
    wire: bytes
    error: type[ProtocolError]
    text: str
    messages_before: int = 0


def hexed(*parts: str) -> bytes:
    return bytes.fromhex("".join(parts))


LONG = bytes(range(256)) * 2
LONG_A, LONG_B = b"A" * 300, b"B" * 200
EXTENDED = "01000000"
SET_CHUNK_SIZE_256 = hexed("02 000000 000004 01 00000000 00000100")

CASES = (
    ChunkCase("type 0", hexed("04 00000a 000003 08 01000000 616263"), ((8, 10, 1, b"abc"),), 4),
    ChunkCase("empty payload", hexed("04 00000a 000000 08 01000000"), ((8, 10, 1, b""),), 4),
    ChunkCase(
        "two-byte chunk stream id", hexed("00 24 000000 000001 09 01000000 61"), ((9, 0, 1, b"a"),), 100
    ),
    ChunkCase("smallest two-byte id", hexed("00 00 000000 000001 09 01000000 61"), ((9, 0, 1, b"a"),), 64),
    ChunkCase("largest two-byte id", hexed("00 ff 000000 000001 09 01000000 61"), ((9, 0, 1, b"a"),), 319),
    ChunkCase(
        "three-byte chunk stream id", hexed("01 a803 000000 000001 09 01000000 61"), ((9, 0, 1, b"a"),), 1000
    ),
    ChunkCase("largest id", hexed("01 ffff 000000 000001 09 01000000 61"), ((9, 0, 1, b"a"),), 65599),
    ChunkCase(
        "low id in the three-byte form is the same stream",
        hexed("00 00 000005 000001 09 01000000 61", "c1 0000 62"),
        ((9, 5, 1, b"a"), (9, 10, 1, b"b")),
    ),
    ChunkCase(
        "a message in four chunks",
        hexed("06 000000 000200 09 01000000") + b"\xc6".join(LONG[i : i + 128] for i in range(0, 512, 128)),
        ((9, 0, 1, LONG),),
        6,
    ),
    ChunkCase(
        "continuation with a two-byte id",
        hexed("00 00 000000 000081 09 01000000") + b"a" * 128 + hexed("c0 00 62"),
        ((9, 0, 1, b"a" * 128 + b"b"),),
        64,
    ),
    ChunkCase(
        "type 1, then type 2, then type 3 apply deltas",
        hexed(
            "04 0003e8 000001 08 01000000 61",
            "44 000014 000002 09 6262",
            "84 000005 6363",
            "c4 6464",
        ),
        ((8, 1000, 1, b"a"), (9, 1020, 1, b"bb"), (9, 1025, 1, b"cc"), (9, 1030, 1, b"dd")),
    ),
    ChunkCase(
        "type 3 after type 0 applies the timestamp as delta",
        hexed("04 000017 000001 08 01000000 61", "c4 62"),
        ((8, 23, 1, b"a"), (8, 46, 1, b"b")),
    ),
    ChunkCase(
        "type 1 opens a chunk stream",
        hexed("42 000007 000006 04 0006 00000001"),
        ((4, 7, 0, hexed("0006 00000001")),),
    ),
    ChunkCase(
        "two messages interleaved",
        hexed("04 000000 00012c 08 01000000")
        + LONG_A[:128]
        + hexed("06 000001 0000c8 09 01000000")
        + LONG_B[:128]
        + b"\xc4"
        + LONG_A[128:256]
        + b"\xc6"
        + LONG_B[128:]
        + b"\xc4"
        + LONG_A[256:],
        ((9, 1, 1, LONG_B), (8, 0, 1, LONG_A)),
    ),
    ChunkCase(
        "set chunk size works at once",
        SET_CHUNK_SIZE_256 + hexed("06 000000 000200 09 01000000") + LONG[:256] + b"\xc6" + LONG[256:],
        ((1, 0, 0, hexed("00000100")), (9, 0, 1, LONG)),
    ),
    ChunkCase(
        "the largest chunk size allowed",
        hexed("02 000000 000004 01 00000000 0000ffff"),
        ((1, 0, 0, hexed("0000ffff")),),
        2,
    ),
    ChunkCase(
        "abort drops a message under way",
        hexed("04 000000 0000c8 08 01000000")
        + LONG_B[:128]
        + hexed("02 000000 000004 02 00000000 00000004", "04 000009 000001 08 01000000 61"),
        ((2, 0, 0, hexed("00000004")), (8, 9, 1, b"a")),
    ),
    ChunkCase(
        "abort of an unknown chunk stream",
        hexed("02 000000 000004 02 00000000 00000063"),
        ((2, 0, 0, hexed("00000063")),),
        2,
    ),
    ChunkCase(
        "extended timestamp",
        hexed("04 ffffff 000001 08 01000000", EXTENDED, "61"),
        ((8, 0x1000000, 1, b"a"),),
        4,
    ),
    ChunkCase(
        "extended timestamp of exactly 16777215",
        hexed("04 ffffff 000001 08 01000000 00ffffff 61"),
        ((8, 0xFFFFFF, 1, b"a"),),
        4,
    ),
    ChunkCase(
        "the largest plain timestamp",
        hexed("04 fffffe 000001 08 01000000 61"),
        ((8, 0xFFFFFE, 1, b"a"),),
        4,
    ),
    ChunkCase(
        "extended timestamp repeated on type 3",
        hexed("06 ffffff 0000c8 09 01000000", EXTENDED) + LONG_B[:128] + hexed("c6", EXTENDED) + LONG_B[128:],
        ((9, 0x1000000, 1, LONG_B),),
        6,
    ),
    ChunkCase(
        "extended timestamp left out on type 3, as old librtmp does",
        hexed("06 ffffff 0000c8 09 01000000", EXTENDED) + LONG_B[:128] + b"\xc6" + LONG_B[128:],
        ((9, 0x1000000, 1, LONG_B),),
    ),
    ChunkCase(
        "extended timestamp left out before a payload shorter than it",
        hexed("06 ffffff 000082 09 01000000", EXTENDED)
        + b"a" * 128
        + b"\xc6bb"
        + hexed("04 000000 000001 08 01000000 63"),
        ((9, 0x1000000, 1, b"a" * 128 + b"bb"), (8, 0, 1, b"c")),
    ),
    ChunkCase(
        "extended timestamp on type 1 is a delta",
        hexed("04 000001 000001 08 01000000 61", "44 ffffff 000001 08", EXTENDED, "62"),
        ((8, 1, 1, b"a"), (8, 0x1000001, 1, b"b")),
    ),
    ChunkCase(
        "extended timestamp on type 2 is a delta, which type 3 repeats and applies again",
        hexed("04 000001 000001 08 01000000 61", "84 ffffff", EXTENDED, "62", "c4", EXTENDED, "63"),
        ((8, 1, 1, b"a"), (8, 0x1000001, 1, b"b"), (8, 0x2000001, 1, b"c")),
    ),
    ChunkCase(
        "timestamps wrap at 2**32",
        hexed("04 ffffff 000001 08 01000000 ffffffff 61", "84 000002 62"),
        ((8, 0xFFFFFFFF, 1, b"a"), (8, 1, 1, b"b")),
    ),
    ChunkCase(
        "message stream ids are little-endian",
        hexed("04 000000 000001 08 78563412 61"),
        ((8, 0, 0x12345678, b"a"),),
        4,
    ),
)

MALFORMED = (
    MalformedCase("type 3 without a header", hexed("c4 61"), ChunkError, "type 3 chunk on chunk stream 4"),
    MalformedCase(
        "type 2 without a header", hexed("84 000001 61"), ChunkError, "type 2 chunk on chunk stream 4"
    ),
    MalformedCase(
        "a header in the middle of a message",
        hexed("04 000000 0000c8 08 01000000") + LONG_B[:128] + hexed("04 000000 000001 08 01000000 61"),
        ChunkError,
        "type 0 chunk header in the middle",
    ),
    MalformedCase(
        "message over the limit",
        hexed("04 000000 001001 08 01000000"),
        LimitExceededError,
        "message length 4097 is over the limit of 4096",
    ),
    MalformedCase(
        "message of 16 MiB",
        hexed("04 000000 ffffff 08 01000000"),
        LimitExceededError,
        "message length 16777215",
    ),
    MalformedCase(
        "too many chunk streams",
        b"".join(hexed(f"{i:02x} 000000 000001 08 01000000 61") for i in range(4, 9)),
        LimitExceededError,
        "more than 4 chunk streams",
        messages_before=4,
    ),
    MalformedCase(
        "unfinished messages over the limit together",
        SET_CHUNK_SIZE_256[:-4]
        + hexed("00000fff")
        + hexed("04 000000 001000 08 01000000")
        + bytes(4095)
        + hexed("05 000000 001000 08 01000000")
        + bytes(4095),
        LimitExceededError,
        "unfinished messages are over the limit of 6000",
        messages_before=1,
    ),
    MalformedCase(
        "chunk size over the limit",
        hexed("02 000000 000004 01 00000000 00010000"),
        LimitExceededError,
        "Set Chunk Size 65536 is over the limit of 65535",
    ),
    MalformedCase(
        "chunk size 0", hexed("02 000000 000004 01 00000000 00000000"), ChunkError, "Set Chunk Size 0 is not"
    ),
    MalformedCase(
        "chunk size with the top bit set",
        hexed("02 000000 000004 01 00000000 80000080"),
        ChunkError,
        "Set Chunk Size 2147483776 is not",
    ),
    MalformedCase(
        "set chunk size of 3 bytes",
        hexed("02 000000 000003 01 00000000 000080"),
        ChunkError,
        "Set Chunk Size of 3 bytes",
    ),
    MalformedCase(
        "abort of 5 bytes", hexed("02 000000 000005 02 00000000 0000000400"), ChunkError, "Abort of 5 bytes"
    ),
)
