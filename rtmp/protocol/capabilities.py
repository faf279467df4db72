"""What the sides of Enhanced RTMP v2 tell each other in connect ("Enhancing NetConnection connect Command").

Encoders use the extended headers whether or not they announced them, so nothing is refused for what is
missing here; only ReconnectRequest depends on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag

VIDEO_FOUR_CCS = ("avc1", "hvc1", "av01", "vp09")
AUDIO_FOUR_CCS = ("mp4a", "Opus", "ac-3", "fLaC", ".mp3")


class FourCcInfo(IntFlag):
    """What an endpoint can do with a codec (FourCcInfoMask)."""

    CAN_DECODE = 1
    CAN_ENCODE = 2
    CAN_FORWARD = 4


class CapsEx(IntFlag):
    """Extended capabilities (CapsExMask)."""

    RECONNECT = 1
    MULTITRACK = 2
    MOD_EX = 4
    TIMESTAMP_NANO_OFFSET = 8


NO_CAPS_EX = CapsEx(0)
SERVER_CAPS_EX = CapsEx.RECONNECT | CapsEx.MULTITRACK | CapsEx.MOD_EX


@dataclass(frozen=True, slots=True)
class Capabilities:
    """``four_ccs`` are the codecs a peer listed in fourCcList or the info maps; "*" stands for all."""

    four_ccs: frozenset[str] = frozenset()
    caps_ex: CapsEx = NO_CAPS_EX

    @property
    def can_reconnect(self) -> bool:
        return CapsEx.RECONNECT in self.caps_ex


def parse_capabilities(properties: Mapping[str, object]) -> Capabilities:
    """Read the properties of a connect command or its result; what is malformed counts as absent."""
    four_ccs: set[str] = set()
    listed = properties.get("fourCcList")
    if isinstance(listed, list):
        four_ccs.update(four_cc for four_cc in listed if isinstance(four_cc, str))
    for name in ("videoFourCcInfoMap", "audioFourCcInfoMap"):
        info_map = properties.get(name)
        if isinstance(info_map, dict):
            four_ccs.update(info_map)
    caps_ex = properties.get("capsEx")
    if isinstance(caps_ex, float) and 0 <= caps_ex < 2**32:
        return Capabilities(frozenset(four_ccs), CapsEx(int(caps_ex)))
    return Capabilities(frozenset(four_ccs))


def serialize_capabilities(caps_ex: CapsEx, info: FourCcInfo) -> dict[str, object]:
    """Return the properties that announce our codecs, all with the same ``info``."""
    return {
        "fourCcList": [*VIDEO_FOUR_CCS, *AUDIO_FOUR_CCS],
        "videoFourCcInfoMap": {four_cc: int(info) for four_cc in VIDEO_FOUR_CCS},
        "audioFourCcInfoMap": {four_cc: int(info) for four_cc in AUDIO_FOUR_CCS},
        "capsEx": int(caps_ex),
    }
