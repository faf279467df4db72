"""One table of tag bodies: it drives parser, serializer and the fuzz seeds."""

from dataclasses import dataclass

from rtmp.protocol.errors import FlvTagError, UnsupportedCodecError
from rtmp.protocol.flv_tags import AudioTag, PacketKind, VideoTag

START, FRAME, END = PacketKind.SEQUENCE_START, PacketKind.FRAME, PacketKind.SEQUENCE_END
METADATA, OTHER = PacketKind.METADATA, PacketKind.OTHER


@dataclass(frozen=True)
class VideoCase:
    name: str
    wire: bytes
    tags: list[VideoTag]
    is_canonical: bool = True
    """Whether the serializer gives ``wire`` for the one tag."""


@dataclass(frozen=True)
class AudioCase:
    name: str
    wire: bytes
    tags: list[AudioTag]
    is_canonical: bool = True


@dataclass(frozen=True)
class MalformedTag:
    name: str
    wire: bytes
    text: str
    error: type[FlvTagError] = FlvTagError


def hexed(*parts: str) -> bytes:
    return bytes.fromhex("".join(parts))


AVC1, HVC1, AV01, VP09 = "61766331", "68766331", "61763031", "76703039"
MP4A, OPUS, AC3, FLAC, MP3 = "6d703461", "4f707573", "61632d33", "664c6143", "2e6d7033"
LONG_MODIFIER = "ff 00ff" + "00" * 256

VIDEO_CASES = (
    VideoCase("nothing", b"", [], False),
    VideoCase(
        "AVC sequence header", hexed("17 00 000000 0164"), [VideoTag("avc1", START, True, 0, b"\x01d")]
    ),
    VideoCase("AVC keyframe", hexed("17 01 000000 aabb"), [VideoTag("avc1", FRAME, True, 0, b"\xaa\xbb")]),
    VideoCase("AVC inter frame", hexed("27 01 000021 aa"), [VideoTag("avc1", FRAME, False, 33, b"\xaa")]),
    VideoCase("negative time", hexed("27 01 ffffdf aa"), [VideoTag("avc1", FRAME, False, -33, b"\xaa")]),
    VideoCase("least time", hexed("27 01 800000 aa"), [VideoTag("avc1", FRAME, False, -(2**23), b"\xaa")]),
    VideoCase(
        "greatest time", hexed("27 01 7fffff aa"), [VideoTag("avc1", FRAME, False, 2**23 - 1, b"\xaa")]
    ),
    VideoCase("AVC end of sequence", hexed("17 02 000000"), [VideoTag("avc1", END, True, 0, b"")]),
    VideoCase(
        "disposable frame", hexed("37 01 000000 aa"), [VideoTag("avc1", FRAME, False, 0, b"\xaa")], False
    ),
    VideoCase(
        "time in a header", hexed("17 00 000021 01"), [VideoTag("avc1", START, True, 0, b"\x01")], False
    ),
    VideoCase("command", hexed("50 00"), [], False),
    VideoCase(
        "HEVC as codec id 12", hexed("1c 01 000000 aa"), [VideoTag("hvc1", FRAME, True, 0, b"\xaa")], False
    ),
    VideoCase(
        "AV1 as codec id 13", hexed("1d 01 000021 aa"), [VideoTag("av01", FRAME, True, 0, b"\xaa")], False
    ),
    VideoCase("HEVC configuration", hexed("90", HVC1, "0101"), [VideoTag("hvc1", START, True, 0, b"\1\1")]),
    VideoCase("HEVC frame", hexed("a1", HVC1, "000021 aa"), [VideoTag("hvc1", FRAME, False, 33, b"\xaa")]),
    VideoCase(
        "HEVC before its time", hexed("a1", HVC1, "ffffff aa"), [VideoTag("hvc1", FRAME, False, -1, b"\xaa")]
    ),
    VideoCase("HEVC pts = dts", hexed("93", HVC1, "aa"), [VideoTag("hvc1", FRAME, True, 0, b"\xaa")]),
    VideoCase(
        "enhanced AVC", hexed("91", AVC1, "000000 aa"), [VideoTag("avc1", FRAME, True, 0, b"\xaa")], False
    ),
    VideoCase("HEVC end", hexed("92", HVC1), [VideoTag("hvc1", END, True, 0, b"")]),
    VideoCase("HDR metadata", hexed("94", HVC1, "0200"), [VideoTag("hvc1", METADATA, True, 0, b"\2\0")]),
    VideoCase(
        "metadata in a command", hexed("d4", HVC1, "02"), [VideoTag("hvc1", METADATA, False, 0, b"\2")], False
    ),
    VideoCase("enhanced command", hexed("d0 00"), [], False),
    VideoCase(
        "AV1 frame has no time", hexed("91", AV01, "120032"), [VideoTag("av01", FRAME, True, 0, b"\x12\x002")]
    ),
    VideoCase("AV1 in TS", hexed("95", AV01, "80"), [VideoTag("av01", OTHER, True, 0, b"\x80")]),
    VideoCase("VP9 frame", hexed("a1", VP09, "86"), [VideoTag("vp09", FRAME, False, 0, b"\x86")]),
    VideoCase(
        "one track", hexed("96 01", AV01, "03 aabb"), [VideoTag("av01", FRAME, True, 0, b"\xaa\xbb", 3)]
    ),
    VideoCase(
        "one AVC track",
        hexed("a6 01", AVC1, "02 000021 aa"),
        [VideoTag("avc1", FRAME, False, 33, b"\xaa", 2)],
    ),
    VideoCase(
        "many tracks",
        hexed("96 11", HVC1, "00 000005 000021 aabb 02 000004 000000 cc"),
        [VideoTag("hvc1", FRAME, True, 33, b"\xaa\xbb"), VideoTag("hvc1", FRAME, True, 0, b"\xcc", 2)],
        False,
    ),
    VideoCase(
        "many tracks, many codecs",
        hexed("96 20", AVC1, "00 000002 0164", AV01, "01 000001 81"),
        [VideoTag("avc1", START, True, 0, b"\x01d"), VideoTag("av01", START, True, 0, b"\x81", 1)],
        False,
    ),
    VideoCase(
        "many codecs, one unknown",
        hexed("96 20 58585858 00 000002 0102", AV01, "01 000001 81"),
        [VideoTag("av01", START, True, 0, b"\x81", 1)],
        False,
    ),
    VideoCase(
        "an empty track",
        hexed("96 11", HVC1, "01 000003 000000"),
        [VideoTag("hvc1", FRAME, True, 0, b"", 1)],
        False,
    ),
    VideoCase(
        "ModEx", hexed("97 02 0f423f 01", AV01, "aa"), [VideoTag("av01", FRAME, True, 0, b"\xaa")], False
    ),
    VideoCase(
        "unknown ModEx", hexed("97 00 ff 51", AV01, "aa"), [VideoTag("av01", FRAME, True, 0, b"\xaa")], False
    ),
    VideoCase(
        "long ModEx",
        hexed("97", LONG_MODIFIER, "13", HVC1, "aa"),
        [VideoTag("hvc1", FRAME, True, 0, b"\xaa")],
        False,
    ),
    VideoCase(
        "two ModEx",
        hexed("97 00 01 17 00 02 11", AV01, "aa"),
        [VideoTag("av01", FRAME, True, 0, b"\xaa")],
        False,
    ),
    VideoCase(
        "ModEx multitrack",
        hexed("97 00 01 16 01", AV01, "05 aa"),
        [VideoTag("av01", FRAME, True, 0, b"\xaa", 5)],
        False,
    ),
)

AUDIO_CASES = (
    AudioCase("nothing", b"", [], False),
    AudioCase("AAC configuration", hexed("af 00 1190"), [AudioTag("mp4a", START, b"\x11\x90")]),
    AudioCase("AAC frame", hexed("af 01 2110"), [AudioTag("mp4a", FRAME, b"\x21\x10")]),
    AudioCase("AAC that says mono", hexed("ae 01 21"), [AudioTag("mp4a", FRAME, b"\x21")], False),
    AudioCase("empty AAC frame", hexed("af 01"), [AudioTag("mp4a", FRAME, b"")]),
    AudioCase("MP3", hexed("2f fffb"), [AudioTag(".mp3", FRAME, b"\xff\xfb")]),
    AudioCase("MP3 at 8 kHz", hexed("ee ffe3"), [AudioTag(".mp3", FRAME, b"\xff\xe3")], False),
    AudioCase("Opus configuration", hexed("90", OPUS, "4f"), [AudioTag("Opus", START, b"O")]),
    AudioCase("Opus frame", hexed("91", OPUS, "fc"), [AudioTag("Opus", FRAME, b"\xfc")]),
    AudioCase("AC-3 frame", hexed("91", AC3, "0b77"), [AudioTag("ac-3", FRAME, b"\x0bw")]),
    AudioCase("FLAC configuration", hexed("90", FLAC, FLAC), [AudioTag("fLaC", START, b"fLaC")]),
    AudioCase("enhanced AAC", hexed("91", MP4A, "21"), [AudioTag("mp4a", FRAME, b"\x21")], False),
    AudioCase("enhanced MP3", hexed("91", MP3, "ff"), [AudioTag(".mp3", FRAME, b"\xff")], False),
    AudioCase("Opus end", hexed("92", OPUS), [AudioTag("Opus", END, b"")]),
    AudioCase("channel order", hexed("94", OPUS, "0102"), [AudioTag("Opus", OTHER, b"\1\2")]),
    AudioCase("one track", hexed("95 01", MP4A, "01 21"), [AudioTag("mp4a", FRAME, b"\x21", 1)]),
    AudioCase(
        "many tracks",
        hexed("95 11", MP4A, "00 000001 aa 01 000002 bbcc"),
        [AudioTag("mp4a", FRAME, b"\xaa"), AudioTag("mp4a", FRAME, b"\xbb\xcc", 1)],
        False,
    ),
    AudioCase(
        "many tracks, many codecs",
        hexed("95 21", MP4A, "00 000001 aa", OPUS, "01 000001 bb"),
        [AudioTag("mp4a", FRAME, b"\xaa"), AudioTag("Opus", FRAME, b"\xbb", 1)],
        False,
    ),
    AudioCase("ModEx", hexed("97 02 000001 01", OPUS, "aa"), [AudioTag("Opus", FRAME, b"\xaa")], False),
)

MALFORMED_VIDEO = (
    MalformedTag("Sorenson H.263", hexed("22 0000"), "codec id 2", UnsupportedCodecError),
    MalformedTag("On2 VP6", hexed("14 00"), "codec id 4", UnsupportedCodecError),
    MalformedTag("AVC of one byte", hexed("17"), "header of 5"),
    MalformedTag("AVC without all its time", hexed("17 01 0000"), "header of 5"),
    MalformedTag("AVCPacketType 3", hexed("17 03 000000"), "AVCPacketType 3"),
    MalformedTag("header alone", hexed("91"), "FourCC at byte 1"),
    MalformedTag("half a FourCC", hexed("91 6176"), "FourCC at byte 1"),
    MalformedTag("unknown FourCC", hexed("91 58585858 00"), "'XXXX'", UnsupportedCodecError),
    MalformedTag("FourCC that is not text", hexed("91 ff000000 00"), "not supported", UnsupportedCodecError),
    MalformedTag("audio in a video tag", hexed("91", MP4A, "21"), "'mp4a'", UnsupportedCodecError),
    MalformedTag("packet type 8", hexed("98", HVC1), "VideoPacketType 8"),
    MalformedTag("HEVC without its time", hexed("91", HVC1, "0000"), "composition time"),
    MalformedTag("multitrack without layout", hexed("96"), "multitrack type"),
    MalformedTag("multitrack layout 3", hexed("96 31", HVC1), "multitrack type 3"),
    MalformedTag("multitrack inside multitrack", hexed("96 06", HVC1, "00 aa"), "VideoPacketType 6"),
    MalformedTag("one track without id", hexed("96 01", HVC1), "track id"),
    MalformedTag("track without size", hexed("96 11", HVC1, "00 0000"), "size of track"),
    MalformedTag("track past the end", hexed("96 11", HVC1, "00 000009 aa"), "track payload"),
    MalformedTag("track too short for its time", hexed("96 11", HVC1, "00 000002 aabb"), "composition time"),
    MalformedTag(
        "many codecs, all unknown",
        hexed("96 20 58585858 00 000001 01 59595959 01 000001 02"),
        "'YYYY'",
        UnsupportedCodecError,
    ),
    MalformedTag("a third of a second track", hexed("96 21", AV01, "00 000001 aa 61"), "FourCC"),
    MalformedTag("65 tracks", hexed("96 11", AV01, "00 000001 aa" * 65), "more than 64 tracks"),
    MalformedTag("ModEx without size", hexed("97"), "modExDataSize"),
    MalformedTag("ModEx without long size", hexed("97 ff 00"), "modExDataSize"),
    MalformedTag("ModEx past the end", hexed("97 05 0000"), "modExData"),
    MalformedTag("ModEx without type", hexed("97 00 00"), "ModEx type"),
    MalformedTag("endless ModEx", hexed("97", "00 00 17" * 100), "more than 8 ModEx"),
)

MALFORMED_AUDIO = (
    MalformedTag("Speex", hexed("b2 00"), "sound format 11", UnsupportedCodecError),
    MalformedTag("linear PCM", hexed("0f 00"), "sound format 0", UnsupportedCodecError),
    MalformedTag("AAC of one byte", hexed("af"), "byte 1"),
    MalformedTag("AACPacketType 2", hexed("af 02"), "AACPacketType 2"),
    MalformedTag("header alone", hexed("91"), "FourCC at byte 1"),
    MalformedTag("unknown FourCC", hexed("91 73706578 00"), "'spex'", UnsupportedCodecError),
    MalformedTag("video in an audio tag", hexed("91", AV01, "12"), "'av01'", UnsupportedCodecError),
    MalformedTag("packet type 3", hexed("93", OPUS), "AudioPacketType 3"),
    MalformedTag("multitrack inside multitrack", hexed("95 05", OPUS, "00"), "AudioPacketType 5"),
    MalformedTag("track past the end", hexed("95 11", OPUS, "00 000009 aa"), "track payload"),
    MalformedTag("endless ModEx", hexed("97", "00 00 17" * 100), "more than 8 ModEx"),
)
