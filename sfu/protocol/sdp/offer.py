"""Offers of browsers and encoders (RFC 8866, RFC 3264, RFC 9143), as WHIP and WHEP get them."""

from __future__ import annotations

from typing import Final, NamedTuple

from sfu.protocol.parameters import (
    Direction,
    DtlsParameters,
    IceParameters,
    Kind,
    RtpCodecParameters,
    RtpEncodingParameters,
    RtpHeaderExtension,
    SctpParameters,
)
from sfu.protocol.sdp.codecs import read_codecs, read_extensions
from sfu.protocol.sdp.description import MediaSection, Offer, SectionKind
from sfu.protocol.sdp.encodings import read_encodings, read_source
from sfu.protocol.sdp.fragment import read_mid
from sfu.protocol.sdp.lines import Block, MalformedDescription, integer, split, words
from sfu.protocol.sdp.transport import read_candidates, read_dtls, read_ice

MAX_FORMATS: Final = 128
MAX_SCTP_MESSAGE: Final = 2**32

_RTP: Final = frozenset(
    ("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "TCP/DTLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVP", "RTP/SAVPF")
)
_SCTP: Final = frozenset(("UDP/DTLS/SCTP", "TCP/DTLS/SCTP", "DTLS/SCTP"))
_DATA_CHANNEL: Final = "webrtc-datachannel"


class _MediaLine(NamedTuple):
    media: str
    port: int
    protocol: str
    formats: tuple[str, ...]


def parse_offer(text: str) -> Offer:
    """Return what an offer says. Raises MalformedDescription, also for offers without ICE or DTLS."""
    session, *blocks = split(text)
    if not blocks:
        raise MalformedDescription(session.line, "no media section")
    lines = [_media_line(block) for block in blocks]
    mids = _mids(blocks)
    bundle = _bundle(session, mids)
    sections = tuple(
        _section(session, block, line, mid, is_bundled=mid in bundle)
        for block, line, mid in zip(blocks, lines, mids, strict=True)
    )
    tagged = blocks[_tagged(sections)]
    is_lite = session.first("ice-lite") is not None
    ice, dtls = _transport(session, tagged, is_lite=is_lite)
    return Offer(
        sections=sections,
        ice=ice,
        dtls=dtls,
        candidates=read_candidates(tagged),
        has_ended_candidates=_flag(session, tagged, "end-of-candidates"),
        is_trickle=_is_trickle(session, tagged),
        allows_mixed_extensions=_flag(session, tagged, "extmap-allow-mixed"),
    )


def _tagged(sections: tuple[MediaSection, ...]) -> int:
    """RFC 9143 7.2.1: the transport of the bundle is that of its first section."""
    return next((index for index, section in enumerate(sections) if section.is_usable), 0)


def _transport(session: Block, tagged: Block, *, is_lite: bool) -> tuple[IceParameters, DtlsParameters]:
    ice = read_ice(tagged, is_lite=is_lite) or read_ice(session, is_lite=is_lite)
    dtls = read_dtls((tagged, session))
    if ice is None:
        raise MalformedDescription(tagged.line, "no ice-ufrag and ice-pwd")
    if dtls is None:
        raise MalformedDescription(tagged.line, "no fingerprint of a known hash")
    return ice, dtls


def _flag(session: Block, block: Block, name: str) -> bool:
    return session.first(name) is not None or block.first(name) is not None


def _is_trickle(session: Block, block: Block) -> bool:
    options = block.first("ice-options") or session.first("ice-options")
    return options is not None and "trickle" in options.value.replace(",", " ").split()


def _media_line(block: Block) -> _MediaLine:
    fields = block.media.split(maxsplit=MAX_FORMATS + 4)
    if not 4 <= len(fields) <= MAX_FORMATS + 3:
        raise MalformedDescription(block.line, "a media section has a port, a protocol and 1 to 128 formats")
    media, port, protocol, *formats = fields
    return _MediaLine(media, integer(block.line, port.partition("/")[0], 0, 65_535), protocol, tuple(formats))


def _mids(blocks: list[Block]) -> list[str]:
    """Return the sections' names; one that has none gets its place as a name."""
    mids: list[str] = []
    for index, block in enumerate(blocks):
        mid = read_mid(block) or str(index)
        if mid in mids:
            raise MalformedDescription(block.line, f"mid {mid} names two sections")
        mids.append(mid)
    return mids


def _bundle(session: Block, mids: list[str]) -> set[str]:
    """Return the sections that share the transport: those of the group, or the first one (RFC 9143 7.1.1)."""
    for attribute in session.attributes:
        semantics, *names = words(attribute, 1) if attribute.name == "group" else ("",)
        if semantics == "BUNDLE" and names:
            if not set(names) <= set(mids):
                raise MalformedDescription(attribute.line, "a group of sections that are not there")
            return set(names)
    return {mids[0]}


def _section(session: Block, block: Block, line: _MediaLine, mid: str, *, is_bundled: bool) -> MediaSection:
    kind = _kind(line)
    # port 0 rejects, unless the section waits for the bundle's port (RFC 9143 6)
    is_open = line.port != 0 or block.first("bundle-only") is not None
    direction = _direction(session, block)
    codecs: tuple[RtpCodecParameters, ...] = ()
    extensions: tuple[RtpHeaderExtension, ...] = ()
    encodings: tuple[RtpEncodingParameters, ...] = ()
    # a closed section need not say more
    if is_open and (kind == "audio" or kind == "video"):
        codecs, extensions = _media(block, line, kind)
        encodings = read_encodings(block) if direction.sends else ()
    source = read_source(block)
    is_multiplexed = kind == "application" or block.first("rtcp-mux") is not None
    return MediaSection(
        mid=mid,
        kind=kind,
        media=line.media,
        protocol=line.protocol,
        formats=line.formats,
        direction=direction,
        is_usable=kind != "other" and is_open and is_bundled and is_multiplexed,
        codecs=codecs,
        header_extensions=extensions,
        encodings=encodings,
        cname=source.cname,
        stream_id=source.stream_id,
        track_id=source.track_id,
        has_reduced_size=block.first("rtcp-rsize") is not None,
        sctp=_sctp(block) if kind == "application" and is_open else None,
    )


def _media(
    block: Block, line: _MediaLine, kind: Kind
) -> tuple[tuple[RtpCodecParameters, ...], tuple[RtpHeaderExtension, ...]]:
    return read_codecs(block, kind, line.formats), read_extensions(block, kind)


def _kind(line: _MediaLine) -> SectionKind:
    if line.protocol in _RTP and line.media in ("audio", "video"):
        return "audio" if line.media == "audio" else "video"
    if line.media == "application" and line.protocol in _SCTP and line.formats[0] == _DATA_CHANNEL:
        return "application"
    return "other"


def _direction(session: Block, block: Block) -> Direction:
    """RFC 8866 6.7: the last word of the section, else of the session, else both ways."""
    for source in (block, session):
        for attribute in reversed(source.attributes):
            if not attribute.value and attribute.name in tuple(Direction):
                return Direction(attribute.name)
    return Direction.SENDRECV


def _sctp(block: Block) -> SctpParameters:
    """RFC 8841 5, 6."""
    port, size = block.first("sctp-port"), block.first("max-message-size")
    if port is None:
        raise MalformedDescription(block.line, "data channels without sctp-port")
    return SctpParameters(
        port=integer(port.line, port.value, 1, 65_535),
        # RFC 8841 6.1: 64 KB where nothing is said
        max_message_size=integer(size.line, size.value, 0, MAX_SCTP_MESSAGE) if size else 65_536,
    )
