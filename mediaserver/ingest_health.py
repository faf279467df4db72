"""How a stream comes in, and what its streamer should know about it.

Rules:

* Every warning stands on figures that were measured: the stream's own statistics, a sample of them every
  SAMPLE_SECONDS, and the packets since the last keyframe, looked at when somebody asks.
* Nothing here is called per packet.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from uuid import UUID

from control_api.ports import IngestAudio, IngestHealth, IngestVideo, IngestWarning, LiveRooms
from mediaserver.hub.hub import Hub
from mediaserver.hub.ports import Metadata
from mediaserver.hub.statistics import StreamFigures
from mediaserver.hub.stream import Stream, StreamState
from mediaserver.media.codecs import AudioDescription, VideoDescription, describe, primary
from mediaserver.media.errors import CodecConfigError
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind

SAMPLE_SECONDS: Final = 2.5
SAMPLES: Final = 24
"""A minute of them."""
SAMPLES_PER_MEAN: Final = 4
"""Ten seconds: keyframes alone make two seconds of a steady stream differ from the next two."""
MIN_MEANS: Final = 3
SWING: Final = 2.5
MAX_KEYFRAME_SECONDS: Final = 4.5
MAX_SKEW_SECONDS: Final = 1.0
MAX_SILENCE_SECONDS: Final = 3.0
MIN_SILENT_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class _Sample:
    bitrate: int
    repairs: int


class _Recent:
    """The packets since the last keyframe. Implements mediaserver.hub.ports.Output, for a moment only."""

    viewer_count = 0

    def __init__(self) -> None:
        self.packets: list[MediaPacket] = []

    def on_tracks(self, tracks: Sequence[Track], metadata: Metadata) -> None: ...

    def on_packet(self, packet: MediaPacket) -> None:
        self.packets.append(packet)

    def on_interrupted(self) -> None: ...

    def on_end(self) -> None: ...


class HubIngestMonitor:
    """Implements control_api.ports.IngestMonitor. ``run`` is a task of the application.

    ``not_carried`` tells why something that a room's publisher sends does not reach the hub.
    """

    def __init__(
        self, hub: Hub, live: LiveRooms, not_carried: Callable[[str], str | None] = lambda room_id: None
    ) -> None:
        self._hub = hub
        self._live = live
        self._not_carried = not_carried
        self._samples: dict[str, deque[_Sample]] = {}

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(SAMPLE_SECONDS)

    def sample(self) -> None:
        """Note the figures of all streams, and forget those that ended."""
        streams = {stream.room_id: stream for stream in self._hub.streams()}
        self._samples = {room: samples for room, samples in self._samples.items() if room in streams}
        for room_id, stream in streams.items():
            if stream.state is StreamState.LIVE:
                samples = self._samples.setdefault(room_id, deque(maxlen=SAMPLES))
                samples.append(_Sample(stream.statistics.figures().bitrate, stream.timeline.repairs))

    def health(self, room_id: UUID) -> IngestHealth | None:
        stream = self._hub.find_live(str(room_id))
        if stream is None:
            in_vain = list(self._in_vain(str(room_id)))
            return IngestHealth(False, None, None, None, 0, 0.0, in_vain) if in_vain else None
        figures = stream.statistics.figures()
        return IngestHealth(
            stream.state is StreamState.INTERRUPTED,
            self._live.started_at(room_id),
            _video(stream, figures),
            _audio(stream),
            figures.bitrate,
            figures.audio_video_skew,
            list(self._warnings(stream, figures)),
        )

    def _warnings(self, stream: Stream, figures: StreamFigures) -> Iterator[IngestWarning]:
        if stream.state is not StreamState.LIVE:
            yield IngestWarning("interrupted", "the encoder is gone; waiting for it to come back")
            return
        samples = self._samples.get(stream.room_id, ())
        yield from self._in_vain(stream.room_id)
        yield from _silence(stream)
        yield from _video_warnings(stream, figures)
        yield from _audio_warnings(stream, figures)
        yield from _swings([sample.bitrate for sample in samples])
        yield from _jumps(stream.timeline.repairs - (samples[0].repairs if samples else 0))

    def _in_vain(self, room_id: str) -> Iterator[IngestWarning]:
        reason = self._not_carried(room_id)
        if reason is not None:
            yield IngestWarning("not_carried", reason)


def _video_warnings(stream: Stream, figures: StreamFigures) -> Iterator[IngestWarning]:
    track = primary(stream.tracks, TrackKind.VIDEO)
    if track is None:
        yield IngestWarning("no_video", "no video")
        return
    if track.codec is Codec.HEVC:
        yield IngestWarning("codec_support", "HEVC does not play in every browser; H.264 does")
    frames = [packet for packet in _recent(stream) if packet.track.id == track.id]
    interval = max(figures.keyframe_interval, _seconds(frames))
    if interval > MAX_KEYFRAME_SECONDS:
        yield IngestWarning(
            "keyframes_far_apart",
            f"keyframes {interval:.0f} s apart: viewers wait that long for a picture; set 2 s",
        )
    if any(later.pts < earlier.pts for earlier, later in pairwise(frames)):
        yield IngestWarning(
            "b_frames", "B-frames: they add delay, and WebRTC cannot play them; switch them off"
        )


def _audio_warnings(stream: Stream, figures: StreamFigures) -> Iterator[IngestWarning]:
    track = primary(stream.tracks, TrackKind.AUDIO)
    skew = figures.audio_video_skew
    if track is None:
        yield IngestWarning("no_audio", "no audio")
    elif _is_silent(_recent(stream)):
        yield IngestWarning("no_audio", "no audio: the track is there, but nothing comes in")
    elif abs(skew) > MAX_SKEW_SECONDS:
        direction = "ahead of" if skew > 0 else "behind"
        yield IngestWarning("audio_skew", f"audio {abs(skew):.1f} s {direction} the video")


def _is_silent(packets: Sequence[MediaPacket]) -> bool:
    """Whether seconds of video have come without any sound."""
    if any(packet.track.kind is TrackKind.AUDIO for packet in packets):
        return False
    return _seconds(packets) >= MIN_SILENT_SECONDS


def _silence(stream: Stream) -> Iterator[IngestWarning]:
    last = stream.statistics.last_received_at
    if last is None:
        return
    seconds = asyncio.get_running_loop().time() - last
    if seconds > MAX_SILENCE_SECONDS:
        yield IngestWarning("stalled", f"nothing has come in for {seconds:.0f} s")


def _swings(bitrates: Sequence[int]) -> Iterator[IngestWarning]:
    means = [
        sum(bitrates[first : first + SAMPLES_PER_MEAN]) / SAMPLES_PER_MEAN
        for first in range(0, len(bitrates) - SAMPLES_PER_MEAN + 1, SAMPLES_PER_MEAN)
    ]
    lowest, highest = min(means, default=0.0), max(means, default=0.0)
    if len(means) >= MIN_MEANS and highest > SWING * lowest:
        yield IngestWarning(
            "bitrate_swings",
            f"bitrate swings between {lowest / 1e6:.1f} and {highest / 1e6:.1f} Mbit/s; set a constant one",
        )


def _jumps(count: int) -> Iterator[IngestWarning]:
    if count > 0:
        times = "once" if count == 1 else f"{count} times"
        yield IngestWarning("timestamps_jumped", f"timestamps jumped {times} in the last minute")


def _recent(stream: Stream) -> list[MediaPacket]:
    """What a newcomer would be sent, by becoming one for a moment."""
    recent = _Recent()
    stream.attach(recent)
    stream.detach(recent)
    return recent.packets


def _seconds(frames: Sequence[MediaPacket]) -> float:
    return (frames[-1].dts - frames[0].dts) / frames[0].track.clock_rate if frames else 0.0


def _video(stream: Stream, figures: StreamFigures) -> IngestVideo | None:
    described = _described(primary(stream.tracks, TrackKind.VIDEO))
    if not isinstance(described, VideoDescription):
        return None
    return IngestVideo(
        described.codec_string,
        described.width,
        described.height,
        figures.frame_rate,
        figures.keyframe_interval,
    )


def _audio(stream: Stream) -> IngestAudio | None:
    described = _described(primary(stream.tracks, TrackKind.AUDIO))
    if not isinstance(described, AudioDescription):
        return None
    return IngestAudio(described.codec_string, described.sample_rate, described.channels)


def _described(track: Track | None) -> VideoDescription | AudioDescription | None:
    try:
        return describe(track) if track is not None else None
    except CodecConfigError:
        return None
