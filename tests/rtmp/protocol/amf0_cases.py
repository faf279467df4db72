"""One table of AMF0 values: it drives decoder, encoder and the fuzz seeds."""

from dataclasses import dataclass

from rtmp.protocol.amf0 import Date, EcmaArray, TypedObject, XmlDocument


@dataclass(frozen=True)
class AmfCase:
    name: str
    wire: bytes
    values: list[object]
    is_canonical: bool = True
    """Whether the encoder gives ``wire`` for ``values``."""


@dataclass(frozen=True)
class MalformedAmf:
    name: str
    wire: bytes
    text: str


def hexed(*parts: str) -> bytes:
    return bytes.fromhex("".join(parts))


def nested_arrays(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    return value


ONE = "00 3ff0000000000000"
CONNECT = hexed("02 0007 636f6e6e656374", ONE, "03 0003 617070 02 0004 6c697665 000009")

CASES = (
    AmfCase("nothing", b"", []),
    AmfCase("number", hexed(ONE), [1.0]),
    AmfCase("infinity", hexed("00 7ff0000000000000"), [float("inf")]),
    AmfCase("true", hexed("01 01"), [True]),
    AmfCase("false", hexed("01 00"), [False]),
    AmfCase("any byte but 0 is true", hexed("01 05"), [True], False),
    AmfCase("string", hexed("02 0003 c3a461"), ["äa"]),
    AmfCase("empty string", hexed("02 0000"), [""]),
    AmfCase("a string that is not UTF-8", hexed("02 0002 e461"), ["\ufffda"], False),
    AmfCase("long string", hexed("0c 00010000") + b"x" * 65536, ["x" * 65536]),
    AmfCase("short text in a long string", hexed("0c 00000001 61"), ["a"], False),
    AmfCase("null", hexed("05"), [None]),
    AmfCase("undefined", hexed("06"), [None], False),
    AmfCase("unsupported", hexed("0d"), [None], False),
    AmfCase("object", hexed("03 0001 61", ONE, "000009"), [{"a": 1.0}]),
    AmfCase("empty object", hexed("03 000009"), [{}]),
    AmfCase("object with an empty name", hexed("03 0000 05 000009"), [{"": None}]),
    AmfCase(
        "the last of two equal names counts",
        hexed("03 0001 61 05 0001 61", ONE, "000009"),
        [{"a": 1.0}],
        False,
    ),
    AmfCase("ECMA array", hexed("08 00000001 0001 61", ONE, "000009"), [EcmaArray(a=1.0)]),
    AmfCase(
        "ECMA array with count 0", hexed("08 00000000 0001 61", ONE, "000009"), [EcmaArray(a=1.0)], False
    ),
    AmfCase("ECMA array with a lying count", hexed("08 ffffffff 000009"), [EcmaArray()], False),
    AmfCase("strict array", hexed("0a 00000002", ONE, "05"), [[1.0, None]]),
    AmfCase("empty strict array", hexed("0a 00000000"), [[]]),
    AmfCase("date", hexed("0b 4059000000000000 003c"), [Date(100.0, 60)]),
    AmfCase("XML document", hexed("0f 00000004 3c612f3e"), [XmlDocument("<a/>")]),
    AmfCase("typed object", hexed("10 0001 43 0001 61 05 000009"), [TypedObject("C", {"a": None})]),
    AmfCase("reference", hexed("0a 00000001 05", "07 0000"), [[None], [None]], False),
    AmfCase(
        "reference to the second complex value",
        hexed("03 0001 61 03 0001 62 05 000009 0001 63 07 0001 000009"),
        [{"a": {"b": None}, "c": {"b": None}}],
        False,
    ),
    AmfCase("nested", hexed("0a 00000001 0a 00000001 03 000009"), [[[{}]]]),
    AmfCase(
        "thirty-two arrays in each other",
        hexed("0a 00000001") * 31 + hexed("0a 00000000"),
        [nested_arrays(32)],
    ),
    AmfCase("a connect command", CONNECT, ["connect", 1.0, {"app": "live"}]),
)

MALFORMED = (
    MalformedAmf(
        "number cut off", hexed("00 3ff00000"), "number of 8 bytes at byte 1 goes past the end at 5"
    ),
    MalformedAmf("boolean cut off", hexed("01"), "boolean of 1 bytes at byte 1"),
    MalformedAmf("string length cut off", hexed("02 00"), "string length of 2 bytes at byte 1"),
    MalformedAmf("string shorter than its length", hexed("02 0005 6162"), "string of 5 bytes at byte 3"),
    MalformedAmf("long string of 4 GiB", hexed("0c ffffffff 61"), "long string of 4294967295 bytes"),
    MalformedAmf(
        "object without an end", hexed("03 0001 61 05"), "property name length of 2 bytes at byte 5"
    ),
    MalformedAmf("object cut off in a name", hexed("03 0009 61"), "property name of 9 bytes at byte 3"),
    MalformedAmf("object end alone", hexed("09"), "marker 0x09 at byte 0"),
    MalformedAmf("ECMA array count cut off", hexed("08 0000"), "ECMA array count of 4 bytes"),
    MalformedAmf(
        "strict array of 4 billion values", hexed("0a ffffffff 05"), "strict array of 4294967295 values in 1"
    ),
    MalformedAmf("date cut off", hexed("0b 00"), "date of 10 bytes"),
    MalformedAmf("movie clip", hexed("04"), "marker 0x04 at byte 0"),
    MalformedAmf("record set", hexed("0e"), "marker 0x0e at byte 0"),
    MalformedAmf("AVM+ marker", hexed("05 11 01"), "AVM+ (AMF3) value at byte 1 is not supported"),
    MalformedAmf("unknown marker", hexed("ff"), "marker 0xff at byte 0"),
    MalformedAmf("reference to nothing", hexed("07 0000"), "reference to complex value 0 of 0"),
    MalformedAmf("reference to itself", hexed("03 0001 61 07 0000 000009"), "nested more than 32 deep"),
    MalformedAmf("depth bomb of arrays", hexed("0a 00000001") * 100_000, "nested more than 32 deep"),
    MalformedAmf("depth bomb of objects", hexed("03 0001 61") * 100_000, "nested more than 32 deep"),
    MalformedAmf(
        "thirty-three deep", hexed("0a 00000001") * 32 + hexed("0a 00000000"), "nested more than 32 deep"
    ),
    MalformedAmf("value bomb", hexed("05") * 1_000_000, "more than 16384 values"),
    MalformedAmf("array of nulls", hexed("0a 000f4240") + hexed("05") * 1_000_000, "more than 16384 values"),
    MalformedAmf(
        "references that double at every step",
        hexed("0a 00000001 05", *(f"0a 00000002 07 {i:04x} 07 {i:04x}" for i in range(30))),
        "more than 16384 values",
    ),
)
