"""Made-up tracks and packets for tests of everything that does not look into payloads."""

from collections.abc import Iterator

from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind

VIDEO = Track(0, TrackKind.VIDEO, Codec.H264, 90_000, b"\x01video")
AUDIO = Track(1, TrackKind.AUDIO, Codec.AAC, 48_000, b"\x11\x90")


def video(
    frame: int, *, is_keyframe: bool = False, payload: bytes | None = None, track: Track = VIDEO
) -> MediaPacket:
    """Frame number ``frame`` of a 25 fps video."""
    dts = frame * 3600
    return MediaPacket(track, dts, dts, is_keyframe, payload or b"v%d;" % frame, frame / 25)


def audio(frame: int, *, payload: bytes | None = None, track: Track = AUDIO) -> MediaPacket:
    """Frame number ``frame`` of AAC at 48 kHz."""
    dts = frame * 1024
    return MediaPacket(track, dts, dts, True, payload or b"a%d;" % frame, dts / 48_000)


def interleaved(seconds: float, gop_frames: int = 50) -> Iterator[MediaPacket]:
    """Video and audio in dts order, a keyframe every ``gop_frames``."""
    frames = [video(n, is_keyframe=n % gop_frames == 0) for n in range(int(seconds * 25))]
    sounds = [audio(n) for n in range(int(seconds * 48_000 / 1024))]
    return iter(sorted(frames + sounds, key=lambda p: p.dts / p.track.clock_rate))
