"""Playlists as text (RFC 8216bis, section 4). Pure functions of what the packager holds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from mediaserver.delivery.hls.packager import HlsPackager
from mediaserver.delivery.hls.rendition import Rendition
from mediaserver.delivery.hls.segments import Segment
from mediaserver.delivery.hls.ts_packager import TsPackager
from mediaserver.media.codecs import AudioDescription, VideoDescription, describe
from mediaserver.media.packet import Codec, TrackKind

VERSION: Final = 9
"""Delta updates need 9."""
SKIP_TARGET_DURATIONS: Final = 6
PART_HOLD_BACKS: Final = 3
PARTS_TARGET_DURATIONS: Final = 3
"""Parts are listed for the newest segments within this many target durations (4.4.4.9)."""
AUDIO_GROUP: Final = "audio"


@dataclass(frozen=True, slots=True)
class Links:
    """How one playlist refers to others: the text behind every name, such as ``?token=…``."""

    suffix: str = ""


def media_playlist(
    packager: HlsPackager, rendition: Rendition, links: Links, is_delta: bool = False
) -> bytes:
    """The media playlist; a delta update when ``is_delta`` and there is something to skip."""
    segments = [segment for segment in rendition.segments if segment.parts or segment.is_complete]
    skipped = _skippable(packager, segments) if is_delta else 0
    lines = [*_media_head(packager, rendition, segments)]
    if skipped:
        lines.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")
    with_parts = _first_with_parts(packager, segments)
    # A delta goes on from the map of the last skipped segment, which the client knows.
    map_name = "" if not skipped else segments[skipped - 1].map_name
    for index in range(skipped, len(segments)):
        segment = segments[index]
        lines += _segment_lines(packager, segment, map_name, index >= with_parts, links)
        map_name = segment.map_name
    lines += _tail(packager, rendition, links)
    return ("\n".join(lines) + "\n").encode()


def _media_head(packager: HlsPackager, rendition: Rendition, segments: Sequence[Segment]) -> Iterable[str]:
    target, part = packager.target_duration, packager.part_target
    yield "#EXTM3U"
    yield f"#EXT-X-VERSION:{VERSION}"
    yield f"#EXT-X-TARGETDURATION:{target}"
    yield (
        f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={part * PART_HOLD_BACKS:.3f},"
        f"CAN-SKIP-UNTIL={target * SKIP_TARGET_DURATIONS:.1f}"
    )
    yield f"#EXT-X-PART-INF:PART-TARGET={part:.3f}"
    yield f"#EXT-X-MEDIA-SEQUENCE:{segments[0].sequence if segments else 0}"
    if rendition.removed_discontinuities:
        yield f"#EXT-X-DISCONTINUITY-SEQUENCE:{rendition.removed_discontinuities}"
    if all(segment.is_independent for segment in segments):
        yield "#EXT-X-INDEPENDENT-SEGMENTS"


def _segment_lines(
    packager: HlsPackager, segment: Segment, previous_map: str, has_parts: bool, links: Links
) -> Iterable[str]:
    if segment.is_discontinuous:
        yield "#EXT-X-DISCONTINUITY"
    if segment.map_name and (segment.map_name != previous_map or segment.is_discontinuous):
        yield f'#EXT-X-MAP:URI="{segment.map_name}{links.suffix}"'
    yield f"#EXT-X-PROGRAM-DATE-TIME:{_date(packager, segment.start)}"
    if segment.is_gap:
        yield "#EXT-X-GAP"
    if has_parts:
        for part in segment.parts:
            independent = ",INDEPENDENT=YES" if part.is_independent else ""
            yield f'#EXT-X-PART:DURATION={part.duration:.5f},URI="{part.name}{links.suffix}"{independent}'
    if segment.is_complete:
        yield f"#EXTINF:{segment.duration:.5f},"
        yield f"{segment.name}{links.suffix}"


def _tail(packager: HlsPackager, rendition: Rendition, links: Links) -> Iterable[str]:
    if packager.is_ended or rendition.is_ended:
        yield "#EXT-X-ENDLIST"
        return
    if rendition.is_empty:
        return
    yield f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{rendition.hinted_part}{links.suffix}"'
    for other in packager.renditions.values():
        sequence, part = other.last_part
        if other is not rendition and sequence >= 0:
            uri = f"{other.name}.m3u8{links.suffix}"
            yield f'#EXT-X-RENDITION-REPORT:URI="{uri}",LAST-MSN={sequence},LAST-PART={part}'


def _skippable(packager: HlsPackager, segments: Sequence[Segment]) -> int:
    """Segments older than the skip boundary (6.2.5.1)."""
    boundary = packager.target_duration * SKIP_TARGET_DURATIONS
    age = 0.0
    for index in range(len(segments) - 1, -1, -1):
        age += segments[index].duration
        if age > boundary:
            return index
    return 0


def _first_with_parts(packager: HlsPackager, segments: Sequence[Segment]) -> int:
    limit = packager.target_duration * PARTS_TARGET_DURATIONS
    age = 0.0
    for index in range(len(segments) - 1, -1, -1):
        if age > limit:
            return index + 1
        age += segments[index].duration
    return 0


def _date(packager: HlsPackager, start: float) -> str:
    moment = datetime.fromtimestamp((packager.wall_clock_base or 0.0) + start, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# The multivariant playlist.


def multivariant_playlist(packager: HlsPackager, links: Links) -> bytes:
    """Video renditions as variants, audio renditions as groups by codec; bitrates as measured."""
    listed = [rendition for rendition in packager.renditions.values() if not rendition.is_empty]
    videos = [r for r in listed if r.track.kind is TrackKind.VIDEO]
    audios = [r for r in listed if r.track.kind is TrackKind.AUDIO]
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}"]
    if not videos:
        lines += (line for audio in audios for line in _variant(audio, [], "", links))
        return ("\n".join(lines) + "\n").encode()
    groups = _by_codec(audios)
    for codec, members in groups.items():
        lines += (_audio_media(codec, index, member, links) for index, member in enumerate(members))
    for video in videos:
        for codec, members in groups.items():
            lines += _variant(video, members, f"{AUDIO_GROUP}-{codec.value}", links)
        if not groups:
            lines += _variant(video, [], "", links)
    return ("\n".join(lines) + "\n").encode()


def _by_codec(renditions: Sequence[Rendition]) -> dict[Codec, list[Rendition]]:
    groups: dict[Codec, list[Rendition]] = {}
    for rendition in renditions:
        groups.setdefault(rendition.track.codec, []).append(rendition)
    return groups


def _audio_media(codec: Codec, index: int, rendition: Rendition, links: Links) -> str:
    description = describe(rendition.track)
    channels = description.channels if isinstance(description, AudioDescription) else 2
    default = "YES" if index == 0 else "NO"
    return (
        f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{AUDIO_GROUP}-{codec.value}",NAME="Audio {index + 1}",'
        f'DEFAULT={default},AUTOSELECT=YES,CHANNELS="{channels}",URI="{rendition.name}.m3u8{links.suffix}"'
    )


def _variant(rendition: Rendition, audios: Sequence[Rendition], group: str, links: Links) -> Iterable[str]:
    peak = rendition.peak_bitrate + max((audio.peak_bitrate for audio in audios), default=0.0)
    average = rendition.average_bitrate + max((audio.average_bitrate for audio in audios), default=0.0)
    codecs = [describe(rendition.track).codec_string]
    codecs += [describe(audio.track).codec_string for audio in audios[:1]]
    attributes = [
        f"BANDWIDTH={max(round(peak), 1)}",
        f"AVERAGE-BANDWIDTH={max(round(average), 1)}",
        f'CODECS="{",".join(codecs)}"',
        *_picture_attributes(rendition),
    ]
    if group:
        attributes.append(f'AUDIO="{group}"')
    yield "#EXT-X-STREAM-INF:" + ",".join(attributes)
    yield f"{rendition.name}.m3u8{links.suffix}"


def _picture_attributes(rendition: Rendition) -> Iterable[str]:
    description = describe(rendition.track)
    if not isinstance(description, VideoDescription):
        return
    if description.width:
        yield f"RESOLUTION={description.width}x{description.height}"
    rate = float(description.frame_rate) if description.frame_rate else rendition.measured_frame_rate
    if rate:
        yield f"FRAME-RATE={rate:.3f}"


# MPEG-TS for players that know nothing newer.


def transport_stream_playlist(packager: TsPackager, links: Links) -> bytes:
    """A plain version 3 media playlist."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{packager.target_duration}"]
    lines.append(f"#EXT-X-MEDIA-SEQUENCE:{packager.segments[0].sequence if packager.segments else 0}")
    if packager.removed_discontinuities:
        lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{packager.removed_discontinuities}")
    for segment in packager.segments:
        if segment.is_discontinuous:
            lines.append("#EXT-X-DISCONTINUITY")
        lines += (f"#EXTINF:{segment.duration:.5f},", f"{segment.name}{links.suffix}")
    if packager.is_ended:
        lines.append("#EXT-X-ENDLIST")
    return ("\n".join(lines) + "\n").encode()
