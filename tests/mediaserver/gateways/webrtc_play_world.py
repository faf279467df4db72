"""A room whose stream is published by hand, and what its router sends."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from mediaserver.gateways.rtp_h264 import H264Format
from mediaserver.gateways.webrtc_play import WebRtcPlay
from mediaserver.hub.hub import Hub
from mediaserver.hub.stream import Stream
from mediaserver.media.packet import MediaPacket, TrackKind
from sfu.protocol.rtp import parse
from tests.helpers.encoded import Encoded
from tests.mediaserver.gateways.rtmp_publishing import RecordingConnection
from tests.mediaserver.gateways.webrtc_room import ROOM, FakeLocalProducer, FakeRouter

GOP = 10
"""Frames from one keyframe to the next in the test clip."""


class OtherPublisher(RecordingConnection):
    """A publisher by another door."""

    def replaced(self) -> None: ...

    def kicked(self, reason: str) -> None: ...


class World:
    """A room whose stream is published by hand."""

    def __init__(self, executor: ThreadPoolExecutor, clip: Encoded) -> None:
        self.clip = clip
        self.hub = Hub(grace_seconds=60)
        self.published_by_router = False
        self.play = WebRtcPlay(self.hub, executor, lambda room: self.published_by_router)
        self.router = FakeRouter()
        self.publisher = OtherPublisher()
        self.at = 0

    def go_live(self, clip: Encoded | None = None) -> Stream:
        clip = clip or self.clip
        stream = self.hub.open(ROOM, self.publisher)
        self.hub.set_tracks(stream, clip.tracks, {})
        return stream

    def send(self, packet: MediaPacket) -> None:
        """Publish one packet as it is, but for arriving now."""
        stream = self.hub.find(ROOM)
        assert stream is not None
        now = asyncio.get_running_loop().time()
        stream.publish(
            MediaPacket(packet.track, packet.dts, packet.pts, packet.is_keyframe, packet.payload, now)
        )

    def send_pictures(self, first: int, last: int, clip: Encoded | None = None) -> None:
        for picture in (clip or self.clip).of(TrackKind.VIDEO)[first:last]:
            self.send(picture)

    @property
    def video(self) -> FakeLocalProducer:
        return self.router.local["video"]

    @property
    def audio(self) -> FakeLocalProducer:
        return self.router.local["audio"]


def pictures(producer: FakeLocalProducer) -> list[tuple[bytes, bool]]:
    """What a receiver makes of what was sent."""
    reader = H264Format()
    frames = []
    for packets in producer.frames:
        headers = [parse(packet) for packet in packets]
        assert [header.marker for header in headers] == [False] * (len(packets) - 1) + [True]
        frames.append(reader.assemble([p[h.payload_offset :] for p, h in zip(packets, headers, strict=True)]))
    return frames


async def turn() -> None:
    """Let what was put off to the loop's next turn happen."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
