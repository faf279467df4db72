"""Negotiation without descriptions: which codecs, payload types and extensions a producer and a consumer use.

The steps are mediasoup's, so that mediasoup-client meets what it expects: a router has capabilities; a
producer's parameters are mapped to the router's payload types and to SSRCs of its own (`RtpMapping`), which
makes them consumable; a consumer gets what of these its capabilities allow, as one stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sfu.protocol import h264_profile, red
from sfu.protocol.capabilities import default_media_codecs as default_media_codecs
from sfu.protocol.capabilities import supported_rtp_capabilities as supported_rtp_capabilities
from sfu.protocol.codec_matching import is_rtx, match_codecs, scalability_mode
from sfu.protocol.codecs import ABS_SEND_TIME, TRANSPORT_SEQUENCE
from sfu.protocol.errors import ProtocolError
from sfu.protocol.parameters import (
    RtcpFeedback,
    RtcpParameters,
    RtpCapabilities,
    RtpCodecCapability,
    RtpCodecParameters,
    RtpEncodingParameters,
    RtpHeaderExtensionParameters,
    RtpParameters,
    RtxParameters,
    SctpStreamParameters,
)

DYNAMIC_PAYLOAD_TYPES: Final = (*range(100, 128), *range(96, 100))


class InvalidParameters(ProtocolError):
    """The parameters contradict themselves."""


class UnsupportedParameters(ProtocolError):
    """The parameters make sense, but there is no codec in common."""


class CodecMapping(Struct, frozen=True):
    """A producer's payload type and the router's for the same codec."""

    payload_type: int
    mapped_payload_type: int


class EncodingMapping(Struct, frozen=True):
    """A producer's stream and the SSRC that the router calls it by."""

    mapped_ssrc: int
    ssrc: int | None = None
    rid: str | None = None
    scalability_mode: str | None = None


class RtpMapping(Struct, frozen=True):
    """How what a producer sends becomes what the router forwards."""

    codecs: tuple[CodecMapping, ...]
    encodings: tuple[EncodingMapping, ...]


def router_rtp_capabilities(media_codecs: Iterable[RtpCodecCapability]) -> RtpCapabilities:
    """Return the capabilities of a router for `media_codecs`: payload types given out, RTX beside each video.

    Raises UnsupportedParameters for a codec that cannot be forwarded, InvalidParameters when numbers clash.
    """
    media = tuple(media_codecs)
    taken = {codec.preferred_payload_type for codec in media}
    free = [number for number in DYNAMIC_PAYLOAD_TYPES if number not in taken]
    codecs: list[RtpCodecCapability] = []
    for wanted in media:
        codec = _routed(wanted, free)
        if any(codec.preferred_payload_type == other.preferred_payload_type for other in codecs):
            raise InvalidParameters(f"payload type {codec.preferred_payload_type} is given to two codecs")
        codecs.append(codec)
        if codec.kind == "video":
            codecs.append(_rtx_of(codec, _take(free, _number(codec) + 1)))
    codecs = [_pointed(codec, codecs) for codec in codecs]
    extensions = supported_rtp_capabilities().header_extensions
    return RtpCapabilities(codecs=tuple(codecs), header_extensions=extensions)


def producer_mapping(parameters: RtpParameters, capabilities: RtpCapabilities, ssrc: int) -> RtpMapping:
    """Return how a producer's payload types and streams map to the router's; streams count up from `ssrc`.

    Raises UnsupportedParameters when the router lacks a codec, InvalidParameters for contradictions.
    """
    check(parameters)
    matched: dict[int, RtpCodecCapability] = {}
    for codec in parameters.codecs:
        if not is_rtx(codec):
            matched[codec.payload_type] = _supported(codec, capabilities.codecs)
    for codec in parameters.codecs:
        if is_rtx(codec):
            matched[codec.payload_type] = _supported_rtx(codec, matched, capabilities.codecs)
    return RtpMapping(
        tuple(CodecMapping(payload_type, _number(codec)) for payload_type, codec in matched.items()),
        tuple(
            EncodingMapping(
                (ssrc + index) & 0xFFFF_FFFF, encoding.ssrc, encoding.rid, encoding.scalability_mode
            )
            for index, encoding in enumerate(parameters.encodings)
        ),
    )


def consumable_parameters(
    kind: str, parameters: RtpParameters, capabilities: RtpCapabilities, mapping: RtpMapping
) -> RtpParameters:
    """Return a producer's parameters in the router's numbers: what its consumers are derived from."""
    routed = {_number(codec): codec for codec in capabilities.codecs}
    mapped = {entry.payload_type: routed[entry.mapped_payload_type] for entry in mapping.codecs}
    codecs: list[RtpCodecParameters] = []
    for codec in parameters.codecs:
        if is_rtx(codec):
            continue
        target = mapped[codec.payload_type]
        codecs.append(_as_parameters(target, _answered(codec, target)))
        codecs += [_as_parameters(rtx, rtx.parameters) for rtx in _rtx_for(target, capabilities.codecs)]
    return RtpParameters(
        codecs=tuple(codecs),
        header_extensions=tuple(
            RtpHeaderExtensionParameters(uri=extension.uri, id=extension.preferred_id)
            for extension in capabilities.header_extensions
            if extension.kind == kind and extension.direction.sends
        ),
        encodings=tuple(
            replace(encoding, ssrc=entry.mapped_ssrc, rid=None, rtx=None, codec_payload_type=None)
            for encoding, entry in zip(parameters.encodings, mapping.encodings, strict=True)
        ),
        rtcp=RtcpParameters(cname=parameters.rtcp.cname),
    )


def can_consume(consumable: RtpParameters, capabilities: RtpCapabilities) -> bool:
    """Return whether a peer with `capabilities` understands at least the first codec it has in common."""
    common = (
        codec
        for codec in consumable.codecs
        if any(match_codecs(capability, codec) for capability in capabilities.codecs)
        and not red.is_red(codec)
    )
    first = next(common, None)
    return first is not None and not is_rtx(first)


def consumer_parameters(
    consumable: RtpParameters,
    capabilities: RtpCapabilities,
    ssrc: int,
    *,
    mid: str | None = None,
    enable_rtx: bool = True,
) -> RtpParameters:
    """Return what one consumer is sent: one stream under `ssrc`, its retransmissions under `ssrc` + 1.

    Raises UnsupportedParameters when there is no media codec in common.
    """
    common = red.without_stray_red(_consumed_codecs(consumable, capabilities, enable_rtx))
    codecs = _without_stray_rtx(common)
    if not codecs or is_rtx(codecs[0]):
        raise UnsupportedParameters("no media codec in common")
    known = {(extension.preferred_id, extension.uri) for extension in capabilities.header_extensions}
    extensions = tuple(entry for entry in consumable.header_extensions if (entry.id, entry.uri) in known)
    has_rtx = any(is_rtx(codec) for codec in codecs)
    return RtpParameters(
        mid=mid,
        codecs=reduce_feedback(codecs, [extension.uri for extension in extensions]),
        header_extensions=extensions,
        encodings=(consumer_encoding(consumable, ssrc, has_rtx=has_rtx),),
        rtcp=consumable.rtcp,
    )


def consumer_encoding(consumable: RtpParameters, ssrc: int, *, has_rtx: bool) -> RtpEncodingParameters:
    """Return the one stream of a consumer; simulcast layers become spatial layers of its scalability mode."""
    mode = next((entry.scalability_mode for entry in consumable.encodings if entry.scalability_mode), None)
    if len(consumable.encodings) > 1:
        mode = f"L{len(consumable.encodings)}T{scalability_mode(mode).temporal_layers}"
    bitrates = [entry.max_bitrate for entry in consumable.encodings if entry.max_bitrate]
    return RtpEncodingParameters(
        ssrc=ssrc,
        rtx=RtxParameters(ssrc=(ssrc + 1) & 0xFFFF_FFFF) if has_rtx else None,
        scalability_mode=mode,
        max_bitrate=max(bitrates, default=None),
    )


def reduce_feedback(
    codecs: Sequence[RtpCodecParameters], extension_uris: Sequence[str]
) -> tuple[RtpCodecParameters, ...]:
    """Keep the feedback that is answered: NACK by RTX alone, so never for audio, and one kind on congestion.

    That is transport-wide, else REMB, as the extensions allow.
    """
    if TRANSPORT_SEQUENCE in extension_uris:
        dropped = {"goog-remb"}
    elif ABS_SEND_TIME in extension_uris:
        dropped = {"transport-cc"}
    else:
        dropped = {"transport-cc", "goog-remb"}
    repaired = {codec.parameters.get("apt") for codec in codecs if is_rtx(codec)}

    def is_kept(codec: RtpCodecParameters, entry: RtcpFeedback) -> bool:
        if entry.type == "nack" and not entry.parameter:
            return codec.payload_type in repaired
        return entry.type not in dropped

    return tuple(
        replace(codec, rtcp_feedback=tuple(entry for entry in codec.rtcp_feedback if is_kept(codec, entry)))
        for codec in codecs
    )


def check(parameters: RtpParameters) -> None:
    """Refuse contradictions that the shapes alone allow, with InvalidParameters."""
    kinds = {codec.kind for codec in parameters.codecs}
    if len(kinds) > 1:
        raise InvalidParameters("codecs of more than one kind")
    _once("payload type", (codec.payload_type for codec in parameters.codecs))
    _once("header extension id", (extension.id for extension in parameters.header_extensions))
    _once("rid", (encoding.rid for encoding in parameters.encodings if encoding.rid))
    _once("SSRC", _ssrcs(parameters))
    for codec in parameters.codecs:
        if is_rtx(codec) and not isinstance(codec.parameters.get("apt"), int):
            raise InvalidParameters(f"RTX payload type {codec.payload_type} without apt")
    if len(red.without_stray_red(parameters.codecs)) < len(parameters.codecs):
        raise InvalidParameters("audio/red without the Opus that its parameters name")


def stream_parameters(parameters: SctpStreamParameters) -> SctpStreamParameters:
    """Return the parameters of a data channel's stream with `ordered` decided. Raises InvalidParameters."""
    life_time, retransmits = parameters.max_packet_life_time, parameters.max_retransmits
    if life_time is not None and retransmits is not None:
        raise InvalidParameters("both maxPacketLifeTime and maxRetransmits")
    is_limited = life_time is not None or retransmits is not None
    if parameters.ordered and is_limited:
        raise InvalidParameters("an ordered stream with a limit on retransmission")
    if parameters.ordered is not None:
        return parameters
    return replace(parameters, ordered=not is_limited)


def _once(what: str, values: Iterable[object]) -> None:
    seen: set[object] = set()
    for value in values:
        if value in seen:
            raise InvalidParameters(f"{what} {value} more than once")
        seen.add(value)


def _ssrcs(parameters: RtpParameters) -> Iterator[int]:
    for encoding in parameters.encodings:
        if encoding.ssrc is not None:
            yield encoding.ssrc
        if encoding.rtx is not None:
            yield encoding.rtx.ssrc


def _number(codec: RtpCodecCapability) -> int:
    if codec.preferred_payload_type is None:
        raise InvalidParameters(f"{codec.mime_type} without preferredPayloadType")
    return codec.preferred_payload_type


def _take(free: list[int], preferred: int | None = None) -> int:
    if not free:
        raise InvalidParameters("no payload types left")
    return free.pop(free.index(preferred) if preferred in free else 0)


def _routed(wanted: RtpCodecCapability, free: list[int]) -> RtpCodecCapability:
    """Return the supported codec under a payload type, with the parameters that are wanted."""
    candidates = supported_rtp_capabilities().codecs
    supported = next((codec for codec in candidates if match_codecs(wanted, codec, strict=False)), None)
    if supported is None:
        raise UnsupportedParameters(f"{wanted.mime_type} cannot be forwarded")
    number = wanted.preferred_payload_type
    if number is None:
        number = _take(free)
    parameters = {**supported.parameters, **wanted.parameters}
    return replace(supported, preferred_payload_type=number, parameters=parameters)


def _pointed(codec: RtpCodecCapability, codecs: Sequence[RtpCodecCapability]) -> RtpCodecCapability:
    """Return redundant audio with the payload type of what it carries, other codecs as they are."""
    if not red.is_red(codec):
        return codec
    for other in codecs:
        if other.mime_type.lower() == "audio/opus":
            return replace(codec, parameters=red.parameters_for(_number(other)))
    raise UnsupportedParameters("audio/red cannot be forwarded without audio/opus")


def _rtx_of(codec: RtpCodecCapability, payload_type: int) -> RtpCodecCapability:
    return RtpCodecCapability(
        kind=codec.kind,
        mime_type=f"{codec.kind}/rtx",
        preferred_payload_type=payload_type,
        clock_rate=codec.clock_rate,
        parameters={"apt": _number(codec)},
    )


def _supported(codec: RtpCodecParameters, candidates: Sequence[RtpCodecCapability]) -> RtpCodecCapability:
    for candidate in candidates:
        if match_codecs(codec, candidate):
            return candidate
    raise UnsupportedParameters(
        f"{codec.mime_type} (payload type {codec.payload_type}) is not of this router"
    )


def _supported_rtx(
    rtx: RtpCodecParameters,
    matched: dict[int, RtpCodecCapability],
    candidates: Sequence[RtpCodecCapability],
) -> RtpCodecCapability:
    apt = rtx.parameters["apt"]
    media = matched.get(apt) if isinstance(apt, int) else None
    if media is None or is_rtx(media):
        raise InvalidParameters(f"RTX payload type {rtx.payload_type} repeats no codec")
    for candidate in _rtx_for(media, candidates):
        return candidate
    raise UnsupportedParameters(f"the router has no RTX for {media.mime_type}")


def _rtx_for(
    media: RtpCodecCapability, candidates: Sequence[RtpCodecCapability]
) -> Sequence[RtpCodecCapability]:
    number = media.preferred_payload_type
    return [codec for codec in candidates if is_rtx(codec) and codec.parameters.get("apt") == number][:1]


def _answered(codec: RtpCodecParameters, target: RtpCodecCapability) -> dict[str, str | int]:
    """Return the producer's own parameters, which describe what it sends, with the level that holds."""
    if red.is_red(codec):
        return target.parameters
    if codec.mime_type.lower() != "video/h264":
        return codec.parameters
    profile_level_id = h264_profile.answer(codec.parameters, target.parameters)
    if profile_level_id is None:
        return codec.parameters
    return {**codec.parameters, "profile-level-id": profile_level_id}


def _as_parameters(codec: RtpCodecCapability, parameters: dict[str, str | int]) -> RtpCodecParameters:
    return RtpCodecParameters(
        mime_type=codec.mime_type,
        payload_type=_number(codec),
        clock_rate=codec.clock_rate,
        channels=codec.channels,
        parameters=parameters,
        rtcp_feedback=codec.rtcp_feedback,
    )


def _consumed_codecs(
    consumable: RtpParameters, capabilities: RtpCapabilities, enable_rtx: bool
) -> Iterator[RtpCodecParameters]:
    """Yield the codecs in common, with the consumer's feedback."""
    for codec in consumable.codecs:
        if is_rtx(codec) and not enable_rtx:
            continue
        for capability in capabilities.codecs:
            if match_codecs(capability, codec):
                yield replace(codec, rtcp_feedback=capability.rtcp_feedback)
                break


def _without_stray_rtx(codecs: Sequence[RtpCodecParameters]) -> list[RtpCodecParameters]:
    media = {codec.payload_type for codec in codecs if not is_rtx(codec)}
    return [codec for codec in codecs if not is_rtx(codec) or codec.parameters.get("apt") in media]
