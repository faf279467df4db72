"""A stream whose sound is AAC, beside one whose sound is Opus: for outputs whose players know no Opus.

Rules:

* It is a Stream like any other: broadcasts and packagers attach to it, and who watches it counts as a viewer
  of the original. Made on first demand, it ends with the original, or some time after its last output.
* Pictures wait for the sound of their time, which comes out of the transcoder a little later: what is not in
  step makes packagers cut sound off. They do not wait long, nor for sound that does not come.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Final

from mediaserver.hub.gop_cache import GopCacheLimits
from mediaserver.hub.ports import Metadata
from mediaserver.hub.stream import Stream, StreamState
from mediaserver.media.codecs import primary
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind
from mediaserver.transcode.audio import SAMPLE_RATE
from mediaserver.transcode.audio_sharing import TranscodedAudio, transcoded_audio

OUTPUT_NAME: Final = "aac"
LINGER_SECONDS: Final = 10.0
MAX_WAIT_SECONDS: Final = 0.3
"""For sound that is being transcoded: some frames of decoder, encoder and queue."""
MAX_SILENCE_SECONDS: Final = 0.5
"""Without any sound, pictures wait no more."""
MAX_HELD: Final = 4096
"""Pictures that wait; as many as a group of pictures may have."""
AAC_CONFIG: Final = bytes.fromhex("119056e500")
"""What the encoder will say: AAC-LC, 48 kHz, stereo, explicitly without SBR."""


def aac_stream(
    stream: Stream,
    executor: Executor,
    gop_cache: GopCacheLimits | None = None,
    linger_seconds: float = LINGER_SECONDS,
) -> Stream:
    """The stream with its sound as AAC; the stream itself where no sound needs to be transcoded.

    While there is one beside it, that is the one: publishers with Opus and with AAC may take turns.
    """
    audio = primary(stream.tracks, TrackKind.AUDIO)
    needs_none = audio is None or audio.codec is not Codec.OPUS
    if needs_none and stream.find_shared(OUTPUT_NAME) is None:
        return stream

    def make() -> _AacFeed:
        return _AacFeed(stream, executor, gop_cache or GopCacheLimits(), linger_seconds)

    feed = stream.shared(OUTPUT_NAME, make)
    feed.begin()
    return feed.stream


class _AacFeed:
    """Feeds the other stream. Implements ``hub.ports.Output`` and ``TranscodedAudioUser``."""

    def __init__(
        self, source: Stream, executor: Executor, gop_cache: GopCacheLimits, linger_seconds: float
    ) -> None:
        self.stream: Final = Stream(source.room_id, gop_cache)
        self._source = source
        self._executor = executor
        self._linger_seconds = linger_seconds
        self._loop = asyncio.get_running_loop()
        self._transcoder: TranscodedAudio | None = None
        self._tracks: tuple[Track, ...] = ()
        self._metadata: Metadata = {}
        self._audio: Track | None = None
        self._has_failed = False
        self._source_audio: int | None = None
        self._held: deque[tuple[float, MediaPacket]] = deque()
        self._sound_until = float("-inf")
        """Media time up to which sound was published."""
        self._heard_at = float("-inf")
        """When the original's last sound came."""
        self._linger = self._loop.call_later(linger_seconds, self._look_for_outputs)

    @property
    def viewer_count(self) -> int:
        return self.stream.viewer_count

    def begin(self) -> None:
        """Have the sound transcoded, if that is not being done yet."""
        if self._transcoder is None and not self._has_failed:
            self._transcoder = transcoded_audio(self._source, Codec.AAC, self._executor)
            self._transcoder.add(self)

    # Output

    def on_tracks(self, tracks: Sequence[Track], metadata: Metadata) -> None:
        audio = primary(tracks, TrackKind.AUDIO) if not self._has_failed else None
        self._publish_held()
        self._tracks = tuple(track for track in tracks if track.kind is TrackKind.VIDEO)
        self._metadata = metadata
        self._source_audio = audio.id if audio is not None else None
        if audio is None or audio.codec is Codec.AAC:
            self._audio = audio
        elif self._audio is None or self._audio.id != audio.id:
            self._audio = Track(audio.id, TrackKind.AUDIO, Codec.AAC, SAMPLE_RATE, AAC_CONFIG)
        self._announce()

    def on_packet(self, packet: MediaPacket) -> None:
        if packet.track.kind is TrackKind.AUDIO:
            if packet.track.id == self._source_audio:
                self._heard_at = packet.received_at
            return
        self._held.append((self._loop.time(), packet))
        self._release()

    def on_interrupted(self) -> None:
        self._publish_held()
        self.stream.interrupt()

    def on_end(self) -> None:
        self._linger.cancel()
        self._publish_held()
        self.stream.end()

    # TranscodedAudioUser

    def on_audio_track(self, track: Track) -> None:
        if track != self._audio:
            self._audio = track
            self._announce()

    def on_audio_packet(self, packet: MediaPacket) -> None:
        self._sound_until = packet.dts / packet.track.clock_rate
        self._release()
        self.stream.publish(packet)

    def on_audio_end(self, reason: str) -> None:
        """The pictures go on without sound, unless all is over."""
        if self._source.state is StreamState.ENDED:
            return
        self._has_failed = True
        self._source_audio = self._audio = None
        self._publish_held()
        self._announce()

    # Order

    def _release(self) -> None:
        """Publish the pictures that have waited long enough, or whose sound is there."""
        now = self._loop.time()
        while self._held:
            since, picture = self._held[0]
            is_over = now - since >= MAX_WAIT_SECONDS or len(self._held) > MAX_HELD
            is_silent = self._audio is None or picture.received_at - self._heard_at > MAX_SILENCE_SECONDS
            is_in_step = picture.dts / picture.track.clock_rate <= self._sound_until
            if not (is_over or is_silent or is_in_step):
                return
            self._held.popleft()
            self.stream.publish(picture)

    def _publish_held(self) -> None:
        held, self._held = self._held, deque()
        for _, picture in held:
            self.stream.publish(picture)

    def _announce(self) -> None:
        audio = (self._audio,) if self._audio is not None else ()
        tracks = sorted((*self._tracks, *audio), key=lambda track: track.id)
        self.stream.set_tracks(tracks, self._metadata)

    # Life

    def _look_for_outputs(self) -> None:
        if self.stream.viewers_by_output():
            self._linger = self._loop.call_later(self._linger_seconds, self._look_for_outputs)
            return
        self._source.detach(self)
        transcoder, self._transcoder = self._transcoder, None
        if transcoder is not None:
            transcoder.remove(self)
        self.stream.end()
