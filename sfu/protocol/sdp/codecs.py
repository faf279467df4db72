"""Codecs and header extensions of a media section (RFC 8866 6.6, 6.15; RFC 4585 4.2; RFC 8285 5)."""

from __future__ import annotations

import re
from typing import Final

from sfu.protocol.parameters import (
    MAX_CODEC_PARAMETERS,
    MAX_CODECS,
    MAX_FEEDBACK,
    MAX_HEADER_EXTENSIONS,
    MAX_TEXT,
    Direction,
    Kind,
    RtcpFeedback,
    RtpCodecParameters,
    RtpHeaderExtension,
)
from sfu.protocol.sdp.lines import Attribute, Block, MalformedDescription, integer, words

STATIC: Final = {0: "PCMU/8000", 8: "PCMA/8000", 9: "G722/8000"}
"""Payload types that need no rtpmap (RFC 3551 6)."""
ENCRYPTED: Final = "urn:ietf:params:rtp-hdrext:encrypt"
MAX_ENCODING_NAME: Final = 40

_ENCODING: Final = re.compile(r"([A-Za-z0-9._+-]{1,40})/([0-9]{1,6})(?:/([0-9]{1,3}))?")
_NAME: Final = re.compile(r"[^\x00-\x20\x7f-\x9f;=]{1,64}")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,64}")
_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,14}")


def read_codecs(block: Block, kind: Kind, formats: tuple[str, ...]) -> tuple[RtpCodecParameters, ...]:
    """Return the codecs in the offerer's order; formats that nothing explains are left out."""
    numbers = [integer(block.line, text, 0, 127) for text in formats]
    if len(numbers) > MAX_CODECS or len(set(numbers)) < len(numbers):
        raise MalformedDescription(block.line, "payload types twice, or too many of them")
    maps = {number: STATIC[number] for number in numbers if kind == "audio" and number in STATIC}
    maps |= _by_payload_type(block, "rtpmap")
    parameters = _by_payload_type(block, "fmtp")
    feedback = _feedback(block)
    return tuple(
        _codec(block, kind, number, maps[number], parameters.get(number, ""), feedback)
        for number in numbers
        if number in maps
    )


def _by_payload_type(block: Block, name: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for attribute in block.attributes:
        if attribute.name != name:
            continue
        number, _, rest = attribute.value.partition(" ")
        payload_type = integer(attribute.line, number, 0, 127)
        if payload_type in found:
            raise MalformedDescription(attribute.line, f"a second {name} of payload type {payload_type}")
        found[payload_type] = rest.strip()
        _check_value(attribute, name, rest.strip())
    return found


def _check_value(attribute: Attribute, name: str, value: str) -> None:
    if name == "rtpmap" and not _is_encoding(value):
        raise MalformedDescription(attribute.line, "not an rtpmap")
    if name == "fmtp" and read_parameters(value) is None:
        raise MalformedDescription(attribute.line, "not an fmtp")


def _is_encoding(value: str) -> bool:
    found = _ENCODING.fullmatch(value)
    return found is not None and 1 <= int(found[2]) <= 768_000 and 1 <= int(found[3] or 1) <= 255


def read_parameters(value: str) -> dict[str, str | int] | None:
    """Return the parameters of an fmtp, None if it is none; what has no `=` is a name without value."""
    parameters: dict[str, str | int] = {}
    for part in value.split(";", MAX_CODEC_PARAMETERS + 1):
        name, _, text = (piece.strip() for piece in part.partition("="))
        if not name and not text:
            continue
        if not _NAME.fullmatch(name) or len(text) > MAX_TEXT or len(parameters) == MAX_CODEC_PARAMETERS:
            return None
        parameters[name] = int(text) if _INTEGER.fullmatch(text) else text
    return parameters


def _codec(
    block: Block,
    kind: Kind,
    number: int,
    encoding: str,
    parameters: str,
    feedback: dict[int | None, list[RtcpFeedback]],
) -> RtpCodecParameters:
    name, clock_rate, *channels = encoding.split("/")
    values = read_parameters(parameters) or {}
    if name.lower() == "rtx" and not isinstance(values.get("apt"), int):
        raise MalformedDescription(block.line, f"RTX payload type {number} without apt")
    return RtpCodecParameters(
        mime_type=f"{kind}/{name}",
        payload_type=number,
        clock_rate=int(clock_rate),
        channels=int(channels[0] if channels else 1) if kind == "audio" else None,
        parameters=values,
        rtcp_feedback=tuple(dict.fromkeys((*feedback.get(number, ()), *feedback.get(None, ()))))[
            :MAX_FEEDBACK
        ],
    )


def _feedback(block: Block) -> dict[int | None, list[RtcpFeedback]]:
    """Return feedback by payload type; under None what is for all of them."""
    found: dict[int | None, list[RtcpFeedback]] = {}
    for attribute in block.attributes:
        if attribute.name != "rtcp-fb":
            continue
        target, kind, *parameter = words(attribute, 2)
        number = None if target == "*" else integer(attribute.line, target, 0, 127)
        text = " ".join(parameter)
        if not _TOKEN.fullmatch(kind) or len(text) > MAX_TEXT:
            raise MalformedDescription(attribute.line, "not an rtcp-fb")
        entries = found.setdefault(number, [])
        if len(entries) < MAX_FEEDBACK:
            entries.append(RtcpFeedback(type=kind, parameter=text))
    return found


def read_extensions(block: Block, kind: Kind) -> tuple[RtpHeaderExtension, ...]:
    """Return the header extensions; encrypted ones and ids that are not yet given out are passed over."""
    found: dict[int, RtpHeaderExtension] = {}
    uris: set[str] = set()
    for attribute in block.attributes:
        extension = _extension(attribute, kind) if attribute.name == "extmap" else None
        if extension is None or extension.uri in uris:
            continue
        if extension.preferred_id in found or len(found) == MAX_HEADER_EXTENSIONS:
            raise MalformedDescription(attribute.line, "extension ids twice, or too many of them")
        uris.add(extension.uri)
        found[extension.preferred_id] = extension
    return tuple(found.values())


def _extension(attribute: Attribute, kind: Kind) -> RtpHeaderExtension | None:
    number_text, uri = words(attribute, 2)[:2]
    number_text, _, direction = number_text.partition("/")
    number = integer(attribute.line, number_text, 0, 4351)
    if direction not in ("", *Direction) or len(uri) > MAX_TEXT:
        raise MalformedDescription(attribute.line, "not an extmap")
    if uri == ENCRYPTED or not 1 <= number <= 255:
        return None
    return RtpHeaderExtension(
        kind=kind, uri=uri, preferred_id=number, direction=Direction(direction or Direction.SENDRECV)
    )
