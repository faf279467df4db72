"""What tests do with a watch page: open it, read what it shows, wait until it plays."""

import asyncio
import json
from dataclasses import dataclass
from typing import Final

from mediaserver.demo.picture import TIME_CODE_CELLS, parse_time_code
from tests.helpers.chromium import Page
from tests.helpers.server_process import ServerProcess

PLAY_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.2

FRAMES: Final = "document.getElementById('video').getVideoPlaybackQuality().totalVideoFrames"
BUFFERED: Final = """(() => {
    const video = document.getElementById('video');
    const { buffered } = video;
    return buffered.length ? buffered.end(buffered.length - 1) - video.currentTime : null;
})()"""

READ_TIME_CODE: Final = """(() => {
    const video = document.getElementById('video');
    const canvas = document.createElement('canvas');
    canvas.width = video.videoWidth;
    canvas.height = 1;
    const context = canvas.getContext('2d');
    const row = video.videoHeight - 4;
    context.drawImage(video, 0, row, video.videoWidth, 1, 0, 0, video.videoWidth, 1);
    const now = Date.now() / 1000;
    const { data } = context.getImageData(0, 0, canvas.width, 1);
    const cell = Math.floor(video.videoWidth / CELLS);
    const isLight = (n) => data[4 * Math.floor((n + 0.5) * cell)] > 128;
    return [now, Array.from({ length: CELLS }, (_, n) => (isLight(n) ? '1' : '0')).join('')];
})()""".replace("CELLS", str(TIME_CODE_CELLS))


@dataclass(frozen=True, slots=True)
class Room:
    """A room on a server."""

    server: ServerProcess
    id: str
    stream_key: str

    @property
    def publish_url(self) -> str:
        return f"{self.server.rtmp_url}/{self.stream_key}"

    @property
    def page_url(self) -> str:
        """The watch page, which plays as it thinks best."""
        return f"{self.server.base_url}/watch/{self.id}"

    @property
    def watch_url(self) -> str:
        """The watch page, playing fMP4."""
        return f"{self.page_url}?player=fmp4"

    async def pass_media(self, seconds: float) -> None:
        """Wait until the stream is this much longer."""
        end = await self._media_time() + seconds
        while await self._media_time() < end:  # noqa: ASYNC110 (the server is another process)
            await asyncio.sleep(POLL_SECONDS)

    async def _media_time(self) -> float:
        _, body = await asyncio.to_thread(self.server.get, f"/live/{self.id}.json")
        return float(json.loads(body)["edge"]["mediaTime"])


@dataclass(frozen=True, slots=True)
class Watcher:
    """Somebody in front of a watch page."""

    page: Page

    async def watch(self, url: str) -> None:
        """Open the page and wait until pictures move."""
        await self.page.go(url)
        await self.wait_playing()

    async def wait_playing(self, frames: int = 30, seconds: float = PLAY_SECONDS) -> None:
        """Until ``frames`` more pictures were decoded and the page says that it is live.

        A player that begins anew counts from zero.
        """
        before = await self.page.evaluate(FRAMES)
        grown = f"({FRAMES} >= {before} + {frames} || ({FRAMES} < {before} && {FRAMES} >= {frames}))"
        await self.page.wait_for(f"{self._screen_is('live')} && {grown}", seconds)

    async def wait_screen(self, name: str, seconds: float = PLAY_SECONDS) -> None:
        await self.page.wait_for(self._screen_is(name), seconds)

    async def screen_text(self) -> str:
        return str(await self.page.evaluate("document.getElementById('screen').innerText"))

    async def buffered_seconds(self) -> float:
        """Media that is there but not shown yet."""
        return float(await self.page.evaluate(BUFFERED))

    async def latency(self) -> float:
        """Seconds from the encoder's clock in the test pattern to the picture on the screen."""
        now, cells = await self.page.evaluate(READ_TIME_CODE)
        return float(now) - parse_time_code(cells)

    def _screen_is(self, name: str) -> str:
        return f"document.getElementById('player').dataset.screen === '{name}'"
