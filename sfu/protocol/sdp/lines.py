"""Lines of a session description (RFC 8866 5), grouped into the session's and one block per media section."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from sfu.protocol.errors import MalformedPacket, ProtocolError
from sfu.protocol.parameters import UNPRINTABLE

MAX_DESCRIPTION: Final = 65_536
MAX_LINES: Final = 2_000
"""Ten times what browsers say; reading it stays below 10 ms, during which nothing else runs."""
MAX_LINE: Final = 4_096
MAX_SECTIONS: Final = 32
MAX_TOKENS: Final = 256
"""Words of one line that are looked at."""

_CONTROL: Final = re.compile(f"[{UNPRINTABLE}]")
_MAX_DIGITS: Final = 20


class MalformedDescription(MalformedPacket):
    """A description that is not what it should be; `line` counts from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class Attribute(NamedTuple):
    """One `a=` line; `value` is empty for a flag."""

    line: int
    name: str
    value: str


class Block:
    """The session's lines (`media` is empty) or those of one media section."""

    __slots__ = ("attributes", "line", "media")

    def __init__(self, line: int, media: str) -> None:
        self.line = line
        self.media = media
        self.attributes: list[Attribute] = []

    def first(self, name: str) -> Attribute | None:
        """Return the first attribute of a name."""
        return next((attribute for attribute in self.attributes if attribute.name == name), None)


def split(text: str, *, is_fragment: bool = False) -> list[Block]:
    """Return the session's block and those of the media sections; whole descriptions begin with `v=0`."""
    lines = _lines(text)
    if not is_fragment and (not lines or lines[0] != "v=0"):
        raise MalformedDescription(1, "a description begins with v=0")
    blocks = [Block(1, "")]
    for number, line in enumerate(lines, 1):
        _check(number, line)
        kind, value = line[0], line[2:]
        if kind == "m":
            if len(blocks) > MAX_SECTIONS:
                raise MalformedDescription(number, "too many media sections")
            blocks.append(Block(number, value))
        elif kind == "a":
            name, _, rest = value.partition(":")
            blocks[-1].attributes.append(Attribute(number, name, rest.strip(" ")))
    return blocks


def _lines(text: str) -> list[str]:
    if len(text) > MAX_DESCRIPTION:
        raise MalformedDescription(1, f"longer than {MAX_DESCRIPTION} characters")
    lines = [line.removesuffix("\r") for line in text.split("\n", MAX_LINES + 1)]
    if len(lines) > MAX_LINES:
        raise MalformedDescription(MAX_LINES, "too many lines")
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _check(number: int, line: str) -> None:
    if len(line) > MAX_LINE:
        raise MalformedDescription(number, f"longer than {MAX_LINE} characters")
    if len(line) < 2 or line[1] != "=" or not "a" <= line[0] <= "z":
        raise MalformedDescription(number, "not of the form <letter>=<value>")
    if _CONTROL.search(line):
        raise MalformedDescription(number, "control characters")


def integer(line: int, text: str, low: int, high: int) -> int:
    """Return a decimal number between two limits."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS and low <= int(text) <= high):
        raise MalformedDescription(line, f"{text[:_MAX_DIGITS]!r} is not a number from {low} to {high}")
    return int(text)


def words(attribute: Attribute, at_least: int) -> list[str]:
    """Return the words of an attribute's value."""
    found = attribute.value.split(maxsplit=MAX_TOKENS)
    if len(found) < at_least:
        raise MalformedDescription(attribute.line, f"{attribute.name} with fewer than {at_least} words")
    return found[:MAX_TOKENS]


def join(lines: Iterable[str]) -> str:
    """Return the text of lines; a line that would become two, or worse, raises ProtocolError."""
    written = list(lines)
    for line in written:
        if len(line) > MAX_LINE or _CONTROL.search(line):
            raise ProtocolError(f"{line[:40]!r} cannot stand in a description")
    return "".join(f"{line}\r\n" for line in written)
