"""Fragmented MP4 after CMAF (ISO 23000-19): initialization segments, fragments, and the stream for MSE.

Decode times are always the packets' own, never summed up, so nothing drifts. A sample lasts until the next
one of its track; what the last one of a fragment is given depends on what its maker knows.

There are no edit lists: live media begins wherever a viewer joins, at the decode times it has, and audio and
video share one timeline from ingest on.
"""

from array import array
from collections.abc import Mapping, Sequence
from struct import Struct, pack
from sys import byteorder
from typing import Final

from mediaserver.containers.fmp4_boxes import CARRIED, box, full_box, movie_box
from mediaserver.media.codecs import AudioDescription, describe, primary
from mediaserver.media.packet import MediaPacket, Track, TrackKind

FILE_TYPE: Final = box(b"ftyp", b"iso6", pack(">I", 1), b"iso6cmfcmp41")

SYNC_SAMPLE: Final = 0x02000000
"""sample_depends_on 2: needs no other (8.8.3.1)."""
DEPENDENT_SAMPLE: Final = 0x01010000
"""sample_depends_on 1, sample_is_non_sync_sample."""

_RUN_FLAGS: Final = 0x000F01
"""Data offset; and of each sample duration, size, flags and composition offset (8.8.8.1)."""
_DEFAULT_BASE_IS_MOOF: Final = 0x020000
_BOX: Final = Struct(">I4s")
_MOOF_FIXED: Final = 8 + 16
"""moof's own header and mfhd."""
_TRAF_FIXED: Final = 8 + 16 + 20 + 20
"""traf's own header, tfhd, tfdt and the head of trun."""
_FALLBACK_VIDEO_RATE: Final = 30


def init_segment(tracks: Sequence[tuple[int, Track]]) -> bytes:
    """ftyp and moov for (track_ID, Track) pairs. Raises UnsupportedError and CodecConfigError."""
    return FILE_TYPE + movie_box(list(tracks))


def fragment(
    sequence_number: int, runs: Sequence[tuple[int, Sequence[MediaPacket], int]], *, styp: bytes = b""
) -> bytes:
    """One moof and its mdat.

    ``runs`` are (track_ID, packets of that track in decode order, duration of the last one in ticks), none of
    them empty.
    """
    sample_tables = [_sample_table(packets, last_duration) for _, packets, last_duration in runs]
    moof_size = _MOOF_FIXED + sum(_TRAF_FIXED + len(table) for table in sample_tables)
    sizes = [sum(len(packet.payload) for packet in packets) for _, packets, _ in runs]
    parts = [styp, pack(">I4sI4sII", moof_size, b"moof", 16, b"mfhd", 0, sequence_number)]
    offset = moof_size + 8
    for (number, packets, _), table, size in zip(runs, sample_tables, sizes, strict=True):
        parts += (_traf(number, packets, table, offset), table)
        offset += size
    parts.append(_BOX.pack(8 + sum(sizes), b"mdat"))
    for _, packets, _ in runs:
        parts += [packet.payload for packet in packets]
    return b"".join(parts)


def _traf(number: int, packets: Sequence[MediaPacket], table: bytes, offset: int) -> bytes:
    """traf up to the sample table: tfhd, tfdt of version 1, and the head of trun of version 1."""
    head = _BOX.pack(_TRAF_FIXED + len(table), b"traf")
    header = full_box(b"tfhd", 0, _DEFAULT_BASE_IS_MOOF, pack(">I", number))
    decode_time = full_box(b"tfdt", 1, 0, pack(">Q", packets[0].dts))
    run = pack(">I4sIIi", 20 + len(table), b"trun", 1 << 24 | _RUN_FLAGS, len(packets), offset)
    return b"".join((head, header, decode_time, run))


def _sample_table(packets: Sequence[MediaPacket], last_duration: int) -> bytes:
    """Duration, size, flags and signed composition offset of each sample, as trun has them."""
    fields: list[int] = []
    times = [packet.dts for packet in packets]
    times.append(times[-1] + last_duration)
    for index, packet in enumerate(packets):
        fields += (
            times[index + 1] - times[index],
            len(packet.payload),
            SYNC_SAMPLE if packet.is_keyframe else DEPENDENT_SAMPLE,
            (packet.pts - packet.dts) & 0xFFFFFFFF,
        )
    table = array("I", fields)
    if byteorder == "little":
        table.byteswap()
    return table.tobytes()


def nominal_duration(track: Track) -> int:
    """Ticks that a frame of ``track`` lasts when nothing else tells."""
    description = describe(track)
    if isinstance(description, AudioDescription):
        return description.samples_per_frame or track.clock_rate // 50
    if description.frame_rate:
        return int(track.clock_rate / description.frame_rate)
    return track.clock_rate // _FALLBACK_VIDEO_RATE


def mime_type(tracks: Sequence[Track]) -> str:
    """The media type with RFC 6381 codecs, as MediaSource.isTypeSupported wants it."""
    kind = "video" if primary(tracks, TrackKind.VIDEO) else "audio"
    codecs = ",".join(describe(track).codec_string for track in tracks)
    return f'{kind}/mp4; codecs="{codecs}"'


class _Pace:
    """How long the last frame of a fragment may last, before the next one tells.

    MediaSource takes a frame that comes more than twice the last duration later for a discontinuity, and
    drops video up to the next keyframe. So a slow picture is remembered for a while, and claims err on the
    long side, within bounds, since players take the claim for media they have.
    """

    def __init__(self, track: Track) -> None:
        rate = track.clock_rate
        self._longest = rate
        self._longest_remembered = rate // 4 if track.kind is TrackKind.VIDEO else 0
        self._duration = nominal_duration(track)
        self._previous: int | None = None

    def duration_after(self, packets: Sequence[MediaPacket]) -> int:
        """In ticks, for the last of ``packets``, which follow those of the last call."""
        last = packets[-1].dts
        previous = packets[-2].dts if len(packets) > 1 else self._previous
        self._previous = last
        if previous is not None:
            remembered = min(self._duration * 7 // 8, self._longest_remembered)
            self._duration = max(min(last - previous, self._longest), remembered, 1)
        return self._duration


class Fmp4Muxer:
    """A Muxer: the primary tracks in one stream of fragments, for MediaSource."""

    def __init__(self) -> None:
        self._tracks: tuple[Track, ...] = ()
        self._numbers: dict[int, int] = {}
        self._paces: dict[int, _Pace] = {}
        self._sequence_number = 0

    @property
    def mime_type(self) -> str:
        return mime_type(self._tracks)

    def configure(self, tracks: Sequence[Track], metadata: Mapping[str, object]) -> bool:
        """False when the initialization segment would change: a SourceBuffer may not take another one."""
        carried = [track for track in tracks if track.codec in CARRIED]
        found = (primary(carried, kind) for kind in TrackKind)
        new = tuple(track for track in found if track is not None)
        can_go_on = new == self._tracks or not self._tracks
        self._tracks = new
        self._numbers = {track.id: number for number, track in enumerate(new, 1)}
        self._paces = {track.id: _Pace(track) for track in new}
        return can_go_on

    def header(self) -> bytes:
        if not self._tracks:
            return b""
        return init_segment([(self._numbers[track.id], track) for track in self._tracks])

    def resumption(self) -> bytes:
        return b""

    def render(self, packets: Sequence[MediaPacket]) -> bytes:
        by_track: dict[int, list[MediaPacket]] = {}
        for packet in packets:
            if packet.track.id in self._numbers:
                by_track.setdefault(packet.track.id, []).append(packet)
        if not by_track:
            return b""
        self._sequence_number += 1
        paces = self._paces
        runs = [(self._numbers[key], run, paces[key].duration_after(run)) for key, run in by_track.items()]
        return fragment(self._sequence_number, runs)
