"""Answers of an ICE-lite server with one bundled transport (RFC 3264 6, RFC 8829 5.3, RFC 9143 7.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from sfu.protocol.codec_matching import is_rtx
from sfu.protocol.parameters import (
    Direction,
    DtlsParameters,
    IceCandidate,
    IceParameters,
    RtcpFeedback,
    RtpCodecParameters,
    RtpEncodingParameters,
    SctpParameters,
)
from sfu.protocol.sdp.description import MediaSection, Offer, SectionAnswer
from sfu.protocol.sdp.lines import join
from sfu.protocol.sdp.transport import candidate_line, dtls_lines

DISCARD_PORT: Final = 9


class Endpoint(Struct, frozen=True, kw_only=True):
    """The server's side of a transport. `dtls.role` says who begins; `auto` takes what the offer leaves."""

    ice: IceParameters
    dtls: DtlsParameters
    candidates: tuple[IceCandidate, ...]
    sctp: SctpParameters | None = None


def answer(
    offer: Offer, sections: Iterable[SectionAnswer], endpoint: Endpoint, *, session_id: int, version: int = 1
) -> str:
    """Return the answer: sections without one of their own become inactive, unusable ones are rejected."""
    by_mid = {section.mid: section for section in sections}
    bundled = [section for section in offer.sections if _is_accepted(section, endpoint)]
    lines = list(_session_lines(offer, endpoint, bundled, session_id, version))
    for section in offer.sections:
        if not _is_accepted(section, endpoint):
            lines += _rejected(section)
            continue
        lines += _head(section, by_mid.get(section.mid), endpoint)
        lines += _transport_lines(offer, endpoint)
        lines += _body(section, by_mid, endpoint)
        if section is bundled[0]:
            lines += map(candidate_line, endpoint.candidates)
            lines.append("a=end-of-candidates")
    return join(lines)


def _is_accepted(section: MediaSection, endpoint: Endpoint) -> bool:
    if section.kind == "application":
        return section.is_usable and endpoint.sctp is not None
    return section.is_usable and bool(section.codecs)


def _session_lines(
    offer: Offer, endpoint: Endpoint, bundled: Sequence[MediaSection], session_id: int, version: int
) -> Iterator[str]:
    yield "v=0"
    yield f"o=- {session_id} {version} IN IP4 127.0.0.1"
    yield "s=-"
    yield "t=0 0"
    if endpoint.ice.ice_lite:
        yield "a=ice-lite"
    if bundled:
        yield f"a=group:BUNDLE {' '.join(section.mid for section in bundled)}"
    if offer.allows_mixed_extensions:
        yield "a=extmap-allow-mixed"
    yield "a=msid-semantic: WMS *"


def _rejected(section: MediaSection) -> list[str]:
    """RFC 3264 6: port 0, and formats that nobody reads but that have to be there."""
    return [
        f"m={section.media} 0 {section.protocol} {' '.join(section.formats)}",
        "c=IN IP4 0.0.0.0",
        f"a=mid:{section.mid}",
        "a=inactive",
    ]


def _head(section: MediaSection, answered: SectionAnswer | None, endpoint: Endpoint) -> list[str]:
    formats = section.formats[:1]
    if section.kind != "application":
        codecs = answered.parameters.codecs if answered else section.codecs[:1]
        formats = tuple(str(codec.payload_type) for codec in codecs)
    port, connection = _default_candidate(endpoint.candidates)
    return [
        f"m={section.media} {port} {section.protocol} {' '.join(formats)}",
        f"c=IN {connection}",
        f"a=mid:{section.mid}",
    ]


def _default_candidate(candidates: Sequence[IceCandidate]) -> tuple[int, str]:
    """RFC 8839 4.2.1.2: the address for those who know no ICE; names are for nobody."""
    for candidate in candidates:
        if candidate.protocol == "udp" and not candidate.address.strip("0123456789."):
            return candidate.port, f"IP4 {candidate.address}"
    return DISCARD_PORT, "IP4 0.0.0.0"


def _transport_lines(offer: Offer, endpoint: Endpoint) -> Iterator[str]:
    yield f"a=ice-ufrag:{endpoint.ice.username_fragment}"
    yield f"a=ice-pwd:{endpoint.ice.password}"
    if offer.is_trickle:
        yield "a=ice-options:trickle"
    role = offer.answer_role if endpoint.dtls.role == "auto" else endpoint.dtls.role
    yield from dtls_lines(endpoint.dtls, role)


def _body(section: MediaSection, by_mid: Mapping[str, SectionAnswer], endpoint: Endpoint) -> Iterator[str]:
    if section.kind == "application":
        if endpoint.sctp is not None:
            yield f"a=sctp-port:{endpoint.sctp.port}"
            yield f"a=max-message-size:{endpoint.sctp.max_message_size}"
        return
    yield "a=rtcp-mux"
    if section.has_reduced_size:
        yield "a=rtcp-rsize"
    answered = by_mid.get(section.mid)
    if answered is None:
        yield "a=inactive"
        yield from _codec_lines(section.codecs[:1])
        return
    yield f"a={answered.direction}"
    yield from _extension_lines(section, answered)
    yield from _codec_lines(answered.parameters.codecs)
    if answered.direction.receives:
        yield from _simulcast_lines(answered.parameters.encodings)
    if answered.direction.sends:
        yield from _source_lines(answered)


def _codec_lines(codecs: Sequence[RtpCodecParameters]) -> Iterator[str]:
    for codec in codecs:
        number = codec.payload_type
        channels = f"/{codec.channels}" if codec.kind == "audio" and (codec.channels or 1) > 1 else ""
        yield f"a=rtpmap:{number} {codec.mime_type.partition('/')[2]}/{codec.clock_rate}{channels}"
        if codec.parameters:
            parameters = ";".join(_parameter(name, value) for name, value in codec.parameters.items())
            yield f"a=fmtp:{number} {parameters}"
        for feedback in codec.rtcp_feedback:
            yield f"a=rtcp-fb:{number} {_feedback(feedback)}"


def _parameter(name: str, value: str | int) -> str:
    """Redundant audio and such have values without a name (RFC 2198 5)."""
    return f"{name}={value}" if name and value != "" else f"{name}{value}"


def _feedback(feedback: RtcpFeedback) -> str:
    return f"{feedback.type} {feedback.parameter}" if feedback.parameter else feedback.type


def _extension_lines(section: MediaSection, answered: SectionAnswer) -> Iterator[str]:
    """RFC 8285 5: an answer repeats the id, and turns a direction round where the offer gave one."""
    offered = {extension.preferred_id: extension.direction for extension in section.header_extensions}
    for extension in answered.parameters.header_extensions:
        direction = offered.get(extension.id, Direction.SENDRECV).reverse
        suffix = "" if direction is Direction.SENDRECV else f"/{direction}"
        yield f"a=extmap:{extension.id}{suffix} {extension.uri}"


def _simulcast_lines(encodings: Sequence[RtpEncodingParameters]) -> Iterator[str]:
    rids = [encoding.rid for encoding in encodings if encoding.rid]
    for rid in rids:
        yield f"a=rid:{rid} recv"
    if rids:
        yield f"a=simulcast:recv {';'.join(rids)}"


def _source_lines(answered: SectionAnswer) -> Iterator[str]:
    yield f"a=msid:{answered.stream_id} {answered.track_id or answered.mid}"
    cname = answered.parameters.rtcp.cname or answered.stream_id
    has_rtx = any(is_rtx(codec) for codec in answered.parameters.codecs)
    for encoding in answered.parameters.encodings:
        if encoding.ssrc is None:
            continue
        ssrcs = [encoding.ssrc]
        if has_rtx and encoding.rtx is not None:
            ssrcs.append(encoding.rtx.ssrc)
            yield f"a=ssrc-group:FID {ssrcs[0]} {ssrcs[1]}"
        for ssrc in ssrcs:
            yield f"a=ssrc:{ssrc} cname:{cname}"
