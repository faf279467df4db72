"""From an offered section to parameters: of a producer (WHIP), or of a consumer (WHEP).

The payload types and extension ids stay the offerer's: an answer keeps them (RFC 3264 6.1, RFC 8285 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sfu.protocol import h264_profile, ortc, red
from sfu.protocol.codec_matching import is_rtx, match_codecs
from sfu.protocol.parameters import (
    RtcpFeedback,
    RtcpParameters,
    RtpCapabilities,
    RtpCodecParameters,
    RtpHeaderExtensionParameters,
    RtpParameters,
)
from sfu.protocol.sdp.description import MediaSection

_H264: Final = "video/h264"


class Consumption(Struct, frozen=True):
    """What a viewer is sent. `payload_types` leads from the consumable's payload types to the viewer's."""

    parameters: RtpParameters
    payload_types: dict[int, int]


def producer_parameters(
    section: MediaSection, capabilities: RtpCapabilities, prefer: Sequence[str] = ()
) -> RtpParameters | None:
    """Return what the offerer is to send: one codec with its RTX, None if the router has none of them.

    `prefer` lists MIME types that come before the offerer's own order, such as `video/H264` for HLS.
    """
    codec = _chosen(section, capabilities, [mime_type.lower() for mime_type in prefer])
    if codec is None or not section.is_usable or not section.direction.sends:
        return None
    rtx = [
        entry for entry in section.codecs if is_rtx(entry) and entry.parameters["apt"] == codec.payload_type
    ]
    uris = {
        extension.uri
        for extension in capabilities.header_extensions
        if extension.kind == section.kind and extension.direction.receives
    }
    return RtpParameters(
        mid=section.mid,
        codecs=(
            codec,
            *_carried(section, capabilities, codec),
            *(replace(entry, rtcp_feedback=()) for entry in rtx[:1]),
        ),
        header_extensions=tuple(
            RtpHeaderExtensionParameters(uri=extension.uri, id=extension.preferred_id)
            for extension in section.header_extensions
            if extension.direction.sends and extension.uri in uris
        ),
        encodings=section.encodings
        if rtx
        else tuple(replace(entry, rtx=None) for entry in section.encodings),
        rtcp=RtcpParameters(cname=section.cname, reduced_size=section.has_reduced_size),
    )


def _chosen(
    section: MediaSection, capabilities: RtpCapabilities, prefer: list[str]
) -> RtpCodecParameters | None:
    """Return the best liked codec in common, with the feedback in common."""

    def rank(codec: RtpCodecParameters) -> int:
        name = codec.mime_type.lower()
        return prefer.index(name) if name in prefer else len(prefer)

    for codec in sorted(section.codecs, key=rank):
        if is_rtx(codec) or (red.is_red(codec) and not _carried(section, capabilities, codec)):
            continue
        known = _known(codec, capabilities)
        if known is not None:
            return known
    return None


def _known(codec: RtpCodecParameters, capabilities: RtpCapabilities) -> RtpCodecParameters | None:
    for capability in capabilities.codecs:
        if match_codecs(codec, capability):
            return replace(codec, rtcp_feedback=_common(codec.rtcp_feedback, capability.rtcp_feedback))
    return None


def _carried(
    section: MediaSection, capabilities: RtpCapabilities, codec: RtpCodecParameters
) -> list[RtpCodecParameters]:
    """Return what redundant audio carries, which may come plain as well; nothing for other codecs."""
    number = red.carried_payload_type(codec)
    offered = [entry for entry in section.codecs if entry.payload_type == number]
    known = [_known(entry, capabilities) for entry in offered if entry.mime_type.lower() == "audio/opus"]
    return [entry for entry in known if entry is not None]


def consumer_parameters(
    section: MediaSection, consumable: RtpParameters, ssrc: int, *, any_profile: bool = False
) -> Consumption | None:
    """Return what a viewer is sent under `ssrc`, RTX under `ssrc` + 1; None if it knows no codec of it.

    With `any_profile` H.264 goes to viewers whose offer lacks its profile too: decoders know more
    than offers say.
    """
    if not section.is_usable or not section.direction.receives:
        return None
    codecs: list[RtpCodecParameters] = []
    payload_types: dict[int, int] = {}
    for codec in consumable.codecs:
        offered = None if is_rtx(codec) else _offered(section, codec, any_profile=any_profile)
        if offered is None or offered.payload_type in payload_types.values():
            continue
        codecs.append(replace(offered, parameters=_described(codec, offered)))
        payload_types[codec.payload_type] = offered.payload_type
        for source, rtx in _rtx_pair(section, consumable, codec, offered):
            codecs.append(replace(rtx, rtcp_feedback=()))
            payload_types[source.payload_type] = rtx.payload_type
    codecs = red.without_stray_red(codecs)
    if not codecs:
        return None
    extensions = _sent_extensions(section, consumable)
    reduced = ortc.reduce_feedback(codecs, [extension.uri for extension in extensions])
    parameters = RtpParameters(
        mid=section.mid,
        codecs=reduced,
        header_extensions=extensions,
        encodings=(ortc.consumer_encoding(consumable, ssrc, has_rtx=any(map(is_rtx, codecs))),),
        rtcp=replace(consumable.rtcp, reduced_size=section.has_reduced_size),
    )
    sent = {codec.payload_type for codec in codecs}
    return Consumption(parameters, {ours: theirs for ours, theirs in payload_types.items() if theirs in sent})


def _offered(
    section: MediaSection, codec: RtpCodecParameters, *, any_profile: bool
) -> RtpCodecParameters | None:
    for offered in section.codecs:
        if match_codecs(offered, codec):
            return replace(offered, rtcp_feedback=_common(offered.rtcp_feedback, codec.rtcp_feedback))
    if not any_profile or codec.mime_type.lower() != _H264:
        return None
    mode = h264_profile.packetization_mode(codec.parameters)
    for offered in section.codecs:
        if match_codecs(offered, codec, strict=False) and (
            h264_profile.packetization_mode(offered.parameters) == mode
        ):
            return replace(offered, rtcp_feedback=_common(offered.rtcp_feedback, codec.rtcp_feedback))
    return None


def _described(codec: RtpCodecParameters, offered: RtpCodecParameters) -> dict[str, str | int]:
    """Return the offered parameters, made true for what is sent: its H.264 level, its `sprop` values."""
    parameters = dict(offered.parameters)
    parameters |= {name: value for name, value in codec.parameters.items() if name.startswith("sprop-")}
    if codec.mime_type.lower() == _H264 and h264_profile.is_same_profile(codec.parameters, parameters):
        profile_level_id = h264_profile.answer(codec.parameters, parameters)
        if profile_level_id is not None:
            parameters["profile-level-id"] = profile_level_id
    return parameters


def _rtx_pair(
    section: MediaSection, consumable: RtpParameters, codec: RtpCodecParameters, offered: RtpCodecParameters
) -> list[tuple[RtpCodecParameters, RtpCodecParameters]]:
    """Return the RTX of a codec on both sides, nothing where one lacks it."""
    ours = [entry for entry in consumable.codecs if _repeats(entry, codec)]
    theirs = [entry for entry in section.codecs if _repeats(entry, offered)]
    return list(zip(ours, theirs, strict=False))[:1]


def _repeats(rtx: RtpCodecParameters, codec: RtpCodecParameters) -> bool:
    return is_rtx(rtx) and rtx.parameters.get("apt") == codec.payload_type


def _sent_extensions(
    section: MediaSection, consumable: RtpParameters
) -> tuple[RtpHeaderExtensionParameters, ...]:
    known = {extension.uri for extension in consumable.header_extensions}
    return tuple(
        RtpHeaderExtensionParameters(uri=extension.uri, id=extension.preferred_id)
        for extension in section.header_extensions
        if extension.direction.receives and extension.uri in known
    )


def _common(one: Sequence[RtcpFeedback], other: Sequence[RtcpFeedback]) -> tuple[RtcpFeedback, ...]:
    return tuple(entry for entry in one if entry in other)
