"""The multivariant playlist (RFC 8216bis, 4.4.6): video tracks as variants, audio tracks as their group."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mediaserver.media.codecs import AudioDescription, VideoDescription, describe
from mediaserver.media.packet import Track, TrackKind

VERSION: Final = 4
"""Older players know no EXT-X-MEDIA."""
AUDIO_GROUP: Final = "audio"


@dataclass(frozen=True, slots=True)
class Listing:
    """A rendition as measured: bitrates in bit/s, ``frame_rate`` in Hz."""

    uri: str
    track: Track
    peak_bitrate: float
    average_bitrate: float
    frame_rate: float


def multivariant_playlist(listings: Sequence[Listing]) -> bytes:
    """Without video, each audio track is a variant of its own."""
    videos = [listing for listing in listings if listing.track.kind is TrackKind.VIDEO]
    audios = [listing for listing in listings if listing.track.kind is TrackKind.AUDIO]
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}"]
    if videos:
        lines += (_media_tag(audio, number) for number, audio in enumerate(audios, 1))
    for variant in videos or audios:
        lines += _variant(variant, audios if videos else ())
    return ("\n".join(lines) + "\n").encode()


def _media_tag(audio: Listing, number: int) -> str:
    description = describe(audio.track)
    channels = description.channels if isinstance(description, AudioDescription) else 0
    default = "YES" if number == 1 else "NO"
    return (
        f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{AUDIO_GROUP}",NAME="Audio {number}",DEFAULT={default},'
        f'AUTOSELECT={default},CHANNELS="{channels or 2}",URI="{audio.uri}"'
    )


def _variant(variant: Listing, audios: Sequence[Listing]) -> Iterator[str]:
    """BANDWIDTH is that of the largest combination; CODECS names every format of the group (4.4.6.1.1)."""
    peak = variant.peak_bitrate + max((audio.peak_bitrate for audio in audios), default=0.0)
    average = variant.average_bitrate + max((audio.average_bitrate for audio in audios), default=0.0)
    codecs = dict.fromkeys(describe(listing.track).codec_string for listing in (variant, *audios))
    attributes = [
        f"BANDWIDTH={max(round(peak), 1)}",
        f"AVERAGE-BANDWIDTH={max(round(average), 1)}",
        f'CODECS="{",".join(codecs)}"',
        *_picture_attributes(variant),
    ]
    if audios:
        attributes.append(f'AUDIO="{AUDIO_GROUP}"')
    yield "#EXT-X-STREAM-INF:" + ",".join(attributes)
    yield variant.uri


def _picture_attributes(variant: Listing) -> Iterator[str]:
    description = describe(variant.track)
    if not isinstance(description, VideoDescription):
        return
    if description.width and description.height:
        yield f"RESOLUTION={description.width}x{description.height}"
    rate = float(description.frame_rate) if description.frame_rate else variant.frame_rate
    if rate:
        yield f"FRAME-RATE={rate:.3f}"
