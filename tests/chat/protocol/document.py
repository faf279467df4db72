"""docs/chat-protocol.md taken apart: its sections, tables and examples.

An example is a block marked ``chat``, which is executed, or ``json``, one frame that is only checked. In a
``chat`` block a line is ``[name] -> {frame}``, ``[name] <- {frame}`` or ``name METHOD /path [{body}]``; lines
that begin with blanks go on with the one before.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[3] / "docs" / "chat-protocol.md"
ANY = "…"
DEFAULT_NAME = "ben"

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_STEP = re.compile(r"(?:(?P<name>\w+) )?(?P<arrow>->|<-) (?P<frame>\{.*\})")
_CALL = re.compile(r"(?P<name>\w+) (?P<method>[A-Z]+) (?P<path>/\S+)(?: (?P<body>\{.*\}))?")
_NAMED = re.compile(r"\$([A-Za-z]\w*)")


@dataclass(frozen=True)
class Said:
    """A frame that a client sends, or that it is to get."""

    name: str
    is_from_client: bool
    frame: dict[str, Any]


@dataclass(frozen=True)
class Called:
    """A call of the API."""

    name: str
    method: str
    path: str
    body: dict[str, Any] | None


Step = Said | Called


@dataclass(frozen=True)
class Section:
    """``chapter`` is the heading of the second level that it stands under; ``kind`` the frame's type."""

    chapter: str
    kind: str
    text: str

    @property
    def fields(self) -> dict[str, bool]:
        """Of the frame's body, in their order: whether one may be missing."""
        return field_table(self.text)


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def sections(text: str) -> list[Section]:
    """Those about a frame, which have its type as their heading."""
    found = []
    for chapter in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title = chapter.partition("\n")[0]
        for part in re.split(r"^### ", chapter, flags=re.MULTILINE)[1:]:
            heading, _, body = part.partition("\n")
            found.append(Section(title, re.findall(r"`(.*?)`", heading)[0], body))
    return found


def rows(text: str, heading: str) -> Iterator[list[str]]:
    """The cells of the tables whose first column is ``heading``."""
    pattern = rf"^\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\|\n)*)"
    for table in re.findall(pattern, text, re.MULTILINE):
        for row in table.splitlines():
            yield [cell.strip() for cell in row.strip("|").split("|")]


def field_table(text: str) -> dict[str, bool]:
    return {row[0].strip("`?"): row[0].endswith("?") for row in rows(text, "field")}


def chapter(text: str, title: str) -> str:
    return re.split(r"^## ", text.partition(f"\n## {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def blocks(text: str) -> list[list[Step]]:
    """The examples that are executed, in their order."""
    return [list(_steps(body)) for kind, body in _BLOCK.findall(text) if kind == "chat"]


def shown_frames(text: str) -> list[dict[str, Any]]:
    """The server's frames of all examples."""
    executed = [step.frame for block in blocks(text) for step in block if _is_answer(step)]
    return executed + [json.loads(body) for kind, body in _BLOCK.findall(text) if kind == "json"]


def sent_frames(text: str) -> list[dict[str, Any]]:
    return [s.frame for block in blocks(text) for s in block if isinstance(s, Said) and s.is_from_client]


def _is_answer(step: Step) -> bool:
    return isinstance(step, Said) and not step.is_from_client


def _steps(body: str) -> Iterator[Step]:
    for line in re.sub(r"\n\s+", " ", body).splitlines():
        if match := _STEP.fullmatch(line):
            yield Said(match["name"] or DEFAULT_NAME, match["arrow"] == "->", json.loads(match["frame"]))
        elif match := _CALL.fullmatch(line):
            body_given = json.loads(match["body"]) if match["body"] else None
            yield Called(match["name"], match["method"], match["path"], body_given)
        else:
            raise ValueError(f"not a step: {line}")


def filled(value: Any, names: Mapping[str, Any]) -> Any:
    """``value`` with what its ``$names`` stand for."""
    if isinstance(value, dict):
        return {key: filled(each, names) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, names) for each in value]
    if not isinstance(value, str):
        return value
    if (whole := _NAMED.fullmatch(value)) and whole[1] in names:
        return names[whole[1]]
    return _NAMED.sub(lambda match: str(names.get(match[1], match[0])), value)


def differences(shown: Any, given: Any, names: dict[str, Any], where: str = "") -> Iterator[str]:
    """Where ``given`` is not as shown. A name that is new stands for what is found in its place."""
    if shown == ANY:
        return
    if isinstance(shown, str) and (match := _NAMED.fullmatch(shown)):
        if names.setdefault(match[1], given) != given:
            yield f"{where} is {given!r}, not {names[match[1]]!r}"
    elif isinstance(shown, dict) and isinstance(given, dict):
        for key in shown.keys() | given.keys():
            if (key in shown) != (key in given):
                yield f"{where}.{key} is {'missing' if key in shown else 'not shown'}"
            else:
                yield from differences(shown[key], given[key], names, f"{where}.{key}")
    elif isinstance(shown, list) and isinstance(given, list) and len(shown) == len(given):
        for number, (one, other) in enumerate(zip(shown, given, strict=True)):
            yield from differences(one, other, names, f"{where}[{number}]")
    elif filled(shown, names) != given or isinstance(shown, bool) is not isinstance(given, bool):
        yield f"{where} is {given!r}, not {filled(shown, names)!r}"
