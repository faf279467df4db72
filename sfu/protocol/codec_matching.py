"""Whether two peers mean the same codec, and how many layers a stream of it has."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from sfu.protocol import h264_profile
from sfu.protocol.parameters import RtpCodecCapability, RtpCodecParameters

Codec = RtpCodecCapability | RtpCodecParameters

_SCALABILITY_MODE: Final = re.compile(r"[LS]([1-9][0-9]?)T([1-9][0-9]?)(_KEY)?")


class ScalabilityMode(NamedTuple):
    """How many layers a stream has. `is_key` says that layers above the lowest need it at keyframes only."""

    spatial_layers: int
    temporal_layers: int
    is_key: bool


def scalability_mode(name: str | None) -> ScalabilityMode:
    """Return the layers that a name such as `L3T3_KEY` stands for; one of each if it stands for none."""
    found = _SCALABILITY_MODE.match(name or "")
    if not found:
        return ScalabilityMode(1, 1, False)
    return ScalabilityMode(int(found[1]), int(found[2]), bool(found[3]))


def is_rtx(codec: Codec) -> bool:
    """Return whether a codec carries retransmissions of another one."""
    return codec.mime_type.lower().endswith("/rtx")


def match_codecs(one: Codec, other: Codec, *, strict: bool = True) -> bool:
    """Return whether two codecs are the same; `strict` minds profiles and packetization as well."""
    mime_type = one.mime_type.lower()
    if mime_type != other.mime_type.lower() or one.clock_rate != other.clock_rate:
        return False
    if _channels(one) != _channels(other):
        return False
    if not strict:
        return True
    first, second = one.parameters, other.parameters
    match mime_type:
        case "video/h264":
            modes = h264_profile.packetization_mode(first), h264_profile.packetization_mode(second)
            return modes[0] == modes[1] and h264_profile.is_same_profile(first, second)
        case "video/vp9":
            return str(first.get("profile-id") or 0) == str(second.get("profile-id") or 0)
        case "video/av1":
            return str(first.get("profile") or 0) == str(second.get("profile") or 0)
    return True


def _channels(codec: Codec) -> int:
    return (codec.channels or 1) if codec.kind == "audio" else 0
