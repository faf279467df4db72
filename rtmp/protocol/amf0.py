"""Action Message Format 0: the values of commands and metadata (AMF 0 specification, 2007).

Rules:

* number is ``float``, boolean ``bool``, string and long string ``str``, null, undefined and unsupported are
  ``None``, object ``dict``, strict array ``list``; the rest have a type here. What is read is written back in
  the same form, except that undefined and unsupported become null.
* Nothing on the wire is believed: lengths are checked against what is there, an ECMA array's count is only a
  hint, and depth and number of values have a maximum that references count against too.
* Text that is not UTF-8 is repaired with U+FFFD: a wrong title must not end a broadcast.
* A reference is read by reading its target once more. So there are no shared or circular values, and a
  circle is met with the depth limit. What is read so has a maximum in bytes, or three bytes could stand for
  megabytes, over and over.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Any, Final

from rtmp.protocol.errors import AmfError

MAX_DEPTH: Final = 32
"""Objects and arrays inside each other."""
MAX_VALUES: Final = 16_384
"""Values in one message, counting every property and element."""
MAX_REREAD_BYTES: Final = 64 * 1024
"""Bytes read once more for the references of one message, all together."""


class EcmaArray(dict[str, object]):
    """An associative array; a dict that is written with the ECMA array marker."""


@dataclass(frozen=True, slots=True)
class TypedObject:
    """An object with a registered class name."""

    class_name: str
    properties: dict[str, object]


@dataclass(frozen=True, slots=True)
class Date:
    """``milliseconds`` since 1970-01-01 UTC; ``time_zone`` in minutes, which the standard wants to be 0."""

    milliseconds: float
    time_zone: int = 0


@dataclass(frozen=True, slots=True)
class XmlDocument:
    text: str


class Marker(IntEnum):
    """Type markers (section 2.1)."""

    NUMBER = 0x00
    BOOLEAN = 0x01
    STRING = 0x02
    OBJECT = 0x03
    NULL = 0x05
    UNDEFINED = 0x06
    REFERENCE = 0x07
    ECMA_ARRAY = 0x08
    OBJECT_END = 0x09
    STRICT_ARRAY = 0x0A
    DATE = 0x0B
    LONG_STRING = 0x0C
    UNSUPPORTED = 0x0D
    XML_DOCUMENT = 0x0F
    TYPED_OBJECT = 0x10
    AVMPLUS_OBJECT = 0x11


_DOUBLE = Struct(">d")
_DATE = Struct(">dh")
_END_OF_OBJECT = b"\x00\x00\x09"


class _Decoder:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._values = 0
        self._depth = 0
        self._reference_targets: list[int] = []
        self._is_rereading = False
        self._reread_bytes = 0

    def decode_all(self) -> list[object]:
        values = []
        while self._position < len(self._data):
            values.append(self._value())
        return values

    def _value(self) -> object:
        self._values += 1
        if self._values > MAX_VALUES:
            raise AmfError(f"more than {MAX_VALUES} values")
        start = self._position
        marker = self._take(1, "marker")[0]
        reader = _READERS.get(marker)
        if reader is None:
            name = "AVM+ (AMF3) value" if marker == Marker.AVMPLUS_OBJECT else f"marker 0x{marker:02x}"
            raise AmfError(f"{name} at byte {start} is not supported")
        return reader(self)

    def _take(self, size: int, field: str) -> bytes:
        end = self._position + size
        if end > len(self._data):
            raise AmfError(
                f"{field} of {size} bytes at byte {self._position} goes past the end at {len(self._data)}"
            )
        if self._is_rereading:
            self._count_reread(size)
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def _count_reread(self, size: int) -> None:
        self._reread_bytes += size
        if self._reread_bytes > MAX_REREAD_BYTES:
            raise AmfError(f"references to more than {MAX_REREAD_BYTES} bytes")

    def _length(self, size: int, field: str) -> int:
        return int.from_bytes(self._take(size, field), "big")

    def _text(self, length_size: int, field: str) -> str:
        length = self._length(length_size, f"{field} length")
        return self._take(length, field).decode("utf-8", "replace")

    def read_number(self) -> object:
        value: float = _DOUBLE.unpack(self._take(8, "number"))[0]
        return value

    def read_boolean(self) -> object:
        return self._take(1, "boolean") != b"\x00"

    def read_string(self) -> object:
        return self._text(2, "string")

    def read_long_string(self) -> object:
        return self._text(4, "long string")

    def read_xml_document(self) -> object:
        return XmlDocument(self._text(4, "XML document"))

    def read_date(self) -> object:
        return Date(*_DATE.unpack(self._take(10, "date")))

    def read_nothing(self) -> object:
        return None

    def read_object(self) -> object:
        return self._compound(self._properties)

    def read_ecma_array(self) -> object:
        return self._compound(self._ecma_array_body)

    def read_strict_array(self) -> object:
        return self._compound(self._elements)

    def read_typed_object(self) -> object:
        return self._compound(self._typed_object_body)

    def read_reference(self) -> object:
        index = self._length(2, "reference")
        if index >= len(self._reference_targets):
            raise AmfError(f"reference to complex value {index} of {len(self._reference_targets)}")
        after, was_rereading = self._position, self._is_rereading
        self._position = self._reference_targets[index]
        self._is_rereading = True
        value = self._value()
        self._position, self._is_rereading = after, was_rereading
        return value

    def _compound(self, read_body: Callable[[], object]) -> object:
        if not self._is_rereading:
            self._reference_targets.append(self._position - 1)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise AmfError(f"values nested more than {MAX_DEPTH} deep")
        value = read_body()
        self._depth -= 1
        return value

    def _properties(self) -> dict[str, object]:
        properties: dict[str, object] = {}
        while True:
            name = self._text(2, "property name")
            if not name and self._data[self._position : self._position + 1] == b"\x09":
                self._position += 1
                return properties
            properties[name] = self._value()

    def _ecma_array_body(self) -> EcmaArray:
        self._take(4, "ECMA array count")
        return EcmaArray(self._properties())

    def _typed_object_body(self) -> TypedObject:
        class_name = self._text(2, "class name")
        return TypedObject(class_name, self._properties())

    def _elements(self) -> list[object]:
        count = self._length(4, "strict array count")
        if count > len(self._data) - self._position:
            raise AmfError(f"strict array of {count} values in {len(self._data) - self._position} bytes")
        return [self._value() for _ in range(count)]


_READERS: dict[int, Callable[[_Decoder], object]] = {
    Marker.NUMBER: _Decoder.read_number,
    Marker.BOOLEAN: _Decoder.read_boolean,
    Marker.STRING: _Decoder.read_string,
    Marker.OBJECT: _Decoder.read_object,
    Marker.NULL: _Decoder.read_nothing,
    Marker.UNDEFINED: _Decoder.read_nothing,
    Marker.REFERENCE: _Decoder.read_reference,
    Marker.ECMA_ARRAY: _Decoder.read_ecma_array,
    Marker.STRICT_ARRAY: _Decoder.read_strict_array,
    Marker.DATE: _Decoder.read_date,
    Marker.LONG_STRING: _Decoder.read_long_string,
    Marker.UNSUPPORTED: _Decoder.read_nothing,
    Marker.XML_DOCUMENT: _Decoder.read_xml_document,
    Marker.TYPED_OBJECT: _Decoder.read_typed_object,
}


def decode(data: bytes) -> list[object]:
    """Read all values in ``data``. Raises AmfError, naming the field and the byte."""
    return _Decoder(data).decode_all()


def encode(*values: object) -> bytes:
    """Write ``values`` one behind the other.

    Takes everything ``decode`` returns, and also ``int``, ``tuple`` and any mapping with string keys. Raises
    AmfError for what AMF0 cannot hold.
    """
    parts: list[bytes] = []
    for value in values:
        _encode_value(value, parts, 0)
    return b"".join(parts)


def _encode_value(value: object, parts: list[bytes], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise AmfError(f"values nested more than {MAX_DEPTH} deep")
    match value:
        case None:
            parts.append(bytes((Marker.NULL,)))
        case bool():
            parts.append(bytes((Marker.BOOLEAN, value)))
        case int() | float():
            parts.append(_encode_number(value))
        case str():
            parts.append(_encode_string(value))
        case Date():
            parts.append(bytes((Marker.DATE,)) + _DATE.pack(value.milliseconds, value.time_zone))
        case XmlDocument():
            parts.append(bytes((Marker.XML_DOCUMENT,)) + _sized_text(value.text, 4))
        case list() | tuple():
            parts.append(bytes((Marker.STRICT_ARRAY,)) + len(value).to_bytes(4, "big"))
            for element in value:
                _encode_value(element, parts, depth + 1)
        case EcmaArray():
            parts.append(bytes((Marker.ECMA_ARRAY,)) + len(value).to_bytes(4, "big"))
            _encode_properties(value, parts, depth)
        case TypedObject():
            parts.append(bytes((Marker.TYPED_OBJECT,)) + _sized_text(value.class_name, 2))
            _encode_properties(value.properties, parts, depth)
        case Mapping():
            parts.append(bytes((Marker.OBJECT,)))
            _encode_properties(value, parts, depth)
        case _:
            raise AmfError(f"AMF0 has no form for {type(value).__name__}")


def _encode_number(value: float) -> bytes:
    try:
        return bytes((Marker.NUMBER,)) + _DOUBLE.pack(float(value))
    except OverflowError as error:
        raise AmfError("an integer too large for a double") from error


def _encode_string(value: str) -> bytes:
    encoded = _utf8(value)
    if len(encoded) > 0xFFFF:
        return bytes((Marker.LONG_STRING,)) + len(encoded).to_bytes(4, "big") + encoded
    return bytes((Marker.STRING,)) + len(encoded).to_bytes(2, "big") + encoded


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise AmfError("a lone surrogate has no UTF-8 form") from error


def _sized_text(text: str, length_size: int) -> bytes:
    encoded = _utf8(text)
    if len(encoded) >= 1 << 8 * length_size:
        raise AmfError(f"a text of {len(encoded)} bytes where the length has {length_size}")
    return len(encoded).to_bytes(length_size, "big") + encoded


def _encode_properties(value: Mapping[Any, object], parts: list[bytes], depth: int) -> None:
    for name, member in value.items():
        if not isinstance(name, str):
            raise AmfError(f"a property name of type {type(name).__name__}")
        parts.append(_sized_text(name, 2))
        _encode_value(member, parts, depth + 1)
    parts.append(_END_OF_OBJECT)
