"""Decoder configurations that real encoders made, with what ffprobe says of them."""

from typing import Final

from mediaserver.media.packet import Codec

# x264 with the options named.
H264_720P: Final = bytes.fromhex(
    "0164001fffe1001a6764001facd9405005bb0110000003001000000303c0f183196001000468ef8fcbfdf8f800"
)
"""High profile with B-frames, 1280x720, 30 fps."""
H264_1080P_BASELINE: Final = bytes.fromhex(
    "0142c02affe1001a6742c02ad900780227e5c044000003000400000301e03c60c92001000568cb83cb20"
)
"""Cropped from 1088 lines; 60 fps; no B-frames."""
H264_INTERLACED: Final = bytes.fromhex(
    "0164001effe100236764001eacd940b424d808800000030080000019301000f420003d09c98601f1429960"
    "01000568fbacb22cfdf8f800"
)
"""720x576, top field first, 25 fps, with the parameters of a hypothetical reference decoder."""
H264_422: Final = bytes.fromhex(
    "017a000dffe1001b677a000db6cd9415087888fc0440000003004000000c83c50a658001000668ebe3cb22c0fefafa00"
)
"""10 bit 4:2:2, 322x242."""
H264_444_SCALING: Final = bytes.fromhex(
    "01f4000dffe1001967f4000d919b28283f6022000003000200000300641e28532c01000868ebe3c44c000440fff8f800"
)
"""4:4:4, 320x240, JVT scaling matrices."""
H264_NTSC: Final = bytes.fromhex(
    "0164001effe100186764001eacb201405ff2e022000007d20001d4c01e2c5c9001000668ebc3cb22c0fdf8f800"
)
"""640x360, 30000/1001 fps, High profile without B-frames."""

# x265; the SEI unit with its options is left out.
HEVC_360P: Final = bytes.fromhex(
    "0101600000009000000000003ff000fcfdf8f800000f03"
    "a00001001840010c01ffff01600000030090000003000003003f959809"
    "a10001002a42010101600000030090000003000003003fa00502016965959a4932bc05a020000003002000000303c1"
    "a2000100074401c172b46240"
)
"""Main profile with B-frames, 640x360."""
HEVC_1080P_10_BIT: Final = bytes.fromhex(
    "01022000000090000000000078f000fcfdfafa00000f03"
    "a00001001840010c01ffff022000000300900000030000030078928090"
    "a10001002a420101022000000300900000030000030078a003c08010e4d964a924caf0168080000003008000000f04"
    "a2000100074401c172b46240"
)
"""Main 10 without B-frames, 1920x1080."""

AV1_360P: Final = bytes.fromhex("81010c000a0c0200000d6627fb3805f00080")
"""SVT-AV1, 640x360."""
AV1_10_BIT: Final = bytes.fromhex("81004c000a0b000000043d07c4daf94040")
"""libaom, 322x242."""
VP9_360P: Final = bytes.fromhex("0015820202020000")
"""The vpcC record without version and flags of its box."""

AAC_STEREO: Final = bytes.fromhex("119056e500")
"""48 kHz, with the sync extension that says there is no SBR."""
AAC_MONO: Final = bytes.fromhex("120856e500")
AAC_5_1: Final = bytes.fromhex("11b056e500")

OPUS_STEREO: Final = bytes.fromhex("4f707573486561640102380180bb0000000000")
OPUS_5_1: Final = bytes.fromhex("4f707573486561640106380180bb00000000010402000401020305")

MP3_FRAME: Final = bytes.fromhex("fffb90640000023c08d0bd3c")
"""44.1 kHz joint stereo."""
MP3_22_KHZ_FRAME: Final = bytes.fromhex("fff340c40012b05e8c5f4f18")
AC3_FRAME: Final = bytes.fromhex("0b77c4fd144043e106f46370")
AC3_RECORD: Final = bytes.fromhex("101140")
"""What ffmpeg's own muxer writes for the stream of that frame."""
AC3_5_1_FRAME: Final = bytes.fromhex("0b77b50b1e40ebf8403eff99")
FLAC_BLOCKS: Final = bytes.fromhex(
    "80000022040004000000fa0001840ac442f000005622ba7ed542b5cf1c48269e1b81681b54ee"
)

H264_FRAME: Final = bytes.fromhex("00000002 09f0 00000003 06ffff 00000004 65b80040")
HEVC_FRAME: Final = bytes.fromhex("00000003 460150 00000005 2801af084c")
AV1_FRAME: Final = bytes.fromhex("1200 0a0c0200000d6627fb38d5f30080 3203616263")

STREAMS: Final = (
    (Codec.H264, H264_720P, H264_FRAME),
    (Codec.H264, H264_1080P_BASELINE, H264_FRAME),
    (Codec.H264, H264_INTERLACED, H264_FRAME),
    (Codec.H264, H264_422, H264_FRAME),
    (Codec.H264, H264_444_SCALING, H264_FRAME),
    (Codec.H264, H264_NTSC, H264_FRAME),
    (Codec.HEVC, HEVC_360P, HEVC_FRAME),
    (Codec.HEVC, HEVC_1080P_10_BIT, HEVC_FRAME),
    (Codec.AV1, AV1_360P, AV1_FRAME),
    (Codec.AV1, AV1_10_BIT, AV1_FRAME),
    (Codec.VP9, VP9_360P, b"\x82\x49\x83\x42"),
    (Codec.AAC, AAC_STEREO, b"\xde\x02\x00\x4c"),
    (Codec.AAC, AAC_MONO, b"\xde\x02\x00\x4c"),
    (Codec.AAC, AAC_5_1, b"\xde\x02\x00\x4c"),
    (Codec.OPUS, OPUS_STEREO, b"\xfc\x7e\x02\x99"),
    (Codec.OPUS, OPUS_5_1, b"\xfc\x02\xff\xfe"),
    (Codec.MP3, MP3_FRAME[:4], MP3_FRAME),
    (Codec.AC3, AC3_RECORD, AC3_FRAME),
    (Codec.FLAC, FLAC_BLOCKS, b"\xff\xf8\xa9\x88"),
)
"""(codec, configuration, beginning of a frame)."""
