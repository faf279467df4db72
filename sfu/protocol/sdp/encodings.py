"""Which streams a media section sends: by rid (RFC 8851, RFC 8853) or by SSRC (RFC 5576)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from sfu.protocol.parameters import MAX_ENCODINGS, MAX_TEXT, RtpEncodingParameters, RtxParameters
from sfu.protocol.sdp.lines import Attribute, Block, MalformedDescription, integer, words

MAX_SSRCS: Final = 64

_RID: Final = re.compile(r"[A-Za-z0-9_-]{1,16}")
_BITRATE: Final = re.compile(r"(?:.*;)?max-br=([0-9]{1,9})(?:;.*)?")


class Source(NamedTuple):
    """Whose streams they are: the names of source, stream and track."""

    cname: str | None
    stream_id: str | None
    track_id: str | None


def read_encodings(block: Block) -> tuple[RtpEncodingParameters, ...]:
    """Return the streams that a sending section announces; one without a name where it announces none."""
    rids = _rids(block)
    if rids:
        order = _simulcast_order(block, rids)
        return tuple(RtpEncodingParameters(rid=rid, max_bitrate=rids[rid]) for rid in order)
    return _by_ssrc(block)


def _rids(block: Block) -> dict[str, int | None]:
    """Return the rids that are sent, with the bitrates that restrict them."""
    rids: dict[str, int | None] = {}
    for attribute in block.attributes:
        if attribute.name != "rid":
            continue
        rid, direction, *restrictions = words(attribute, 2)
        if not _RID.fullmatch(rid) or direction not in ("send", "recv") or rid in rids:
            raise MalformedDescription(attribute.line, "not a rid, or a rid twice")
        bitrate = _BITRATE.fullmatch(restrictions[0]) if restrictions else None
        if direction == "send":
            rids[rid] = int(bitrate[1]) if bitrate else None
    if len(rids) > MAX_ENCODINGS:
        raise MalformedDescription(block.line, f"more than {MAX_ENCODINGS} rids")
    return rids


def _simulcast_order(block: Block, rids: dict[str, int | None]) -> list[str]:
    """RFC 8853 5.1: streams between `;`; of alternatives, between `,`, the first is meant; `~` pauses."""
    attribute = block.first("simulcast")
    if attribute is None:
        return list(rids)
    fields = words(attribute, 2)
    sent = dict(zip(fields[::2], fields[1::2], strict=False)).get("send", "")
    order = [stream.split(",")[0].removeprefix("~") for stream in sent.split(";") if stream]
    if len(set(order)) < len(order) or any(rid not in rids for rid in order):
        raise MalformedDescription(attribute.line, "simulcast of streams that are no rids")
    return order or list(rids)


def _by_ssrc(block: Block) -> tuple[RtpEncodingParameters, ...]:
    """Take what a simulcast group lists, else the first stream: others would be of other tracks."""
    groups = [_group(attribute) for attribute in block.attributes if attribute.name == "ssrc-group"]
    repairs = {ssrcs[0]: ssrcs[1] for semantics, ssrcs in groups if semantics == "FID" and len(ssrcs) == 2}
    simulcast = next((ssrcs for semantics, ssrcs in groups if semantics == "SIM"), ())
    primaries = simulcast[:MAX_ENCODINGS] or (*repairs, *_ssrcs(block))[:1]
    named = (*primaries, *(repairs[ssrc] for ssrc in primaries if ssrc in repairs))
    if len(set(named)) < len(named):
        raise MalformedDescription(block.line, "an SSRC of two streams")
    if not primaries:
        return (RtpEncodingParameters(),)
    return tuple(
        RtpEncodingParameters(ssrc=ssrc, rtx=RtxParameters(ssrc=repairs[ssrc]) if ssrc in repairs else None)
        for ssrc in primaries
    )


def _group(attribute: Attribute) -> tuple[str, tuple[int, ...]]:
    semantics, *ssrcs = words(attribute, 1)
    if len(ssrcs) > MAX_SSRCS:
        raise MalformedDescription(attribute.line, "too many SSRCs")
    return semantics, tuple(integer(attribute.line, ssrc, 0, 0xFFFF_FFFF) for ssrc in ssrcs)


def _ssrcs(block: Block) -> list[int]:
    ssrcs: dict[int, None] = {}
    for attribute in block.attributes:
        if attribute.name == "ssrc":
            ssrcs[integer(attribute.line, words(attribute, 1)[0], 0, 0xFFFF_FFFF)] = None
            if len(ssrcs) > MAX_SSRCS:
                raise MalformedDescription(attribute.line, "too many SSRCs")
    return list(ssrcs)


def read_source(block: Block) -> Source:
    """Return the names of a section's source (RFC 5576 6.1, RFC 8830 2)."""
    cname = next((name for name in map(_cname, block.attributes) if name), None)
    msid = block.first("msid")
    names = msid.value.split()[:2] if msid else []
    return Source(cname, _text(names[0] if names else None), _text(names[1] if len(names) > 1 else None))


def _cname(attribute: Attribute) -> str | None:
    if attribute.name != "ssrc":
        return None
    _, _, rest = attribute.value.partition(" ")
    name, _, value = rest.partition(":")
    return _text(value.strip()) if name == "cname" else None


def _text(value: str | None) -> str | None:
    return value[:MAX_TEXT] if value else None
