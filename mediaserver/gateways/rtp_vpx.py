"""VP8 (RFC 7741) and VP9 (RFC 9628) over RTP: frames out of payloads."""

from collections.abc import Sequence
from typing import Final

from mediaserver.media.codecs.bits import BitReader
from mediaserver.media.errors import MediaError
from sfu.protocol.errors import MalformedPacket
from sfu.protocol.payloads import vp8, vp9

MAX_LAYER_FRAMES: Final = 8
"""In one picture, as many as a superframe can hold (VP9, B.2)."""

_VP8_START_CODE: Final = b"\x9d\x01\x2a"
_VP9_MARKER: Final = 2
_VP9_SYNC_CODE: Final = 0x498342
_SRGB: Final = 7
_UNSPECIFIED_COLOURS: Final = bytes((2, 2, 2))
_NO_INITIALIZATION: Final = bytes(2)
_VP9_LEVELS: Final = (
    *((36_864, 10), (73_728, 11), (122_880, 20), (245_760, 21), (552_960, 30)),
    *((983_040, 31), (2_228_224, 41), (8_912_896, 51)),
)
"""(Most luma samples in a picture, level) as VP9's annex A has them, the faster of two where there are."""
_VP9_HIGHEST_LEVEL: Final = 61


class Vp8Format:
    """VP8 has no decoder configuration: its frames say it all."""

    config = None

    def starts_frame(self, payload: bytes) -> bool:
        try:
            return vp8.parse(payload).start_of_frame
        except MalformedPacket:
            return False

    def assemble(self, payloads: Sequence[bytes]) -> tuple[bytes, bool]:
        parts: list[bytes] = []
        for payload in payloads:
            if payload:  # an empty packet only probes the path
                descriptor = vp8.parse(payload)
                if descriptor.start_of_frame == bool(parts):
                    raise MalformedPacket("VP8 frame that does not begin, or begins twice")
                parts.append(payload[descriptor.size :])
        frame = b"".join(parts)
        is_keyframe = bool(frame) and not frame[0] & 1
        if is_keyframe and frame[3:6] != _VP8_START_CODE:
            raise MalformedPacket("VP8 keyframe without its start code")
        return frame, is_keyframe


class Vp9Format:
    """All spatial layers of a picture are one frame, with an index behind them if there are several."""

    def __init__(self) -> None:
        self._config: bytes | None = None

    @property
    def config(self) -> bytes | None:
        """The vpcC record of the last keyframe."""
        return self._config

    def starts_frame(self, payload: bytes) -> bool:
        try:
            descriptor = vp9.parse(payload)
        except MalformedPacket:
            return False
        return descriptor.start_of_frame and not descriptor.spatial_layer

    def assemble(self, payloads: Sequence[bytes]) -> tuple[bytes, bool]:
        frames: list[bytearray] = []
        is_keyframe = False
        for payload in payloads:
            if not payload:
                continue
            descriptor = vp9.parse(payload)
            if descriptor.start_of_frame:
                is_keyframe = is_keyframe or (not frames and descriptor.keyframe)
                frames.append(bytearray())
            if not 1 <= len(frames) <= MAX_LAYER_FRAMES:
                raise MalformedPacket(f"VP9 picture with {len(frames)} layers")
            frames[-1] += payload[descriptor.size :]
        if is_keyframe:
            self._config = _vp9_record(bytes(frames[0]), len(frames))
        return _superframe(frames), is_keyframe


def _superframe(frames: Sequence[bytes | bytearray]) -> bytes:
    """The frames, with their sizes behind them if there are several (VP9, B.2)."""
    if len(frames) <= 1:
        return b"".join(frames)
    size_bytes = (max(map(len, frames)).bit_length() + 7) // 8 or 1
    marker = bytes((0xC0 | (size_bytes - 1) << 3 | (len(frames) - 1),))
    index = b"".join(len(frame).to_bytes(size_bytes, "little") for frame in frames)
    return b"".join((*frames, marker, index, marker))


def _vp9_record(keyframe: bytes, layers: int) -> bytes:
    """The vpcC record (VP Codec ISO Media File Format Binding, 2.2) of what begins with ``keyframe``."""
    try:
        profile, colours, pixels = _read_keyframe(BitReader(keyframe))
    except MediaError as error:
        raise MalformedPacket(f"VP9 keyframe: {error}") from error
    # Every layer may have twice the edges of the one below it.
    pixels <<= 2 * (layers - 1)
    level = next((level for most, level in _VP9_LEVELS if pixels <= most), _VP9_HIGHEST_LEVEL)
    return bytes((profile, level, colours)) + _UNSPECIFIED_COLOURS + _NO_INITIALIZATION


def _read_keyframe(reader: BitReader) -> tuple[int, int, int]:
    """Profile, vpcC's byte of depth, subsampling and range, and luma samples (VP9, 6.2)."""
    marker = reader.bits(2)
    profile = reader.bits(1) | reader.bits(1) << 1
    if profile == 3:
        reader.skip(1)
    kind = reader.bits(2)  # show_existing_frame and frame_type, 0 in a keyframe
    reader.skip(2)  # show_frame, error_resilient_mode
    if marker != _VP9_MARKER or kind or reader.bits(24) != _VP9_SYNC_CODE:
        raise MalformedPacket("VP9 keyframe without its sync code")
    depth = (12 if reader.flag() else 10) if profile >= 2 else 8
    is_full_range, subsampling = _read_colours(reader, profile)
    width, height = reader.bits(16) + 1, reader.bits(16) + 1
    return profile, depth << 4 | subsampling << 1 | int(is_full_range), width * height


def _read_colours(reader: BitReader, profile: int) -> tuple[bool, int]:
    """Whether the range is full, and vpcC's chroma subsampling: 1 is 4:2:0, 2 is 4:2:2, 3 is 4:4:4."""
    has_choice = bool(profile & 1)
    if reader.bits(3) == _SRGB:
        reader.skip(1 if has_choice else 0)
        return True, 3
    is_full_range = reader.flag()
    if not has_choice:
        return is_full_range, 1
    horizontal, vertical = reader.flag(), reader.flag()
    reader.skip(1)
    return is_full_range, 3 if not horizontal else 1 if vertical else 2
