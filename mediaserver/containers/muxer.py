"""The contract between a container and the broadcast that feeds viewers with it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from mediaserver.media.packet import MediaPacket, Track


class Muxer(Protocol):
    """MediaPackets to container bytes, without I/O.

    One muxer serves all viewers of one stream in one container: what it renders is written to all of them,
    so nothing in it may depend on who receives it or since when.
    """

    content_type: str
    """The container's media type without parameters."""

    def mime_type(self, tracks: Sequence[Track]) -> str:
        """``content_type``, with RFC 6381 codecs where players need them before the first byte."""

    def header(self, tracks: Sequence[Track], metadata: Mapping[str, object]) -> bytes:
        """What every viewer receives first. Has no side effects."""

    def update(self, tracks: Sequence[Track], metadata: Mapping[str, object]) -> bytes | None:
        """What running viewers need when tracks, a configuration or the metadata changed.

        Also sent to a viewer that missed a part, in front of the keyframe it resumes at. Empty when they need
        nothing; None when the container cannot go on and viewers have to reconnect.
        """

    def render(self, packets: Sequence[MediaPacket]) -> bytes:
        """The packets in order; a batch that begins with a keyframe of the primary video is a random access point."""
