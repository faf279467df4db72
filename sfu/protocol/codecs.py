"""What a router supports: codecs with their payload types and feedback, and header extensions with ids.

The ids and payload types are the router's own. A mediasoup-client takes them over; others offer theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MediaKind = Literal["audio", "video"]
Direction = Literal["sendrecv", "recvonly"]

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
TRANSPORT_SEQUENCE = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
VIDEO_ORIENTATION = "urn:3gpp:video-orientation"
DEPENDENCY_DESCRIPTOR = (
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
)
ABS_CAPTURE_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"


@dataclass(frozen=True, slots=True)
class Feedback:
    """One rtcp-fb of a codec (RFC 4585 4.2)."""

    type: str
    parameter: str = ""


@dataclass(frozen=True, slots=True)
class Codec:
    """One codec in one of its variants; `parameters` is its fmtp."""

    kind: MediaKind
    mime_type: str
    payload_type: int
    clock_rate: int
    channels: int | None = None
    parameters: tuple[tuple[str, int | str], ...] = ()
    feedback: tuple[Feedback, ...] = ()
    retransmission_payload_type: int | None = None
    """The payload type of its RTX (RFC 4588); None where losses are not repaired."""


@dataclass(frozen=True, slots=True)
class HeaderExtension:
    """One header extension; `direction` is the router's: what is `recvonly` is never forwarded."""

    uri: str
    identifier: int
    kinds: tuple[MediaKind, ...]
    direction: Direction = "sendrecv"


AUDIO_FEEDBACK = (Feedback("nack"), Feedback("transport-cc"))
VIDEO_FEEDBACK = (
    Feedback("nack"),
    Feedback("nack", "pli"),
    Feedback("ccm", "fir"),
    Feedback("goog-remb"),
    Feedback("transport-cc"),
)


def _video(name: str, payload_type: int, *parameters: tuple[str, int | str]) -> Codec:
    return Codec(
        "video", f"video/{name}", payload_type, 90_000, None, parameters, VIDEO_FEEDBACK, payload_type + 1
    )


def _h264(profile_level_id: str, payload_type: int) -> Codec:
    """Packetization mode 1: mode 0 has no fragmentation, so keyframes would not fit a datagram."""
    return _video(
        "H264",
        payload_type,
        ("level-asymmetry-allowed", 1),
        ("packetization-mode", 1),
        ("profile-level-id", profile_level_id),
    )


OPUS = Codec("audio", "audio/opus", 100, 48_000, 2, (("minptime", 10), ("useinbandfec", 1)), AUDIO_FEEDBACK)
RED = Codec("audio", "audio/red", 101, 48_000, 2, (), (Feedback("transport-cc"),))
"""Redundant Opus (RFC 2198); its fmtp, Opus' payload type twice, is written where that is given out."""
CODECS = (
    OPUS,
    RED,
    _video("VP8", 102),
    _video("VP9", 104, ("profile-id", 0)),
    _video("VP9", 106, ("profile-id", 2)),
    _h264("42e01f", 108),
    _h264("42001f", 110),
    _h264("640c1f", 112),
    _h264("4d001f", 114),
    _video("AV1", 116),
)
"""In the router's order of preference; payload types are dynamic ones clear of RTCP (RFC 5761 4)."""

_BOTH: tuple[MediaKind, ...] = ("audio", "video")
_VIDEO: tuple[MediaKind, ...] = ("video",)
HEADER_EXTENSIONS = (
    HeaderExtension(MID, 1, _BOTH),
    HeaderExtension(RID, 2, _VIDEO, "recvonly"),
    HeaderExtension(REPAIRED_RID, 3, _VIDEO, "recvonly"),
    HeaderExtension(ABS_SEND_TIME, 4, _BOTH),
    # Audio is received with it, but sent without: a consumer's audio is never paced or thinned.
    HeaderExtension(TRANSPORT_SEQUENCE, 5, ("audio",), "recvonly"),
    HeaderExtension(TRANSPORT_SEQUENCE, 5, _VIDEO),
    HeaderExtension(AUDIO_LEVEL, 6, ("audio",)),
    HeaderExtension(VIDEO_ORIENTATION, 7, _VIDEO),
    HeaderExtension(DEPENDENCY_DESCRIPTOR, 8, _VIDEO),
    HeaderExtension(ABS_CAPTURE_TIME, 9, _BOTH),
    HeaderExtension(PLAYOUT_DELAY, 10, _BOTH),
)
"""Ids below 15: all fit the one-byte form (RFC 8285 4.2)."""
EXTENSION_IDS = {extension.uri: extension.identifier for extension in HEADER_EXTENSIONS}
