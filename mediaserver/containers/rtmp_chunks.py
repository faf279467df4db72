"""RTMP messages cut into chunks, ready to be written to every player: FLV tag bodies with other headers.

Every message begins with a type 0 header and all players were told the same chunk size, so the bytes depend
on nobody's history and are shared.
"""

from collections.abc import Mapping, Sequence

from mediaserver.containers.flv_bodies import FrameHeaders, carried_tracks, metadata_body, sequence_body
from mediaserver.media.packet import MediaPacket, Track, TrackKind
from rtmp.protocol.chunks import serialize_message
from rtmp.protocol.messages import ChunkStreamId, MessageType
from rtmp.protocol.session import OUTGOING_CHUNK_SIZE

_ON_VIDEO = (int(ChunkStreamId.VIDEO), int(MessageType.VIDEO))
_ON_AUDIO = (int(ChunkStreamId.AUDIO), int(MessageType.AUDIO))


class RtmpChunkMuxer:
    """A Muxer for players whose media runs on ``message_stream_id``."""

    mime_type = "application/octet-stream"

    def __init__(self, message_stream_id: int) -> None:
        self._message_stream_id = message_stream_id
        self._frames = FrameHeaders()
        self._tracks: tuple[Track, ...] = ()
        self._carried: frozenset[int] = frozenset()
        self._metadata_body = b""
        self._last_timestamp = 0

    def configure(self, tracks: Sequence[Track], metadata: Mapping[str, object]) -> bool:
        self._tracks = carried_tracks(tracks)
        self._carried = frozenset(track.id for track in self._tracks)
        self._metadata_body = metadata_body(self._tracks, metadata)
        return True

    def header(self) -> bytes:
        return self.resumption()

    def resumption(self) -> bytes:
        """onMetaData and the sequence headers, at the time of the last packet."""
        on_data = (int(ChunkStreamId.DATA), int(MessageType.DATA_AMF0))
        messages = [self._message(on_data, self._last_timestamp, self._metadata_body)]
        for track in self._tracks:
            if body := sequence_body(track):
                messages.append(self._message(_route(track), self._last_timestamp, body))  # noqa: PERF401
        return b"".join(messages)

    def render(self, packets: Sequence[MediaPacket]) -> bytes:
        parts: list[bytes] = []
        timestamp = self._last_timestamp
        for packet in packets:
            track = packet.track
            if track.id not in self._carried:
                continue
            rate = track.clock_rate
            timestamp = (packet.dts * 2000 + rate) // (2 * rate)
            body = self._frames.of(packet, timestamp) + packet.payload
            parts.append(self._message(_route(track), timestamp, body))
        self._last_timestamp = timestamp
        return b"".join(parts)

    def _message(self, route: tuple[int, int], timestamp: int, body: bytes) -> bytes:
        chunk_stream_id, type_id = route
        return serialize_message(
            chunk_stream_id, timestamp, type_id, self._message_stream_id, body, OUTGOING_CHUNK_SIZE
        )


def _route(track: Track) -> tuple[int, int]:
    return _ON_VIDEO if track.kind is TrackKind.VIDEO else _ON_AUDIO
