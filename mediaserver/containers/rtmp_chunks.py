"""RTMP messages cut into chunks, ready to be written to every player: FLV tag bodies with other headers.

Every message begins with a type 0 header and all players were told the same chunk size, so the bytes depend
on nobody's history and are shared.
"""

from typing import Final

from mediaserver.containers.flv_bodies import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, FlvBodyMuxer
from rtmp.protocol.chunks import serialize_message
from rtmp.protocol.messages import ChunkStreamId
from rtmp.protocol.session import OUTGOING_CHUNK_SIZE

_CHUNK_STREAM_IDS: Final = {
    TAG_AUDIO: int(ChunkStreamId.AUDIO),
    TAG_VIDEO: int(ChunkStreamId.VIDEO),
    TAG_SCRIPT: int(ChunkStreamId.DATA),
}


class RtmpChunkMuxer(FlvBodyMuxer):
    """A Muxer for players whose media runs on ``message_stream_id``."""

    mime_type = "application/octet-stream"

    def __init__(self, message_stream_id: int) -> None:
        super().__init__()
        self._message_stream_id = message_stream_id

    def header(self) -> bytes:
        return self.resumption()

    def append_body(
        self, parts: list[bytes], tag_type: int, timestamp: int, header: bytes, payload: bytes
    ) -> None:
        chunk_stream_id = _CHUNK_STREAM_IDS[tag_type]
        body = header + payload
        parts.append(
            serialize_message(
                chunk_stream_id, timestamp, tag_type, self._message_stream_id, body, OUTGOING_CHUNK_SIZE
            )
        )
