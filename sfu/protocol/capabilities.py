"""The tables of `codecs` in the shapes that routers and clients speak."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from sfu.protocol import codecs
from sfu.protocol.parameters import (
    Direction,
    Kind,
    RtcpFeedback,
    RtpCapabilities,
    RtpCodecCapability,
    RtpHeaderExtension,
)

_KINDS: Final[tuple[Kind, ...]] = ("audio", "video")
_HIGH_PROFILE: Final = "64001f"
"""What most encoders send by RTMP; not the constrained high of 640c1f."""


def _capability(codec: codecs.Codec) -> RtpCodecCapability:
    return RtpCodecCapability(
        kind=codec.kind,
        mime_type=codec.mime_type,
        clock_rate=codec.clock_rate,
        channels=codec.channels,
        preferred_payload_type=codec.payload_type,
        parameters=dict(codec.parameters),
        rtcp_feedback=tuple(
            RtcpFeedback(type=entry.type, parameter=entry.parameter) for entry in codec.feedback
        ),
    )


def _high(codec: RtpCodecCapability) -> RtpCodecCapability:
    parameters = {**codec.parameters, "profile-level-id": _HIGH_PROFILE}
    return replace(codec, preferred_payload_type=None, parameters=parameters)


_CAPABILITIES: Final = tuple(_capability(codec) for codec in codecs.CODECS)
_HIGH: Final = next(_high(codec) for codec in _CAPABILITIES if codec.mime_type == "video/H264")
_SUPPORTED: Final = RtpCapabilities(
    codecs=tuple(
        replace(
            codec,
            preferred_payload_type=None,
            parameters={"level-asymmetry-allowed": 1} if codec.mime_type == "video/H264" else {},
        )
        for codec in _CAPABILITIES
    ),
    header_extensions=tuple(
        RtpHeaderExtension(
            kind=kind,
            uri=extension.uri,
            preferred_id=extension.identifier,
            direction=Direction(extension.direction),
        )
        for extension in codecs.HEADER_EXTENSIONS
        for kind in _KINDS
        if kind in extension.kinds
    ),
)


def supported_rtp_capabilities() -> RtpCapabilities:
    """Return every codec that a router may be given, and the header extensions that all routers have."""
    return _SUPPORTED


def default_media_codecs() -> tuple[RtpCodecCapability, ...]:
    """Return the codecs of a room, best liked first."""
    return (*_CAPABILITIES, _HIGH)
