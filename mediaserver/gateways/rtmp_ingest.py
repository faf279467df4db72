"""RTMP publishers on the hub: FLV tag bodies become MediaPackets.

Rules:

* What cannot be parsed ends the publisher (the server does that); what can be parsed but not carried, such as
  an unknown codec on one track, costs that track only.
* A publisher none of whose codecs can be carried is told so and closed, after a second of its media.
* Frames before their track's sequence header are dropped and counted: nothing could decode them. So are
  frames of another codec than the one their track's last sequence header announced.
* Time is placed on the stream's timeline, which outlives the publisher: whoever resumes goes on from there.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog

from mediaserver.gateways.codec_refusals import CodecRefusals
from mediaserver.gateways.track_gathering import TrackGathering
from mediaserver.hub.hub import Hub
from mediaserver.hub.stream import Stream
from mediaserver.media.codecs import BY_FOUR_CC, CODECS, AudioDescription, Description, describe_config
from mediaserver.media.codecs.av1 import without_temporal_delimiters
from mediaserver.media.codecs.opus import packet_samples
from mediaserver.media.errors import MediaError
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind
from mediaserver.media.timestamps import TickClock, TimestampUnwrapper
from rtmp.ports import Publication, PublisherConnection, PublishGrant
from rtmp.protocol.errors import FlvTagError, UnsupportedCodecError
from rtmp.protocol.flv_tags import AudioTag, PacketKind, VideoTag, parse_audio, parse_video

VIDEO_CLOCK_RATE: Final = 90_000
VIDEO_TICKS_PER_MS: Final = VIDEO_CLOCK_RATE // 1000
MAX_COMPOSITION_MS: Final = 10_000
"""Frames are put into another order within a second or so; what claims more has lost its way."""
MAX_METADATA_FIELDS: Final = 256
MAX_TRACKS: Final = 32
"""Of one publisher; each costs a clock and its configuration."""

REPLACED: Final = "NetStream.Publish.Rejected"
KICKED: Final = "NetStream.Publish.Rejected"
NOT_CARRIED: Final = "NetStream.Publish.Rejected"

AnyTag = TypeVar("AnyTag", VideoTag, AudioTag)

logger = structlog.get_logger("mediaserver.rtmp")


@dataclass(slots=True)
class IngestCounters:
    """Totals over all publishers."""

    packets: int = 0
    bytes: int = 0
    dropped_packets: int = 0
    timestamp_repairs: int = 0


class RtmpIngest:
    """Implements ``rtmp.ports.Ingest``."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.counters = IngestCounters()

    def open(self, grant: PublishGrant, connection: PublisherConnection) -> Publication:
        return RtmpPublication(self._hub, grant.room_id, connection, self.counters)


class _TrackInput:
    """One track of one publisher: its current Track and its clock."""

    __slots__ = ("clock", "samples_of", "track")

    def __init__(self, track: Track, samples_of: Callable[[bytes], int]) -> None:
        self.track = track
        self.clock = TickClock(track.clock_rate)
        self.samples_of = samples_of


class RtmpPublication:
    """Implements ``rtmp.ports.Publication`` and, towards the hub, ``Publisher``."""

    def __init__(
        self, hub: Hub, room_id: str, connection: PublisherConnection, counters: IngestCounters
    ) -> None:
        self._hub = hub
        self._connection = connection
        self._counters = counters
        self._now = asyncio.get_running_loop().time
        self._stream: Stream = hub.open(room_id, self)
        self._stream.resume_timeline(self._now())
        self._gathering: TrackGathering | None = TrackGathering()
        self._metadata: Mapping[str, object] = {}
        self._unwrapper = TimestampUnwrapper()
        self._inputs: dict[tuple[TrackKind, int], _TrackInput] = {}
        self._is_over = False
        self._refusals = CodecRefusals()

    # Publication

    def metadata(self, values: Mapping[str, object]) -> None:
        if self._is_over:
            return
        self._metadata = dict(list(values.items())[:MAX_METADATA_FIELDS])
        if self._gathering is not None:
            self._gathering.expect(self._metadata)
        else:
            self._announce()

    def video(self, timestamp: int, body: bytes) -> None:
        for tag in self._parsed(parse_video, timestamp, body):
            codec = BY_FOUR_CC.get(tag.codec)
            if codec is None:
                self._refuse(f"codec {tag.codec!r} is not supported", timestamp)
            elif tag.kind is PacketKind.FRAME:
                self._video_frame(timestamp, tag, codec)
            elif tag.kind is PacketKind.SEQUENCE_START:
                self._set_track(TrackKind.VIDEO, tag.track_id, codec, tag.payload)

    def audio(self, timestamp: int, body: bytes) -> None:
        for tag in self._parsed(parse_audio, timestamp, body):
            codec = BY_FOUR_CC.get(tag.codec)
            if codec is None:
                self._refuse(f"codec {tag.codec!r} is not supported", timestamp)
            elif tag.kind is PacketKind.FRAME:
                self._audio_frame(timestamp, tag, codec)
            elif tag.kind is PacketKind.SEQUENCE_START and CODECS[codec].config_of is None:
                self._set_track(TrackKind.AUDIO, tag.track_id, codec, tag.payload)

    def closed(self, is_clean: bool) -> None:
        if not self._is_over:
            self._is_over = True
            self._go_live()
            self._hub.release(self._stream.room_id, self, is_clean)

    # Publisher

    def replaced(self) -> None:
        self._is_over = True
        self._connection.close(REPLACED, "another publisher took over this stream key")

    def kicked(self, reason: str) -> None:
        self._is_over = True
        self._connection.close(KICKED, reason)

    # Tracks

    def _set_track(self, kind: TrackKind, publisher_track: int, codec: Codec, config: bytes) -> None:
        """A new track, or a new configuration of one."""
        try:
            description = describe_config(codec, config)
        except MediaError as error:
            raise FlvTagError(f"{codec.value} configuration: {error}") from error
        rate = description.sample_rate if isinstance(description, AudioDescription) else VIDEO_CLOCK_RATE
        track = Track(_track_id(kind, publisher_track), kind, codec, rate, config)
        known = self._inputs.get((kind, publisher_track))
        if known is not None and known.track == track:
            return
        if known is not None and known.track.clock_rate == rate:
            known.track, known.samples_of = track, _samples_of(codec, description)
        elif known is None and len(self._inputs) >= MAX_TRACKS:
            raise FlvTagError(f"more than {MAX_TRACKS} tracks")
        else:
            self._inputs[kind, publisher_track] = _TrackInput(track, _samples_of(codec, description))
        self._track_changed(track)

    def _track_changed(self, track: Track) -> None:
        if self._gathering is not None:
            self._gathering.add_track(track)
        else:
            self._announce()

    def _announce(self) -> None:
        tracks = sorted((known.track for known in self._inputs.values()), key=lambda track: track.id)
        if tracks:
            self._hub.set_tracks(self._stream, tracks, self._metadata)

    def _go_live(self) -> None:
        gathering, self._gathering = self._gathering, None
        if gathering is None or not gathering.packets:
            return
        self._announce()
        for packet in gathering.packets:
            self._stream.publish(packet)

    # Frames

    def _video_frame(self, timestamp: int, tag: VideoTag, codec: Codec) -> None:
        known = self._inputs.get((TrackKind.VIDEO, tag.track_id))
        if known is None or known.track.codec is not codec or not tag.payload:
            self._counters.dropped_packets += 1
            return
        track = known.track
        payload = tag.payload
        if codec is Codec.AV1:
            payload = self._parsed_av1(payload)
        dts = known.clock.ticks(self._place(track.id, timestamp))
        pts = dts + self._composition_ms(tag) * VIDEO_TICKS_PER_MS
        self._deliver(MediaPacket(track, dts, pts, tag.is_keyframe, payload, self._now()))

    def _composition_ms(self, tag: VideoTag) -> int:
        """How long after decoding a frame is shown; 0, and a repair, for what would tear outputs apart."""
        if abs(tag.composition_time) <= MAX_COMPOSITION_MS:
            return tag.composition_time
        self._counters.timestamp_repairs += 1
        return 0

    def _audio_frame(self, timestamp: int, tag: AudioTag, codec: Codec) -> None:
        known = self._inputs.get((TrackKind.AUDIO, tag.track_id))
        if known is None or known.track.codec is not codec:
            known = self._self_describing(tag, codec)
        if known is None or not tag.payload:
            self._counters.dropped_packets += 1
            return
        placed = self._place(known.track.id, timestamp)
        dts = known.clock.ticks(placed, known.samples_of(tag.payload))
        self._deliver(MediaPacket(known.track, dts, dts, True, tag.payload, self._now()))

    def _self_describing(self, tag: AudioTag, codec: Codec) -> _TrackInput | None:
        """The input of a codec that has no sequence header, made by its first frame."""
        config_of = CODECS[codec].config_of
        if config_of is None or not tag.payload:
            return None
        try:
            config = config_of(tag.payload)
        except MediaError as error:
            raise FlvTagError(f"{codec.value} frame: {error}") from error
        self._set_track(TrackKind.AUDIO, tag.track_id, codec, config)
        return self._inputs[TrackKind.AUDIO, tag.track_id]

    def _place(self, track_id: int, timestamp: int) -> int:
        timeline = self._stream.timeline
        repairs = timeline.repairs
        placed = timeline.place(track_id, self._unwrapper.unwrap(timestamp))
        self._counters.timestamp_repairs += timeline.repairs - repairs
        return placed

    def _deliver(self, packet: MediaPacket) -> None:
        self._counters.packets += 1
        self._counters.bytes += len(packet.payload)
        if self._gathering is None:
            self._stream.publish(packet)
            return
        self._gathering.add_packet(packet)
        if self._gathering.is_complete:
            self._go_live()

    # Refusals

    def _parsed(self, parse: Callable[[bytes], list[AnyTag]], timestamp: int, body: bytes) -> list[AnyTag]:
        if self._is_over:
            return []
        try:
            return parse(body)
        except UnsupportedCodecError as error:
            self._refuse(str(error), timestamp)
            return []

    def _parsed_av1(self, payload: bytes) -> bytes:
        try:
            return without_temporal_delimiters(payload)
        except MediaError as error:
            raise FlvTagError(f"AV1 frame: {error}") from error

    def _refuse(self, reason: str, timestamp: int) -> None:
        """Say once per codec that it is not carried; the publisher's other tracks go on, if it has any."""
        self._counters.dropped_packets += 1
        if self._refusals.add(reason, timestamp):
            logger.warning("codec_not_carried", room_id=self._stream.room_id, reason=reason)
        if self._refusals.is_hopeless and not self._inputs and not self._is_over:
            logger.warning("publisher_not_carried", room_id=self._stream.room_id, reason=str(self._refusals))
            self.closed(is_clean=False)
            self._connection.close(NOT_CARRIED, f"nothing here can be carried: {self._refusals}")


def _samples_of(codec: Codec, description: Description) -> Callable[[bytes], int]:
    """How many samples a frame holds; 0 where only the next one tells."""
    if codec is Codec.OPUS:
        return packet_samples
    samples = description.samples_per_frame if isinstance(description, AudioDescription) else 0
    return lambda _: samples


def _track_id(kind: TrackKind, publisher_track: int) -> int:
    """0 is the primary video and 1 the primary audio; the others interleave behind them."""
    return publisher_track * 2 + (0 if kind is TrackKind.VIDEO else 1)
