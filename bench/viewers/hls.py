"""An HLS viewer: reloads the playlist, fetches what is new, and watches a clock as a player would.

With low latency it blocks on the playlist that holds the next part (RFC 8216bis, 6.2.5.2) and fetches parts;
without, it polls and fetches segments. It begins at the hold-back, and stalls when the clock passes what it
has fetched.
"""

import asyncio
import time
from typing import Final
from urllib.parse import urljoin, urlsplit

from bench.errors import BenchError
from bench.targets import Target
from bench.viewers.figures import ViewerFigures
from bench.viewers.http1 import ResponseError
from bench.viewers.http_connection import HttpConnection, Sink
from bench.viewers.playlist import MediaPlaylist, parse_media_playlist, parse_variants
from bench.viewers.probe import MediaProbe

REQUEST_SECONDS: Final = 15.0
MAX_PLAYLIST_BYTES: Final = 1024 * 1024
SEGMENTS_BEHIND: Final = 3
"""How many segments before its end a player joins a playlist without parts (RFC 8216bis, 6.3.3)."""

Position = tuple[int, int]
"""Media sequence number and part index of what is fetched next; whole segments have index 0."""


class HlsViewer:
    """One player. ``wants_parts`` asks for low latency and refuses a playlist that has none."""

    def __init__(self, target: Target, wants_parts: bool, probe: MediaProbe | None) -> None:
        self.figures = ViewerFigures()
        self._connection = HttpConnection(target)
        self._path = target.path
        self._wants_parts = wants_parts
        self._probe = probe
        self._next: Position = (0, 0)
        self._clock: _PlaybackClock | None = None

    async def run(self) -> None:
        """Watch until the stream ends or the task is cancelled."""
        self.figures.started_at = time.monotonic()
        try:
            await self._watch()
            self.figures.error = "ended by the server"
        except (BenchError, OSError, TimeoutError) as error:
            self.figures.error = str(error) or type(error).__name__
        finally:
            self._connection.close()

    def restart(self, now: float) -> None:
        self.figures.restart(now)
        if self._clock is not None:
            self._clock.stalls = 0
        if self._probe is not None:
            self._probe.restart()

    def finish(self, now: float) -> None:
        self.figures.finish(now)
        # Fetching comes in bursts: only the playback clock tells a stall.
        self.figures.stalls = self._clock.finish(now) if self._clock is not None else 0
        if self._probe is not None:
            self._probe.report(self.figures)

    async def _watch(self) -> None:
        playlist = await self._first_playlist()
        if self._wants_parts and not (playlist.part_target and playlist.can_block):
            raise ResponseError("the playlist has no parts or no blocking reload")
        self.figures.hold_back = playlist.part_hold_back if self._wants_parts else playlist.hold_back
        if playlist.initialization is not None:
            await self._fetch(playlist.initialization)
        self._next = _joining_position(playlist, self._wants_parts)
        while True:
            fetched = await self._fetch_new(playlist)
            if playlist.is_ended:
                return
            if not self._wants_parts:
                await asyncio.sleep(playlist.target_duration * (1.0 if fetched else 0.5))
            playlist = await self._reload(playlist)

    async def _first_playlist(self) -> MediaPlaylist:
        text = await self._text(self._path)
        variants = parse_variants(text)
        if variants:
            self._path = self._resolve(variants[0])
            text = await self._text(self._path)
        return parse_media_playlist(text)

    async def _reload(self, playlist: MediaPlaylist) -> MediaPlaylist:
        if not self._wants_parts:
            return parse_media_playlist(await self._text(self._path))
        sequence, part = self._next
        directives = f"_HLS_msn={sequence}&_HLS_part={part}" + ("&_HLS_skip=YES" if playlist.can_skip else "")
        separator = "&" if "?" in self._path else "?"
        return parse_media_playlist(await self._text(f"{self._path}{separator}{directives}"))

    async def _fetch_new(self, playlist: MediaPlaylist) -> bool:
        """Fetch everything from ``_next`` on that ``playlist`` lists; whether there was anything."""
        begin = self._next
        oldest = playlist.segments[0].sequence if playlist.segments else 0
        if oldest > self._next[0]:
            self.figures.gaps += 1
            self._next = (oldest, 0)
        for segment in playlist.segments:
            if segment.sequence < self._next[0]:
                continue
            if self._wants_parts and segment.parts:
                for part in segment.parts[self._next[1] :]:
                    await self._fetch_media(part.uri, part.duration)
                    self._next = (segment.sequence, self._next[1] + 1)
                if segment.uri:
                    self._next = (segment.sequence + 1, 0)
            elif segment.uri:
                await self._fetch_media(segment.uri, segment.duration)
                self._next = (segment.sequence + 1, 0)
        return self._next != begin

    async def _fetch_media(self, uri: str, duration: float) -> None:
        await self._fetch(uri)
        now = time.monotonic()
        if self._clock is None:
            self.figures.media_at = now
            self._clock = _PlaybackClock(now)
        self._clock.fetched(duration, now)

    async def _fetch(self, uri: str) -> None:
        sink: Sink = len if self._probe is None else self._probe.feed

        def take(piece: memoryview) -> None:
            self.figures.arrived(len(piece), time.monotonic())
            sink(piece)

        await self._get(self._resolve(uri), take)

    async def _text(self, path: str) -> str:
        body = bytearray()

        def take(piece: memoryview) -> None:
            body.extend(piece)
            if len(body) > MAX_PLAYLIST_BYTES:
                raise ResponseError(f"playlist longer than {MAX_PLAYLIST_BYTES} bytes")

        await self._get(path, take)
        return body.decode("utf-8", "replace")

    async def _get(self, path: str, sink: Sink) -> None:
        head = await self._connection.get(path, sink, REQUEST_SECONDS)
        if head.status != 200:
            raise ResponseError(f"HTTP status {head.status} for {path}")

    def _resolve(self, uri: str) -> str:
        """The path of ``uri`` relative to the playlist; always on the same server."""
        parts = urlsplit(urljoin(self._path, uri))
        return parts.path + (f"?{parts.query}" if parts.query else "")


class _PlaybackClock:
    """Plays what was fetched at normal speed from the first piece on."""

    def __init__(self, now: float) -> None:
        self._plays_until = now
        self.stalls = 0

    def fetched(self, duration: float, now: float) -> None:
        if now > self._plays_until:
            self.stalls += 1
            self._plays_until = now
        self._plays_until += duration

    def finish(self, now: float) -> int:
        """Stalls since the beginning, one more if it stands still now."""
        return self.stalls + (now > self._plays_until)


def _joining_position(playlist: MediaPlaylist, wants_parts: bool) -> Position:
    """The latest independent part at or before the hold-back, or three segments before the end."""
    if not playlist.segments:
        return (0, 0)
    if not wants_parts:
        return (playlist.segments[-SEGMENTS_BEHIND:][0].sequence, 0)
    behind = 0.0
    position = (playlist.segments[-1].sequence, 0)
    for segment in reversed(playlist.segments):
        for index, part in reversed(list(enumerate(segment.parts))):
            behind += part.duration
            if part.is_independent:
                position = (segment.sequence, index)
                if behind >= playlist.part_hold_back:
                    return position
    return position
