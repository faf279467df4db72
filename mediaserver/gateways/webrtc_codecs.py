"""How tracks of the hub are offered over WebRTC: codec parameters, and samples into payloads."""

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from mediaserver.gateways.rtp_h264 import H264Packetizer
from mediaserver.gateways.webrtc_packets import Av1Packetizer, Vp9Packetizer
from mediaserver.media.codecs import describe
from mediaserver.media.codecs.description import VideoDescription
from mediaserver.media.codecs.h264 import BFrameDetector
from mediaserver.media.packet import Codec, Track
from sfu.protocol.parameters import RtpCodecCapability

Packetize: TypeAlias = Callable[[bytes, bool], list[bytes]]
"""A sample, and whether it is a keyframe, into payloads. Raises CodecConfigError."""

B_FRAMES: Final = "the video has B-frames, which WebRTC cannot show: switch them off in the encoder"
OPUS: Final = RtpCodecCapability(
    kind="audio",
    mime_type="audio/opus",
    clock_rate=48_000,
    channels=2,
    parameters={"minptime": 10, "useinbandfec": 1},
)

_FULL_BOX_HEADER: Final = b"\x01\x00\x00\x00"


class Reordering(Protocol):
    """Watches for frames that are shown in another order than they are sent."""

    def add(self, sample: bytes) -> bool:
        """Look at another frame; say whether any has been out of order by now."""


class _NoReordering:
    """For codecs whose samples are always in the order of showing, superframes included."""

    def add(self, sample: bytes) -> bool:
        return False


def capability(track: Track) -> RtpCodecCapability | None:
    """What a router has to support for ``track``, None where WebRTC has no such codec or browsers do not."""
    if track.codec is Codec.H264:
        # The profile of what is sent; levels are the receiver's own affair (RFC 6184, 8.2.2).
        parameters: dict[str, str | int] = {
            "level-asymmetry-allowed": 1,
            "packetization-mode": 1,
            "profile-level-id": track.config[1:4].hex(),
        }
        return _video("H264", parameters)
    if track.codec is Codec.VP9:
        return _video("VP9", {"profile-id": track.config.removeprefix(_FULL_BOX_HEADER)[0]})
    if track.codec is Codec.AV1:
        profile = track.config[1] >> 5
        return _video("AV1", {"profile": profile} if profile else {})
    return None


def can_go_on(former: Track, track: Track) -> bool:
    """Whether what decodes ``former`` decodes ``track``; of H.264, another level is a size, not a codec."""
    if former.codec is track.codec is Codec.H264:
        return former.config[1:3] == track.config[1:3]
    return capability(former) == capability(track)


def packetizer(track: Track) -> Packetize:
    """Raises CodecConfigError, and KeyError for codecs without a ``capability``."""
    return _PACKETIZERS[track.codec](track.config)


def reordering(track: Track) -> Reordering:
    """Raises CodecConfigError."""
    return BFrameDetector(track.config) if track.codec is Codec.H264 else _NoReordering()


def may_reorder(track: Track) -> bool:
    """Whether only the frames tell. Raises CodecConfigError."""
    description = describe(track)
    return (
        track.codec is Codec.H264 and isinstance(description, VideoDescription) and description.has_reordering
    )


def _video(name: str, parameters: dict[str, str | int]) -> RtpCodecCapability:
    return RtpCodecCapability(
        kind="video", mime_type=f"video/{name}", clock_rate=90_000, parameters=parameters
    )


def _h264(config: bytes) -> Packetize:
    packetizer = H264Packetizer(config)
    return lambda sample, is_keyframe: packetizer.packetize(sample)


_PACKETIZERS: Final[dict[Codec, Callable[[bytes], Packetize]]] = {
    Codec.H264: _h264,
    Codec.VP9: lambda config: Vp9Packetizer().packetize,
    Codec.AV1: lambda config: Av1Packetizer(config).packetize,
}
