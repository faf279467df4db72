"""MPEG-2 transport stream (ISO 13818-1) with H.264, HEVC, AAC, MP3, AC-3 and Opus.

PAT and PMT stand in front of every keyframe and so at the beginning of every segment; with audio alone, in
front of every batch. Parameter sets are repeated before each keyframe, since nothing carries them out of band.
"""

from collections.abc import Callable, Mapping, Sequence
from struct import pack
from typing import Final

from mediaserver.containers.mpegts_tables import (
    FIRST_PID,
    PMT_PID,
    program_association,
    program_map,
)
from mediaserver.media.codecs import CODECS, aac, h264, hevc, primary
from mediaserver.media.codecs.nal_units import split_units, to_byte_stream
from mediaserver.media.errors import MediaError
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind

PACKET_SIZE: Final = 188
PAYLOAD_SIZE: Final = PACKET_SIZE - 4
CLOCK_RATE: Final = 90_000
MAX_PES_SIZE: Final = 0xFFFF
START_DELAY: Final = CLOCK_RATE
"""Added to every timestamp, so that a decode time behind a small clock reference is never negative."""

_PES_VIDEO: Final = 0xE0
_PES_AUDIO: Final = 0xC0
_PES_PRIVATE: Final = 0xBD
_WRAP: Final = (1 << 33) - 1

Convert = Callable[[MediaPacket], bytes]


class _Elementary:
    """One elementary stream: its PID, its continuity counter and how its samples become a byte stream."""

    def __init__(self, track: Track, pid: int) -> None:
        self.track: Final = track
        self.pid: Final = pid
        self.convert: Final = _CONVERTERS[track.codec](track.config)
        self.stream_id: Final = _stream_id(track)
        self.continuity = 0


class MpegTsMuxer:
    """A Muxer. Tracks of codecs that a transport stream cannot carry are left out."""

    mime_type = "video/mp2t"

    def __init__(self) -> None:
        self._streams: dict[int, _Elementary] = {}
        self._clock_track = -1
        self._has_video = False
        self._map = b""
        self._table_continuity = 0

    def configure(self, tracks: Sequence[Track], metadata: Mapping[str, object]) -> bool:
        carried = [track for track in tracks if track.codec in _CONVERTERS]
        found = (primary(carried, kind) for kind in TrackKind)
        chosen = [track for track in found if track is not None]
        before = self._streams
        self._streams = {track.id: _Elementary(track, FIRST_PID + track.id % 2) for track in chosen}
        for track_id, stream in self._streams.items():
            if track_id in before:
                stream.continuity = before[track_id].continuity
        self._has_video = any(track.kind is TrackKind.VIDEO for track in chosen)
        self._clock_track = chosen[0].id if chosen else -1
        types = [(CODECS[track.codec].transport_stream_type or 0, track) for track in chosen]
        pids = [self._streams[track.id].pid for track in chosen]
        self._map = program_map(types, pids)
        return True

    def header(self) -> bytes:
        return b""

    def resumption(self) -> bytes:
        return b""

    def render(self, packets: Sequence[MediaPacket]) -> bytes:
        parts: list[bytes] = []
        if not self._has_video:
            self._append_tables(parts)
        for packet in packets:
            stream = self._streams.get(packet.track.id)
            if stream is None:
                continue
            is_random_access = packet.is_keyframe and packet.track.id == self._clock_track
            if is_random_access and self._has_video:
                self._append_tables(parts)
            try:
                data = stream.convert(packet)
            except MediaError:
                continue  # a malformed frame is lost on this container only
            self._append_pes(parts, stream, packet, data, is_random_access)
        return b"".join(parts)

    def _append_tables(self, parts: list[bytes]) -> None:
        counter = self._table_continuity
        self._table_continuity = (counter + 1) & 15
        parts += (
            _table_packet(0, counter, program_association()),
            _table_packet(PMT_PID, counter, self._map),
        )

    def _append_pes(
        self,
        parts: list[bytes],
        stream: _Elementary,
        packet: MediaPacket,
        data: bytes,
        is_random_access: bool,
    ) -> None:
        dts = _rescaled(packet.dts, packet.track.clock_rate) + START_DELAY
        pts = _rescaled(packet.pts, packet.track.clock_rate) + START_DELAY
        pes = _pes_header(stream.stream_id, len(data), pts, dts) + data
        adaptation = b""
        if packet.track.id == self._clock_track:
            flags = 0x50 if is_random_access else 0x10
            adaptation = bytes((flags,)) + _clock_reference(dts - START_DELAY // 2)
        stream.continuity = _append_packets(parts, stream.pid, stream.continuity, pes, adaptation)


def _append_packets(parts: list[bytes], pid: int, continuity: int, pes: bytes, adaptation: bytes) -> int:
    """Cut ``pes`` into transport packets (2.4.3.2); returns the next continuity counter."""
    first_space = PAYLOAD_SIZE - (len(adaptation) + 1 if adaptation else 0)
    position = min(first_space, len(pes))
    parts += _packet(pid, True, continuity, adaptation, pes[:position])
    length = len(pes)
    while position < length:
        continuity = (continuity + 1) & 15
        end = position + PAYLOAD_SIZE
        if end <= length:
            parts += (pack(">BHB", 0x47, pid, 0x10 | continuity), pes[position:end])
        else:
            parts += _packet(pid, False, continuity, b"", pes[position:])
        position = end
    return (continuity + 1) & 15


def _packet(
    pid: int, is_start: bool, continuity: int, adaptation: bytes, payload: bytes
) -> tuple[bytes, bytes, bytes]:
    """One packet, its adaptation field stuffed so that it is 188 bytes long."""
    space = PAYLOAD_SIZE - len(payload)
    control = 0x10
    if space:
        control = 0x30
        filled = adaptation or (b"\x00" if space > 1 else b"")
        adaptation = bytes((space - 1,)) + filled + b"\xff" * (space - 1 - len(filled))
    head = pack(">BHB", 0x47, (0x4000 if is_start else 0) | pid, control | continuity)
    return head, adaptation, payload


def _table_packet(pid: int, continuity: int, section: bytes) -> bytes:
    head = pack(">BHB", 0x47, 0x4000 | pid, 0x10 | continuity)
    return (head + b"\x00" + section).ljust(PACKET_SIZE, b"\xff")


def _pes_header(stream_id: int, size: int, pts: int, dts: int) -> bytes:
    """PES header (2.4.3.6); video of unbounded length says 0."""
    has_dts = pts != dts
    times = _timestamp(3 if has_dts else 2, pts) + (_timestamp(1, dts) if has_dts else b"")
    length = size + 3 + len(times)
    if stream_id == _PES_VIDEO or length > MAX_PES_SIZE:
        length = 0
    flags = 0xC0 if has_dts else 0x80
    return pack(">IHBBB", 0x100 | stream_id, length, 0x84, flags, len(times)) + times


def _timestamp(marker: int, value: int) -> bytes:
    value &= _WRAP
    return pack(
        ">BHH",
        marker << 4 | (value >> 30) << 1 | 1,
        (value >> 15 & 0x7FFF) << 1 | 1,
        (value & 0x7FFF) << 1 | 1,
    )


def _clock_reference(base: int) -> bytes:
    return ((base & _WRAP) << 15 | 0x3F << 9).to_bytes(6, "big")


def _rescaled(ticks: int, clock_rate: int) -> int:
    return ticks if clock_rate == CLOCK_RATE else ticks * CLOCK_RATE // clock_rate


def _stream_id(track: Track) -> int:
    if track.kind is TrackKind.VIDEO:
        return _PES_VIDEO
    return _PES_PRIVATE if track.codec in (Codec.OPUS, Codec.AC3) else _PES_AUDIO


def _h264(config: bytes) -> Convert:
    configuration = h264.AvcConfiguration.parse(config)
    sets = [*configuration.sequence_parameter_sets, *configuration.picture_parameter_sets]
    left_out = frozenset((h264.UNIT_SPS, h264.UNIT_PPS, h264.UNIT_DELIMITER))

    def convert(packet: MediaPacket) -> bytes:
        units = split_units(packet.payload, configuration.length_size)
        head = [h264.ACCESS_UNIT_DELIMITER, *sets] if packet.is_keyframe else [h264.ACCESS_UNIT_DELIMITER]
        return to_byte_stream([*head, *(u for u in units if h264.unit_type(u) not in left_out)])

    return convert


def _hevc(config: bytes) -> Convert:
    configuration = hevc.HevcConfiguration.parse(config)
    left_out = frozenset((hevc.UNIT_VPS, hevc.UNIT_SPS, hevc.UNIT_PPS, hevc.UNIT_DELIMITER))

    def convert(packet: MediaPacket) -> bytes:
        units = split_units(packet.payload, configuration.length_size)
        sets = configuration.parameter_sets if packet.is_keyframe else ()
        kept = (u for u in units if hevc.unit_type(u) not in left_out)
        return to_byte_stream([hevc.ACCESS_UNIT_DELIMITER, *sets, *kept])

    return convert


def _aac(config: bytes) -> Convert:
    prefix = aac.adts_prefix(config)
    return lambda packet: aac.adts_header(prefix, len(packet.payload)) + packet.payload


def _opus(_: bytes) -> Convert:
    """Opus in TS (ETSI TS 103 491, annex A): a control header with the packet's size."""

    def convert(packet: MediaPacket) -> bytes:
        sizes, rest = divmod(len(packet.payload), 255)
        return b"\x7f\xe0" + b"\xff" * sizes + bytes((rest,)) + packet.payload

    return convert


def _as_it_is(_: bytes) -> Convert:
    return lambda packet: packet.payload


_CONVERTERS: Final[dict[Codec, Callable[[bytes], Convert]]] = {
    Codec.H264: _h264,
    Codec.HEVC: _hevc,
    Codec.AAC: _aac,
    Codec.OPUS: _opus,
    Codec.MP3: _as_it_is,
    Codec.AC3: _as_it_is,
}
