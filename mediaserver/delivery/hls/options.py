"""What an operator may choose about HLS."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HlsOptions:
    """Times in seconds.

    ``part_target`` is PART-TARGET, which no part exceeds; a segment ends at the first keyframe after
    ``segment_target``. A playlist lists ``playlist_segments``, and as many again stay fetchable after they
    left it. ``max_bytes`` bounds what one rendition keeps: past it, playlists get shorter.
    """

    part_target: float = 0.5
    segment_target: float = 2.0
    playlist_segments: int = 8
    max_bytes: int = 64 * 1024 * 1024
