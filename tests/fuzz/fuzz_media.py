"""Codec configurations and frames: what a publisher may send never breaks an output.

An input is a codec (one byte), a length (two bytes), a configuration of that length and a frame. What is
accepted as a configuration must be rendered by every container that carries the codec, whatever the frame is;
all that may be raised is MediaError, and only by what checks the configuration.

Run: python tests/fuzz/fuzz_media.py [libFuzzer options] folder...
"""

import sys

import atheris

with atheris.instrument_imports():
    from mediaserver.containers.flv import FlvMuxer
    from mediaserver.containers.fmp4 import Fmp4Muxer
    from mediaserver.containers.mpegts import PACKET_SIZE, MpegTsMuxer
    from mediaserver.containers.rtmp_chunks import RtmpChunkMuxer
    from mediaserver.media.codecs import CODECS, describe_config
    from mediaserver.media.codecs.av1 import without_temporal_delimiters
    from mediaserver.media.codecs.opus import packet_samples
    from mediaserver.media.errors import MediaError
    from mediaserver.media.packet import Codec, MediaPacket, Track

CODEC_ORDER = tuple(Codec)


def _render(track: Track, frame: bytes) -> None:
    packets = [MediaPacket(track, 0, 0, True, frame, 0.0), MediaPacket(track, 900, 1800, False, frame, 0.0)]
    for muxer in (FlvMuxer(), RtmpChunkMuxer(1), Fmp4Muxer(), MpegTsMuxer()):
        assert muxer.configure([track], {})
        rendered = muxer.header() + muxer.render(packets) + muxer.resumption()
        assert muxer.mime_type
        if isinstance(muxer, MpegTsMuxer):
            assert len(rendered) % PACKET_SIZE == 0


def test_one_input(data: bytes) -> None:
    if len(data) < 3:
        return
    codec = CODEC_ORDER[data[0] % len(CODEC_ORDER)]
    end = 3 + int.from_bytes(data[1:3], "big")
    config, frame = data[3:end], data[end:]
    packet_samples(frame)
    try:
        description = describe_config(codec, config)
        without_temporal_delimiters(frame)
    except MediaError:
        return
    kind = CODECS[codec].kind
    clock_rate = getattr(description, "sample_rate", 90_000)
    _render(Track(1, kind, codec, clock_rate, config), frame)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
