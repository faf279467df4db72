"""MPEG-2 transport stream (ISO 13818-1) with H.264, HEVC, AAC, MP3, AC-3 and Opus.

PAT and PMT stand in front of every keyframe and so at the beginning of every segment; with audio alone, in
front of every batch. Keyframes that do not bring their parameter sets get those of the configuration, since
nothing carries them out of band.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from struct import pack
from typing import Final

from mediaserver.containers.mpegts_tables import (
    FIRST_PID,
    PMT_PID,
    TABLE_VERSIONS,
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
    """A Muxer. Tracks of codecs or configurations that a transport stream cannot carry are left out."""

    mime_type = "video/mp2t"

    def __init__(self) -> None:
        self._streams: dict[int, _Elementary] = {}
        self._clock_track = -1
        self._has_video = False
        self._map_streams: list[tuple[Track, int]] = []
        self._map_version = 0
        self._map = program_map([], 0)
        self._table_continuity = 0

    def configure(self, tracks: Sequence[Track], metadata: Mapping[str, object]) -> bool:
        found = (_open(primary(tracks, kind)) for kind in TrackKind)
        chosen = [stream for stream in found if stream is not None]
        for stream in chosen:
            if stream.track.id in self._streams:
                stream.continuity = self._streams[stream.track.id].continuity
        self._streams = {stream.track.id: stream for stream in chosen}
        self._has_video = any(stream.track.kind is TrackKind.VIDEO for stream in chosen)
        self._clock_track = chosen[0].track.id if chosen else -1
        map_streams = [(stream.track, stream.pid) for stream in chosen]
        if map_streams != self._map_streams:
            self._map_streams = map_streams
            self._map_version = (self._map_version + 1) % TABLE_VERSIONS
            self._map = program_map(map_streams, self._map_version)
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


def _open(track: Track | None) -> _Elementary | None:
    if track is None or CODECS[track.codec].transport_stream_type is None:
        return None
    try:
        return _Elementary(track, FIRST_PID + (0 if track.kind is TrackKind.VIDEO else 1))
    except MediaError:
        return None


def _append_packets(parts: list[bytes], pid: int, continuity: int, pes: bytes, adaptation: bytes) -> int:
    """Cut ``pes`` into transport packets (2.4.3.2); returns the next continuity counter."""
    first_space = PAYLOAD_SIZE - (len(adaptation) + 1 if adaptation else 0)
    length = len(pes)
    position = min(first_space, length)
    parts += _packet(pid, True, continuity, adaptation, pes[:position])
    headers, full_packets = _full_headers(pid), (length - position) // PAYLOAD_SIZE
    end = position + full_packets * PAYLOAD_SIZE
    for start in range(position, end, PAYLOAD_SIZE):
        continuity = (continuity + 1) & 15
        parts += (headers[continuity], pes[start : start + PAYLOAD_SIZE])
    if end < length:
        continuity = (continuity + 1) & 15
        parts += _packet(pid, False, continuity, b"", pes[end:])
    return (continuity + 1) & 15


@lru_cache
def _full_headers(pid: int) -> tuple[bytes, ...]:
    """Headers of packets full of payload that begins before them, by continuity counter."""
    return tuple(pack(">BHB", 0x47, pid, 0x10 | continuity) for continuity in range(16))


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
    return _annex_b(
        configuration.length_size, sets, h264.unit_type, h264.ACCESS_UNIT_DELIMITER, h264.UNIT_SPS
    )


def _hevc(config: bytes) -> Convert:
    configuration = hevc.HevcConfiguration.parse(config)
    return _annex_b(
        configuration.length_size,
        configuration.parameter_sets,
        hevc.unit_type,
        hevc.ACCESS_UNIT_DELIMITER,
        hevc.UNIT_SPS,
    )


def _annex_b(
    length_size: int,
    parameter_sets: Sequence[bytes],
    type_of: Callable[[bytes], int],
    delimiter: bytes,
    type_of_sps: int,
) -> Convert:
    """Samples to access units of a byte stream, each behind one ``delimiter``."""
    type_of_delimiter = type_of(delimiter)

    def convert(packet: MediaPacket) -> bytes:
        units = list(split_units(packet.payload, length_size))
        types = [type_of(unit) for unit in units]
        if type_of_delimiter in types:
            units = [unit for unit in units if type_of(unit) != type_of_delimiter]
        if packet.is_keyframe and type_of_sps not in types:
            return to_byte_stream([delimiter, *parameter_sets, *units])
        return to_byte_stream([delimiter, *units])

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
