"""What an operator may choose about HLS."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HlsOptions:
    """Times in seconds.

    ``part_target`` is PART-TARGET unless frames are longer; a segment ends at the first keyframe after
    ``segment_target``. A playlist lists at least ``playlist_segments``. ``longest_segment`` is as far as
    TARGETDURATION follows a long group of pictures, and as long as a stream is watched before anything is
    listed. ``max_bytes`` bounds what one stream keeps: past it, the oldest goes, listed or not.

    Viewers wait ``start_wait`` for the first playlist; an ended stream is remembered for ``linger``. MPEG-TS
    stops when nobody asked for it during ``ts_idle``. Whoever asked for a playlist within ``viewer_window``
    counts as a viewer. With ``always``, a stream is packaged from its start, else from the first request on.
    """

    part_target: float = 0.5
    segment_target: float = 2.0
    playlist_segments: int = 8
    longest_segment: int = 10
    max_bytes: int = 256 * 1024 * 1024
    start_wait: float = 15.0
    linger: float = 60.0
    ts_idle: float = 30.0
    viewer_window: float = 10.0
    always: bool = False
