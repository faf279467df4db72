"""The contract between a container and the broadcast that feeds viewers with it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from mediaserver.media.packet import MediaPacket, Track


class Muxer(Protocol):
    """MediaPackets to container bytes, without I/O.

    One muxer serves all viewers of one stream in one container: what it renders is written to all of them,
    so nothing in it may depend on who receives it or since when. ``configure`` comes first.
    """

    @property
    def mime_type(self) -> str:
        """The media type, with RFC 6381 codecs where players need them before the first byte."""

    def configure(self, tracks: Sequence[Track], metadata: Mapping[str, object]) -> bool:
        """Take over the tracks and the metadata, at first and whenever they change.

        False when running viewers cannot go on in this container and have to start anew.
        """

    def header(self) -> bytes:
        """What every viewer receives first."""

    def resumption(self) -> bytes:
        """What running viewers need after a change, or in front of a keyframe after a gap; often nothing."""

    def render(self, packets: Sequence[MediaPacket]) -> bytes:
        """The packets in order. A batch that begins with a keyframe of the primary video can be joined at."""
