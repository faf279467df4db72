"""The audio of a live stream in another codec, made once for all who want it.

Rules:

* It begins with the first user and ends ``linger_seconds`` after the last, since viewers come and go.
* The work is done in an executor that all streams share; packets of one stream stay in order because at most
  one batch of it is at work. The loop's thread only queues packets and hands results on.
* What does not fit in the queue is dropped, oldest first: it comes out as silence, never as delay.
* Where the stream has the wanted codec already, its packets are handed on as they are.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final, Protocol

import structlog

from mediaserver.hub.ports import Metadata
from mediaserver.hub.stream import Stream
from mediaserver.media.codecs import primary
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind
from mediaserver.transcode.audio import AudioConverter, TranscodeError

DEFAULT_WORKERS: Final = 2
LINGER_SECONDS: Final = 10.0
MAX_QUEUED: Final = 512
"""About ten seconds, so that what the group-of-pictures cache holds at the start is kept."""
MAX_BATCH: Final = 32

logger = structlog.get_logger("mediaserver.transcode")


class TranscodedAudioUser(Protocol):
    """Takes the packets. Calls are made on the loop's thread and must neither block nor raise."""

    def on_audio_track(self, track: Track) -> None:
        """What follows is of this track; called before its first packet, and when it changes."""

    def on_audio_packet(self, packet: MediaPacket) -> None: ...

    def on_audio_end(self, reason: str) -> None:
        """Nothing follows: the stream is over, or its audio cannot be transcoded."""


def make_executor(workers: int = DEFAULT_WORKERS) -> ThreadPoolExecutor:
    """The executor for every ``TranscodedAudio`` of the process; each stream takes 1 to 2 % of a core."""
    return ThreadPoolExecutor(workers, "transcode-audio")


def transcoded_audio(
    stream: Stream, target: Codec, executor: Executor, linger_seconds: float = LINGER_SECONDS
) -> "TranscodedAudio":
    """The stream's audio in ``target``, begun if nobody had it yet. Add a user at once, or it lingers out."""

    def make() -> TranscodedAudio:
        return TranscodedAudio(stream, target, executor, linger_seconds)

    return stream.shared(f"audio-{target.value}", make)


class TranscodedAudio:
    """Implements ``hub.ports.Output``."""

    def __init__(
        self, stream: Stream, target: Codec, executor: Executor, linger_seconds: float = LINGER_SECONDS
    ) -> None:
        self.target: Final = target
        self.dropped_packets = 0
        self._stream = stream
        self._executor = executor
        self._linger_seconds = linger_seconds
        self._loop = asyncio.get_running_loop()
        self._converter = AudioConverter(target)
        self._users: list[TranscodedAudioUser] = []
        self._queue: deque[MediaPacket] = deque()
        self._source_id: int | None = None
        self._track: Track | None = None
        self._is_working = self._is_converting = False
        self._is_over = False
        self._linger: asyncio.TimerHandle | None = None
        self._wait_for_users()

    @property
    def viewer_count(self) -> int:
        """Users count their own viewers."""
        return 0

    @property
    def user_count(self) -> int:
        return len(self._users)

    @property
    def is_over(self) -> bool:
        return self._is_over

    def add(self, user: TranscodedAudioUser) -> None:
        """Let ``user`` take part; packets that came before are not repeated."""
        if self._is_over:
            user.on_audio_end("transcoding is over")
            return
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        self._users = [*self._users, user]
        if self._track is not None:
            user.on_audio_track(self._track)

    def remove(self, user: TranscodedAudioUser) -> None:
        """The opposite of ``add``; a user that is not there is ignored."""
        if user in self._users:
            self._users = [other for other in self._users if other is not user]
            if not self._users:
                self._wait_for_users()

    # Output

    def on_tracks(self, tracks: Sequence[Track], metadata: Metadata) -> None:
        source = primary(tracks, TrackKind.AUDIO)
        self._source_id = source.id if source is not None else None

    def on_packet(self, packet: MediaPacket) -> None:
        if packet.track.id != self._source_id or self._is_over:
            return
        if len(self._queue) >= MAX_QUEUED:
            self._queue.popleft()
            self.dropped_packets += 1
        self._queue.append(packet)
        self._work()

    def on_interrupted(self) -> None:
        """Nothing to do: the timestamps tell what is missing."""

    def on_end(self) -> None:
        self._end("stream ended")

    # Work

    def _work(self) -> None:
        while self._queue and not self._is_working and not self._is_over:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))]
            if all(packet.track.codec is self.target for packet in batch):
                self._pass_on(batch)
                continue
            self._is_working = self._is_converting = True
            future = self._loop.run_in_executor(self._executor, self._converter.convert, batch)
            future.add_done_callback(self._worked)

    def _pass_on(self, batch: Sequence[MediaPacket]) -> None:
        if self._is_converting:
            # What it still holds of another publisher would come much later, with times long past.
            self._converter, self._is_converting = AudioConverter(self.target), False
        self._deliver(batch)

    def _worked(self, future: "asyncio.Future[list[MediaPacket]]") -> None:
        self._is_working = False
        if self._is_over or future.cancelled():
            return
        error = future.exception()
        if error is not None:
            self._fail(error)
            return
        self._deliver(future.result())
        self._work()

    def _deliver(self, packets: Sequence[MediaPacket]) -> None:
        for packet in packets:
            is_new = packet.track != self._track
            self._track = packet.track
            for user in self._users:
                if is_new:
                    user.on_audio_track(packet.track)
                user.on_audio_packet(packet)

    def _fail(self, error: BaseException) -> None:
        reason = str(error) if isinstance(error, TranscodeError) else "transcoding failed"
        logger.warning(
            "audio_not_transcoded",
            room_id=self._stream.room_id,
            reason=reason,
            exc_info=None if isinstance(error, TranscodeError) else error,
        )
        self._stream.detach(self)
        self._end(reason)

    # Life

    def _wait_for_users(self) -> None:
        if not self._is_over:
            self._linger = self._loop.call_later(self._linger_seconds, self._stop)

    def _stop(self) -> None:
        self._stream.detach(self)
        self._end("no users")

    def _end(self, reason: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        self._queue.clear()
        users, self._users = self._users, []
        for user in users:
            user.on_audio_end(reason)
