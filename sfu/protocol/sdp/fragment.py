"""Fragments of descriptions that trickle candidates or restart ICE (RFC 8840 9, RFC 9725 4.3)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from sfu.protocol.parameters import MAX_CANDIDATES, TOKEN, IceCandidate
from sfu.protocol.sdp.description import Fragment
from sfu.protocol.sdp.lines import Block, MalformedDescription, join, split
from sfu.protocol.sdp.transport import candidate_line, read_candidates, read_ice

_MID: Final = re.compile(TOKEN)
_MAX_MID: Final = 64


def read_mid(block: Block) -> str | None:
    """Return a section's name, None if it has none."""
    mid = block.first("mid")
    if mid is None:
        return None
    if len(mid.value) > _MAX_MID or not _MID.match(mid.value):
        raise MalformedDescription(mid.line, "not a mid")
    return mid.value


def parse_fragment(text: str) -> Fragment:
    """Return what a body of `application/trickle-ice-sdpfrag` says. Raises MalformedDescription."""
    blocks = split(text, is_fragment=True)
    is_lite = blocks[0].first("ice-lite") is not None
    mids: list[str] = []
    candidates: list[IceCandidate] = []
    for block in blocks[1:]:
        mid = read_mid(block)
        if mid is None or mid in mids:
            raise MalformedDescription(block.line, "sections of a fragment need a mid each")
        mids.append(mid)
    for block in blocks:
        candidates += [candidate for candidate in read_candidates(block) if candidate not in candidates]
        if len(candidates) > MAX_CANDIDATES:
            raise MalformedDescription(block.line, f"more than {MAX_CANDIDATES} candidates")
    ice = [read_ice(block, is_lite=is_lite) for block in (*blocks[1:], blocks[0])]
    return Fragment(
        ice=next((parameters for parameters in ice if parameters is not None), None),
        mids=tuple(mids),
        candidates=tuple(candidates),
        has_ended_candidates=any(block.first("end-of-candidates") is not None for block in blocks),
    )


def serialize_fragment(fragment: Fragment) -> str:
    """Return the body that says a fragment; candidates stand in its first section."""
    return join(_lines(fragment))


def _lines(fragment: Fragment) -> Iterator[str]:
    if fragment.ice and fragment.ice.ice_lite:
        yield "a=ice-lite"
    if fragment.mids:
        yield f"a=group:BUNDLE {' '.join(fragment.mids)}"
    for index, mid in enumerate(fragment.mids):
        # RFC 8840 9: the media and its formats are placeholders, the mid says which section it is
        yield "m=audio 9 UDP/TLS/RTP/SAVPF 0"
        yield f"a=mid:{mid}"
        if index == 0:
            yield from _transport_lines(fragment)
    if not fragment.mids:
        yield from _transport_lines(fragment)


def _transport_lines(fragment: Fragment) -> Iterator[str]:
    if fragment.ice:
        yield f"a=ice-ufrag:{fragment.ice.username_fragment}"
        yield f"a=ice-pwd:{fragment.ice.password}"
    yield from map(candidate_line, fragment.candidates)
    if fragment.has_ended_candidates:
        yield "a=end-of-candidates"
