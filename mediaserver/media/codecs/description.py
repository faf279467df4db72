"""What a decoder configuration says about a track."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class VideoDescription:
    """``codec_string`` after RFC 6381; sizes in pixels as displayed, 0 where the configuration does not say.

    ``frame_rate`` is None where it is not told. ``has_reordering`` tells whether pts may differ from dts.
    """

    codec_string: str
    width: int = 0
    height: int = 0
    frame_rate: Fraction | None = None
    has_reordering: bool = False


@dataclass(frozen=True, slots=True)
class AudioDescription:
    """``samples_per_frame`` at ``sample_rate``; 0 where frames differ in length."""

    codec_string: str
    sample_rate: int
    channels: int
    samples_per_frame: int
