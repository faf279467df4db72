"""The boxes of an initialization segment (ISO 14496-12 and -14, -15, and the bindings of newer codecs)."""

from collections.abc import Callable
from struct import pack
from typing import Final

from mediaserver.media.codecs import AudioDescription, VideoDescription, describe
from mediaserver.media.codecs.flac import metadata_blocks
from mediaserver.media.codecs.opus import specific_box
from mediaserver.media.errors import UnsupportedError
from mediaserver.media.packet import Codec, Track, TrackKind

IDENTITY_MATRIX: Final = pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
UNDETERMINED_LANGUAGE: Final = 0x55C4
MOVIE_TIMESCALE: Final = 1000


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of type ``kind`` (4.2)."""
    return b"".join((pack(">I4s", 8 + sum(map(len, parts)), kind), *parts))


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return box(kind, pack(">I", version << 24 | flags), *parts)


def movie_box(tracks: list[tuple[int, Track]]) -> bytes:
    """moov for ``tracks`` as (track_ID, Track). Raises UnsupportedError and CodecConfigError."""
    header = full_box(
        b"mvhd",
        0,
        0,
        pack(">IIIIIH10x", 0, 0, MOVIE_TIMESCALE, 0, 0x10000, 0x100),
        IDENTITY_MATRIX,
        bytes(24),
        pack(">I", max(number for number, _ in tracks) + 1),
    )
    extends = [full_box(b"trex", 0, 0, pack(">IIIII", number, 1, 0, 0, 0)) for number, _ in tracks]
    traks = [_track_box(number, track) for number, track in tracks]
    return box(b"moov", header, *traks, box(b"mvex", *extends))


def _track_box(number: int, track: Track) -> bytes:
    description = describe(track)
    width = height = volume = 0
    if isinstance(description, VideoDescription):
        width, height = description.width, description.height
    else:
        volume = 0x100
    header = full_box(
        b"tkhd",
        0,
        7,
        pack(">IIIII8xHHHH", 0, 0, number, 0, 0, 0, 0, volume, 0),
        IDENTITY_MATRIX,
        pack(">II", width << 16, height << 16),
    )
    return box(b"trak", header, _media_box(track, description))


def _media_box(track: Track, description: VideoDescription | AudioDescription) -> bytes:
    is_video = track.kind is TrackKind.VIDEO
    handler = pack(">I4s12x", 0, b"vide" if is_video else b"soun") + b"mediaserver\x00"
    kind = full_box(b"vmhd", 0, 1, bytes(8)) if is_video else full_box(b"smhd", 0, 0, bytes(4))
    data = box(b"dinf", full_box(b"dref", 0, 0, pack(">I", 1), full_box(b"url ", 0, 1)))
    samples = box(
        b"stbl",
        full_box(b"stsd", 0, 0, pack(">I", 1), _sample_entry(track, description)),
        full_box(b"stts", 0, 0, bytes(4)),
        full_box(b"stsc", 0, 0, bytes(4)),
        full_box(b"stsz", 0, 0, bytes(8)),
        full_box(b"stco", 0, 0, bytes(4)),
    )
    return box(
        b"mdia",
        full_box(b"mdhd", 0, 0, pack(">IIIIHH", 0, 0, track.clock_rate, 0, UNDETERMINED_LANGUAGE, 0)),
        full_box(b"hdlr", 0, 0, handler),
        box(b"minf", kind, data, samples),
    )


def _sample_entry(track: Track, description: VideoDescription | AudioDescription) -> bytes:
    entry = _ENTRIES.get(track.codec)
    if entry is None:
        raise UnsupportedError(f"{track.codec.value} is not carried in fMP4")
    kind, configuration = entry
    head = _audio_head(description) if isinstance(description, AudioDescription) else _video_head(description)
    return box(kind, head, configuration(track.config))


def _video_head(description: VideoDescription) -> bytes:
    """VisualSampleEntry up to its boxes (12.1.3.2): 72 dpi, 24 bits deep."""
    size = pack(">HH", description.width, description.height)
    resolution = pack(">IIIH", 0x480000, 0x480000, 0, 1)
    return bytes(6) + pack(">H", 1) + bytes(16) + size + resolution + bytes(32) + pack(">HH", 24, 0xFFFF)


def _audio_head(description: AudioDescription) -> bytes:
    """AudioSampleEntry up to its boxes (12.2.3.2); the rate is 16.16 and 0 where that is too little."""
    rate = description.sample_rate << 16 if description.sample_rate < 1 << 16 else 0
    return bytes(6) + pack(">H8xHHHHI", 1, description.channels, 16, 0, 0, rate)


def _elementary_stream(object_type: int) -> Callable[[bytes], bytes]:
    """esds (14496-14, 5.6) for ``object_type`` with the configuration as DecoderSpecificInfo."""

    def make(config: bytes) -> bytes:
        specific = _descriptor(5, config) if config else b""
        decoder = _descriptor(4, pack(">BBBHII", object_type, 0x15, 0, 0, 0, 0) + specific)
        return full_box(b"esds", 0, 0, _descriptor(3, pack(">HB", 0, 0) + decoder + _descriptor(6, b"\x02")))

    return make


def _descriptor(tag: int, payload: bytes) -> bytes:
    """A descriptor with its size in four bytes of seven bits (14496-1, 8.3.3)."""
    size = len(payload)
    digits = bytes((0x80 | size >> 21 & 0x7F, 0x80 | size >> 14 & 0x7F, 0x80 | size >> 7 & 0x7F, size & 0x7F))
    return bytes((tag,)) + digits + payload


def _vp9_configuration(config: bytes) -> bytes:
    return full_box(b"vpcC", 1, 0, config.removeprefix(b"\x01\x00\x00\x00"))


_ENTRIES: Final[dict[Codec, tuple[bytes, Callable[[bytes], bytes]]]] = {
    Codec.H264: (b"avc1", lambda config: box(b"avcC", config)),
    Codec.HEVC: (b"hvc1", lambda config: box(b"hvcC", config)),
    Codec.AV1: (b"av01", lambda config: box(b"av1C", config)),
    Codec.VP9: (b"vp09", _vp9_configuration),
    Codec.AAC: (b"mp4a", _elementary_stream(0x40)),
    Codec.MP3: (b"mp4a", lambda _: _elementary_stream(0x6B)(b"")),
    Codec.AC3: (b"ac-3", lambda record: box(b"dac3", record)),
    Codec.OPUS: (b"Opus", lambda head: box(b"dOps", specific_box(head))),
    Codec.FLAC: (b"fLaC", lambda config: full_box(b"dfLa", 0, 0, metadata_blocks(config))),
}

CARRIED: Final = frozenset(_ENTRIES)
