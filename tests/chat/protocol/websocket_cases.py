"""One table of what clients send: it drives the parser, feeding byte by byte and the fuzz seeds."""

from dataclasses import dataclass

from chat.protocol.websocket import (
    MAX_FRAGMENTS,
    BytesReceived,
    CloseReceived,
    PingReceived,
    PongReceived,
    TextReceived,
    WebSocketEvent,
)

MAX_MESSAGE_BYTES = 70_000
"""The maximum all cases are read under."""

MASK = bytes.fromhex("37fa213d")
"""The key of the RFC's examples."""


@dataclass(frozen=True)
class WireCase:
    name: str
    wire: bytes
    events: tuple[WebSocketEvent, ...]


@dataclass(frozen=True)
class MalformedCase:
    name: str
    wire: bytes
    close_code: int
    reason: str
    events_before: int = 0


def hexed(*parts: str) -> bytes:
    return bytes.fromhex("".join(parts))


def masked(payload: bytes) -> bytes:
    """The key and the payload under it, byte by byte as RFC 6455, 5.3 says it."""
    return MASK + bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))


def sent(first: int, payload: bytes = b"") -> bytes:
    """A client's frame with the first byte ``first`` and the shortest length."""
    if len(payload) < 126:
        return bytes((first, 0x80 | len(payload))) + masked(payload)
    if len(payload) < 1 << 16:
        return bytes((first, 0xFE)) + len(payload).to_bytes(2, "big") + masked(payload)
    return bytes((first, 0xFF)) + len(payload).to_bytes(8, "big") + masked(payload)


def closing(code: int, reason: bytes = b"") -> bytes:
    return sent(0x88, code.to_bytes(2, "big") + reason)


EURO = "€".encode()
HELLO = sent(0x81, b"Hello")
FULL_MESSAGE = sent(0x01, b"a") + sent(0x00) * (MAX_FRAGMENTS - 1)

CASES = (
    WireCase("masked text of the RFC", hexed("8185 37fa213d 7f9f4d5158"), (TextReceived("Hello"),)),
    WireCase("empty text", sent(0x81), (TextReceived(""),)),
    WireCase("empty binary", sent(0x82), (BytesReceived(b""),)),
    WireCase("key of zeros", hexed("8283 00000000 616263"), (BytesReceived(b"abc"),)),
    WireCase("payload of 125 bytes", sent(0x82, b"x" * 125), (BytesReceived(b"x" * 125),)),
    WireCase("payload of 126 bytes", sent(0x82, b"x" * 126), (BytesReceived(b"x" * 126),)),
    WireCase("payload of 65535 bytes", sent(0x82, b"x" * 65535), (BytesReceived(b"x" * 65535),)),
    WireCase("payload of 65536 bytes", sent(0x82, b"x" * 65536), (BytesReceived(b"x" * 65536),)),
    WireCase("as long as allowed", sent(0x82, b"x" * 70_000), (BytesReceived(b"x" * 70_000),)),
    WireCase("letters of many bytes", sent(0x81, "žluť 🎈".encode()), (TextReceived("žluť 🎈"),)),
    WireCase("NUL in text", sent(0x81, b"a\x00b"), (TextReceived("a\x00b"),)),
    WireCase("two frames", HELLO + sent(0x82, b"z"), (TextReceived("Hello"), BytesReceived(b"z"))),
    WireCase("fragments", sent(0x01, b"Hel") + sent(0x80, b"lo"), (TextReceived("Hello"),)),
    WireCase("empty fragments", sent(0x02) + sent(0x00) + sent(0x80), (BytesReceived(b""),)),
    WireCase(
        "letter split over fragments", sent(0x01, EURO[:1]) + sent(0x80, EURO[1:]), (TextReceived("€"),)
    ),
    WireCase("as many fragments as allowed", FULL_MESSAGE[:-6] + sent(0x80, b"b"), (TextReceived("ab"),)),
    WireCase(
        "ping between fragments",
        sent(0x01, b"Hel") + sent(0x89, b"?") + sent(0x80, b"lo"),
        (PingReceived(b"?"), TextReceived("Hello")),
    ),
    WireCase(
        "a message after a fragmented one",
        sent(0x01, b"a") + sent(0x80, b"b") + sent(0x81, b"c"),
        (TextReceived("ab"), TextReceived("c")),
    ),
    WireCase("ping", sent(0x89), (PingReceived(b""),)),
    WireCase("longest ping", sent(0x89, b"p" * 125), (PingReceived(b"p" * 125),)),
    WireCase("pong", sent(0x8A, b"Hello"), (PongReceived(b"Hello"),)),
    WireCase("close without a code", sent(0x88), (CloseReceived(None, ""),)),
    WireCase("close", closing(1000), (CloseReceived(1000, ""),)),
    WireCase("close with a reason", closing(1001, EURO), (CloseReceived(1001, "€"),)),
    WireCase("close with the longest reason", closing(3000, b"r" * 123), (CloseReceived(3000, "r" * 123),)),
    WireCase("last code of applications", closing(4999), (CloseReceived(4999, ""),)),
    WireCase(
        "close between fragments", sent(0x01, b"Hel") + closing(1000) + HELLO, (CloseReceived(1000, ""),)
    ),
    WireCase("nothing is read after a close", closing(1000) + hexed("ff ff ff"), (CloseReceived(1000, ""),)),
)

MALFORMED = (
    MalformedCase("not masked", hexed("8105 48656c6c6f"), 1002, "frame not masked"),
    MalformedCase("empty and not masked", hexed("8100"), 1002, "frame not masked"),
    MalformedCase("ping not masked", hexed("8900"), 1002, "frame not masked"),
    *(
        MalformedCase(f"reserved bit {bit:#x}", sent(0x81 | bit, b"a"), 1002, "reserved bits set")
        for bit in (0x10, 0x20, 0x40)
    ),
    *(
        MalformedCase(f"opcode {opcode:#x}", sent(0x80 | opcode), 1002, "unknown opcode")
        for opcode in (*range(3, 8), *range(11, 16))
    ),
    *(
        MalformedCase(
            f"control frame {opcode:#x} of 126 bytes", sent(0x80 | opcode, bytes(126)), 1002, "too long"
        )
        for opcode in (8, 9, 10)
    ),
    *(
        MalformedCase(
            f"control frame {opcode:#x} in fragments", sent(opcode), 1002, "control frame in fragments"
        )
        for opcode in (8, 9, 10)
    ),
    MalformedCase("last continuation of nothing", sent(0x80, b"a"), 1002, "continuation of nothing"),
    MalformedCase("continuation of nothing", sent(0x00, b"a"), 1002, "continuation of nothing"),
    MalformedCase("continuation of a whole message", HELLO + sent(0x80, b"a"), 1002, "of nothing", 1),
    MalformedCase(
        "continuation of an ended message",
        sent(0x01, b"a") + sent(0x80, b"b") + sent(0x80, b"c"),
        1002,
        "continuation of nothing",
        1,
    ),
    MalformedCase("text inside a text", sent(0x01, b"a") + HELLO, 1002, "new message inside another"),
    MalformedCase("binary inside a text", sent(0x01, b"a") + sent(0x02, b"b"), 1002, "new message inside"),
    MalformedCase("125 in two bytes", hexed("82fe 007d") + masked(b"x" * 125), 1002, "shortest form"),
    MalformedCase("0 in two bytes", hexed("82fe 0000") + masked(b""), 1002, "shortest form"),
    MalformedCase("65535 in eight bytes", hexed("82ff 000000000000ffff"), 1002, "shortest form"),
    MalformedCase("1 in eight bytes", hexed("82ff 0000000000000001"), 1002, "shortest form"),
    MalformedCase("length of 64 bits", hexed("82ff 8000000000000000"), 1002, "length out of range"),
    MalformedCase("one byte too long", hexed("82ff 0000000000011171"), 1009, "message too big"),
    MalformedCase("as long as can be", hexed("81ff 7fffffffffffffff"), 1009, "message too big"),
    MalformedCase(
        "fragments too long together", sent(0x02, bytes(69_999)) + hexed("80 82"), 1009, "message too big"
    ),
    MalformedCase("too many fragments", FULL_MESSAGE + hexed("80 80"), 1002, "too many fragments"),
    MalformedCase("text is Latin-1", sent(0x81, b"caf\xe9"), 1007, "text is not UTF-8"),
    MalformedCase("text ends in a letter", sent(0x81, EURO[:2]), 1007, "text is not UTF-8"),
    MalformedCase("lone surrogate", sent(0x81, b"\xed\xa0\x80"), 1007, "text is not UTF-8"),
    MalformedCase("overlong letter", sent(0x81, b"\xc0\xaf"), 1007, "text is not UTF-8"),
    MalformedCase("beyond Unicode", sent(0x81, b"\xf4\x90\x80\x80"), 1007, "text is not UTF-8"),
    MalformedCase(
        "letter broken over fragments", sent(0x01, EURO[:1]) + sent(0x80, b"a"), 1007, "text is not UTF-8"
    ),
    *(
        MalformedCase(f"close code {code}", closing(code), 1002, "close code may not be sent")
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
    ),
    MalformedCase("close payload of a byte", sent(0x88, b"\x03"), 1002, "close code cut short"),
    MalformedCase("close reason is not UTF-8", closing(1000, b"\xff"), 1007, "text is not UTF-8"),
    MalformedCase("fault after two messages", HELLO + HELLO + hexed("8100"), 1002, "frame not masked", 2),
)

INCOMPLETE = (
    WireCase("nothing", b"", ()),
    WireCase("half a header", hexed("81"), ()),
    WireCase("half a length", hexed("82ff 0000 0000"), ()),
    WireCase("half a key", hexed("8185 37fa"), ()),
    WireCase("half a payload", HELLO[:-1], ()),
    WireCase("half a message", sent(0x01, b"Hel"), ()),
    WireCase("a message and a half", HELLO + HELLO[:7], (TextReceived("Hello"),)),
)
