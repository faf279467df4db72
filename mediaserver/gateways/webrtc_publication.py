"""What the hub sees of a room's WebRTC program: one publisher with at most a picture and a sound."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol, TypeAlias

from mediaserver.gateways.track_gathering import TrackGathering
from mediaserver.gateways.webrtc_audience import AUDIENCE_OUTPUT
from mediaserver.gateways.webrtc_reading import PlacedFrame
from mediaserver.hub.hub import Hub
from mediaserver.hub.stream import Stream
from mediaserver.media.codecs import primary
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind
from sfu.protocol.parameters import Kind

KEYFRAME_SECONDS: Final = 2.0
"""Between keyframes while somebody watches or packages the stream."""
IDLE_KEYFRAME_SECONDS: Final = 10.0
"""While nobody does, so that newcomers find a group of pictures to begin with."""
PICTURE_SECONDS: Final = 3.0
"""An encoder that just begins may take so long for its first keyframe. Sound from before it is left out:
players that find no picture at the beginning look for none later.
"""
CLOCK_RATES: Final[dict[Kind, int]] = {"video": 90_000, "audio": 48_000}

_TRACKS: Final[dict[Kind, tuple[int, TrackKind]]] = {
    "video": (0, TrackKind.VIDEO),
    "audio": (1, TrackKind.AUDIO),
}
_METADATA_FIELDS: Final[dict[Kind, str]] = {"video": "videocodecid", "audio": "audiocodecid"}
_WITHOUT_KEYFRAMES: Final = ("audio-", AUDIENCE_OUTPUT)
"""How the names of outputs begin that need no keyframes."""


AroundOpus: TypeAlias = Callable[[Stream], AbstractContextManager[None]]


def unmoved(stream: Stream) -> AbstractContextManager[None]:
    """Where all players know Opus."""
    return nullcontext()


class Program(Protocol):
    """Where the frames come from."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """What the program is made of now."""

    def ended(self, reason: str) -> None:
        """The hub wants no more of it."""


class WebRtcPublication:
    """What the hub sees of a room's program. Implements ``hub.hub.Publisher``."""

    def __init__(self, hub: Hub, room_id: str, program: Program, around_opus: AroundOpus = unmoved) -> None:
        """``around_opus`` is entered while the sound of a stream that is live becomes Opus."""
        now = asyncio.get_running_loop().time()
        self._hub = hub
        self._program = program
        self._around_opus = around_opus
        self._stream: Stream = hub.open(room_id, self)
        self._stream.resume_timeline(now)
        self._gathering: TrackGathering | None = TrackGathering()
        self._tracks: dict[Kind, Track] = {}
        self._last_dts: dict[Kind, int] = {}
        self._keyframe_at = now
        self._began_at: float | None = None

    # Publisher

    def replaced(self) -> None:
        self._program.ended("another publisher took over")

    def kicked(self, reason: str) -> None:
        self._program.ended(reason)

    # Media

    def add(self, kind: Kind, placed: PlacedFrame) -> None:
        """Publish a frame, or hold it back until all tracks are known."""
        frame = placed.frame
        if self._began_at is None:
            self._began_at = frame.received_at
        if frame.config is None or (kind == "audio" and self._waits_for_picture(frame.received_at)):
            return
        track = self._track(kind, placed, frame.config)
        dts = self._dts(kind, track, placed.ticks)
        if kind == "video" and frame.is_keyframe:
            self._keyframe_at = frame.received_at
        self._deliver(MediaPacket(track, dts, dts, frame.is_keyframe, frame.payload, frame.received_at))

    def is_keyframe_due(self, now: float) -> bool:
        """Whether outputs can do with another keyframe at ``now``."""
        since = now - self._keyframe_at
        if since < KEYFRAME_SECONDS:
            return False
        return since >= IDLE_KEYFRAME_SECONDS or self._has_audience()

    def closed(self, is_clean: bool) -> None:
        """The publisher is gone."""
        self._go_live()
        self._hub.release(self._stream.room_id, self, is_clean)

    def _waits_for_picture(self, now: float) -> bool:
        if self._gathering is None or self._began_at is None or "video" in self._tracks:
            return False
        return "video" in self._program.kinds and now - self._began_at < PICTURE_SECONDS

    def _track(self, kind: Kind, placed: PlacedFrame, config: bytes) -> Track:
        known = self._tracks.get(kind)
        if known is not None and known.codec is placed.codec and known.config == config:
            return known
        track_id, track_kind = _TRACKS[kind]
        track = Track(track_id, track_kind, placed.codec, CLOCK_RATES[kind], config)
        self._tracks[kind] = track
        if self._gathering is not None:
            self._gathering.add_track(track)
        else:
            self._announce()
        return track

    def _dts(self, kind: Kind, track: Track, ticks: int) -> int:
        """The stream's timeline says where this publisher's time begins; its ticks stay exact."""
        milliseconds = ticks * 1000 // track.clock_rate
        moved = self._stream.timeline.place(track.id, milliseconds) - milliseconds
        dts = max(ticks + moved * track.clock_rate // 1000, self._last_dts.get(kind, -1) + 1)
        self._last_dts[kind] = dts
        return dts

    def _deliver(self, packet: MediaPacket) -> None:
        if self._gathering is None:
            self._stream.publish(packet)
            return
        self._gathering.expect({_METADATA_FIELDS[kind]: True for kind in self._program.kinds})
        self._gathering.add_packet(packet)
        if self._gathering.is_complete:
            self._go_live()

    def _go_live(self) -> None:
        gathering, self._gathering = self._gathering, None
        if gathering is None or not gathering.packets:
            return
        self._announce()
        for packet in gathering.packets:
            self._stream.publish(packet)

    def _announce(self) -> None:
        tracks = sorted(self._tracks.values(), key=lambda track: track.id)
        becomes_opus = self._stream.tracks and _is_opus(tracks) and not _is_opus(self._stream.tracks)
        with self._around_opus(self._stream) if becomes_opus else nullcontext():
            self._hub.set_tracks(self._stream, tracks, {})

    def _has_audience(self) -> bool:
        """Whether anybody watches or packages the stream."""
        return any(not name.startswith(_WITHOUT_KEYFRAMES) for name in self._stream.viewers_by_output())


def _is_opus(tracks: Sequence[Track]) -> bool:
    audio = primary(tracks, TrackKind.AUDIO)
    return audio is not None and audio.codec is Codec.OPUS
