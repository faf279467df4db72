"""An RTMP publisher and a room to publish to, for tests of the ingest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mediaserver.gateways.rtmp_ingest import IngestCounters, RtmpPublication
from mediaserver.hub.hub import Hub
from mediaserver.media.packet import MediaPacket, Track
from rtmp.protocol import flv_tags
from rtmp.protocol.flv_tags import AudioTag, PacketKind, VideoTag, serialize_audio, serialize_video
from tests.mediaserver.media.codecs import vectors

ROOM: Final = "room"


class RecordingConnection:
    """A ``PublisherConnection`` that tells its publication of the end at once, as the server's does."""

    address = "192.0.2.1"
    encoder = "an encoder"

    def __init__(self) -> None:
        self.closed_with: list[tuple[str, str]] = []
        self.on_close: Callable[[], None] = lambda: None

    def close(self, code: str, description: str) -> None:
        self.closed_with.append((code, description))
        self.on_close()

    def request_reconnect(self, description: str) -> bool:
        return False


@dataclass
class RecordingOutput:
    viewer_count: int = 0
    tracks: list[tuple[Track, ...]] = field(default_factory=list)
    metadata: Mapping[str, object] = field(default_factory=dict)
    packets: list[MediaPacket] = field(default_factory=list)
    states: list[str] = field(default_factory=list)

    def on_tracks(self, tracks: Sequence[Track], metadata: Mapping[str, object]) -> None:
        self.tracks.append(tuple(tracks))
        self.metadata = metadata

    def on_packet(self, packet: MediaPacket) -> None:
        self.packets.append(packet)

    def on_interrupted(self) -> None:
        self.states.append("interrupted")

    def on_end(self) -> None:
        self.states.append("ended")

    def times(self, track_id: int) -> list[int]:
        """dts in ms of the packets of one track."""
        return [p.dts * 1000 // p.track.clock_rate for p in self.packets if p.track.id == track_id]


class Room:
    """A hub with one room, and an output that watches it from the first publisher on."""

    def __init__(self) -> None:
        self.hub: Final = Hub(grace_seconds=60)
        self.counters: Final = IngestCounters()
        self.output: Final = RecordingOutput()
        self._is_watched = False

    def publisher(self) -> "Encoder":
        connection = RecordingConnection()
        publication = RtmpPublication(self.hub, ROOM, connection, self.counters)
        connection.on_close = lambda: publication.closed(False)
        stream = self.hub.find(ROOM)
        if not self._is_watched and stream is not None:
            stream.attach(self.output)
            self._is_watched = True
        return Encoder(publication, connection)


class Encoder:
    """Speaks to a publication in tags."""

    def __init__(self, publication: RtmpPublication, connection: RecordingConnection) -> None:
        self.publication: Final = publication
        self.connection: Final = connection

    def video_config(
        self, config: bytes = vectors.H264_720P, codec: str = flv_tags.AVC, track: int = 0, at: int = 0
    ) -> None:
        self.video(VideoTag(codec, PacketKind.SEQUENCE_START, True, 0, config, track), at)

    def audio_config(
        self, config: bytes = vectors.AAC_STEREO, codec: str = flv_tags.AAC, track: int = 0, at: int = 0
    ) -> None:
        self.audio(AudioTag(codec, PacketKind.SEQUENCE_START, config, track), at)

    def picture(
        self,
        at: int,
        *,
        is_keyframe: bool = False,
        composition_time: int = 0,
        payload: bytes = b"picture",
        codec: str = flv_tags.AVC,
        track: int = 0,
    ) -> None:
        tag = VideoTag(codec, PacketKind.FRAME, is_keyframe, composition_time, payload, track)
        self.video(tag, at)

    def sound(self, at: int, *, payload: bytes = b"sound", codec: str = flv_tags.AAC, track: int = 0) -> None:
        self.audio(AudioTag(codec, PacketKind.FRAME, payload, track), at)

    def video(self, tag: VideoTag, at: int) -> None:
        self.publication.video(at % 2**32, serialize_video(tag))

    def audio(self, tag: AudioTag, at: int) -> None:
        self.publication.audio(at % 2**32, serialize_audio(tag))

    def begin(self, at: int = 0) -> None:
        """Both sequence headers, a keyframe and a sound: enough to be live."""
        self.video_config(at=at)
        self.audio_config(at=at)
        self.picture(at, is_keyframe=True)
        self.sound(at)
