"""A publisher under a test's control: what it sends, when, and how its connection ends."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Final

from mediaserver.media.packet import Codec, MediaPacket, TrackKind
from rtmp.client import RtmpClient
from rtmp.protocol import flv_tags
from rtmp.protocol.errors import RtmpError
from rtmp.protocol.flv_tags import AudioTag, PacketKind, VideoTag, serialize_audio, serialize_video
from tests.helpers.encoded import Encoded, encode

SPARE_MS: Final = 60
"""Between the last packet of one round of the clip and the first of the next, at least."""

Stamp = Callable[[int], int]
"""From milliseconds of media to the timestamp that is sent."""


class Camera:
    """Sends the test clip over and over in real time; ``stamp`` bends its clock."""

    def __init__(self, client: RtmpClient, stamp: Stamp = lambda ms: ms) -> None:
        self.client: Final = client
        self.clip: Final[Encoded] = encode(Codec.H264, Codec.AAC)
        self.packets_sent = 0
        self._stamp = stamp

    @classmethod
    @asynccontextmanager
    async def publishing(cls, url: str, stamp: Stamp = lambda ms: ms) -> AsyncIterator["Camera"]:
        """A camera that runs; at the end it says goodbye, if it still can."""
        async with await RtmpClient.connect(url) as client:
            await client.publish()
            camera = cls(client, stamp)
            camera.send_headers()
            running = asyncio.create_task(camera.run())
            try:
                yield camera
            finally:
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running

    def send_headers(self) -> None:
        at = self._stamp(0)
        for track in self.clip.tracks:
            if track.kind is TrackKind.VIDEO:
                video = VideoTag(flv_tags.AVC, PacketKind.SEQUENCE_START, True, 0, track.config, 0)
                self.client.write_video(at, serialize_video(video))
            else:
                audio = AudioTag(flv_tags.AAC, PacketKind.SEQUENCE_START, track.config, 0)
                self.client.write_audio(at, serialize_audio(audio))

    async def run(self) -> None:
        """Send until cancelled or the connection is gone."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        with suppress(RtmpError):
            for ms, packet in self.endless():
                await asyncio.sleep(max(0.0, start + ms / 1000 - loop.time()))
                self.send(ms, packet)
                await self.client.drain()

    def send(self, ms: int, packet: MediaPacket) -> None:
        if packet.track.kind is TrackKind.VIDEO:
            offset = (packet.pts - packet.dts) * 1000 // packet.track.clock_rate
            video = VideoTag(
                flv_tags.AVC, PacketKind.FRAME, packet.is_keyframe, offset, bytes(packet.payload), 0
            )
            self.client.write_video(self._stamp(ms), serialize_video(video))
        else:
            audio = AudioTag(flv_tags.AAC, PacketKind.FRAME, bytes(packet.payload), 0)
            self.client.write_audio(self._stamp(ms), serialize_audio(audio))
        self.packets_sent += 1

    def endless(self) -> Iterator[tuple[int, MediaPacket]]:
        """(ms of media, packet), round after round."""
        period = max(milliseconds(packet) for packet in self.clip.packets) + SPARE_MS
        for turn in count():
            for packet in self.clip.packets:
                yield turn * period + milliseconds(packet), packet

    def kill(self) -> None:
        """The connection is cut without a word, as by a crash."""
        self.client.abort()


def milliseconds(packet: MediaPacket) -> int:
    return packet.dts * 1000 // packet.track.clock_rate
