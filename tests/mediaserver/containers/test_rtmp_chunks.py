import pytest

from mediaserver.containers.flv import FlvMuxer
from mediaserver.containers.muxer import Muxer
from mediaserver.containers.rtmp_chunks import RtmpChunkMuxer
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind
from rtmp.protocol.chunks import ChunkReader
from rtmp.protocol.messages import ChunkStreamId, MessageType, serialize_word
from rtmp.protocol.session import OUTGOING_CHUNK_SIZE
from tests.helpers.encoded import encode
from tests.helpers.flv import read_flv
from tests.mediaserver.media.codecs import vectors

MESSAGE_STREAM_ID = 7
VIDEO = Track(0, TrackKind.VIDEO, Codec.H264, 90_000, vectors.H264_720P)
AUDIO = Track(1, TrackKind.AUDIO, Codec.AAC, 48_000, vectors.AAC_STEREO)

Message = tuple[int, int, int, bytes]
"""Type id, timestamp, message stream id, payload."""


def _read(data: bytes) -> list[Message]:
    messages: list[Message] = []
    reader = ChunkReader(lambda *message: messages.append(message))
    set_chunk_size = b"\x02\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00" + serialize_word(OUTGOING_CHUNK_SIZE)
    reader.receive(set_chunk_size + data)
    assert reader.buffered_bytes == 0
    return messages[1:]


def _configured(muxer: Muxer, *tracks: Track) -> Muxer:
    assert muxer.configure(tracks, {"encoder": "an encoder"})
    return muxer


@pytest.mark.parametrize(("video", "audio"), [(Codec.H264, Codec.AAC), (Codec.HEVC, Codec.OPUS)])
def test_players_get_what_viewers_of_flv_get(video: Codec, audio: Codec) -> None:
    encoded = encode(video, audio, 2)
    chunks = _configured(RtmpChunkMuxer(MESSAGE_STREAM_ID), *encoded.tracks)
    flv = _configured(FlvMuxer(), *encoded.tracks)
    # Script tags and data messages have the same type id, 18, as audio and video have.
    messages = _read(chunks.header() + chunks.render(encoded.packets) + chunks.resumption())
    tags = read_flv(flv.header() + flv.render(encoded.packets) + flv.resumption())
    assert messages == [(tag.type, tag.timestamp, MESSAGE_STREAM_ID, tag.body) for tag in tags]


def test_every_message_begins_with_a_whole_header_on_the_chunk_stream_of_its_kind() -> None:
    muxer = _configured(RtmpChunkMuxer(MESSAGE_STREAM_ID), VIDEO, AUDIO)
    for track, chunk_stream_id in ((VIDEO, ChunkStreamId.VIDEO), (AUDIO, ChunkStreamId.AUDIO)):
        for _ in range(2):
            data = muxer.render([MediaPacket(track, 0, 0, True, b"abc", 0.0)])
            assert data[0] == chunk_stream_id  # the upper two bits 0: a type 0 header


@pytest.mark.parametrize("milliseconds", [0, 0xFFFFFE, 0xFFFFFF, 2**32 - 1, 2**32 + 5])
@pytest.mark.parametrize("size", [0, OUTGOING_CHUNK_SIZE, 3 * OUTGOING_CHUNK_SIZE + 1])
def test_large_frames_and_late_times_survive(milliseconds: int, size: int) -> None:
    muxer = _configured(RtmpChunkMuxer(MESSAGE_STREAM_ID), VIDEO)
    packet = MediaPacket(VIDEO, milliseconds * 90, milliseconds * 90, True, bytes(size), 0.0)
    [(type_id, timestamp, message_stream_id, body)] = _read(muxer.render([packet]))
    assert (type_id, message_stream_id) == (MessageType.VIDEO, MESSAGE_STREAM_ID)
    assert timestamp == milliseconds % 2**32
    assert body[5:] == packet.payload


def test_only_the_primary_tracks_are_carried() -> None:
    muxer = _configured(RtmpChunkMuxer(MESSAGE_STREAM_ID), VIDEO, AUDIO)
    other = Track(2, TrackKind.VIDEO, Codec.H264, 90_000, vectors.H264_NTSC)
    assert muxer.render([MediaPacket(other, 0, 0, True, b"abc", 0.0)]) == b""
