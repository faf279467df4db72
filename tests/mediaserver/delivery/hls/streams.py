"""Made-up streams, and a packager that is fed with them while every playlist is held against the RFC."""

from collections.abc import Iterable, Mapping, Sequence

from mediaserver.delivery.hls.options import HlsOptions
from mediaserver.delivery.hls.packager import HlsPackager
from mediaserver.delivery.hls.playlist import Skip
from mediaserver.delivery.hls.rendition import Rendition
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind
from tests.helpers.hls_checker import MediaPlaylist, check, check_delta, check_media, check_next, parse

AVC = bytes.fromhex("0142c01effe100196742c01eda0280bfe5c044000003000400000300f03c58ba8001000468ce3c80")
VIDEO = Track(0, TrackKind.VIDEO, Codec.H264, 90_000, AVC)
AUDIO = Track(1, TrackKind.AUDIO, Codec.AAC, 48_000, bytes.fromhex("1188"))
OTHER_VIDEO = Track(0, TrackKind.VIDEO, Codec.H264, 90_000, AVC[:-1] + b"\x81")
SECOND_VIDEO = Track(2, TrackKind.VIDEO, Codec.H264, 90_000, AVC)
SECOND_AUDIO = Track(3, TrackKind.AUDIO, Codec.AAC, 48_000, bytes.fromhex("1190"))
WALL_CLOCK = 1_800_000_000.0


def frames(
    rate: float, seconds: float, gop_seconds: float, *, start: float = 0.0, track: Track = VIDEO
) -> list[MediaPacket]:
    """Video as RTMP brings it: stamps rounded to milliseconds."""
    gop = max(1, round(rate * gop_seconds))
    return [
        frame(start + index / rate, is_keyframe=index % gop == 0, track=track)
        for index in range(int(seconds * rate))
    ]


def frame(
    at: float, *, is_keyframe: bool = False, offset: int = 0, track: Track = VIDEO, size: int = 40
) -> MediaPacket:
    """One frame, decoded at ``at`` seconds and presented ``offset`` ms later."""
    dts = int(at * 1000) * 90
    return MediaPacket(track, dts, dts + offset * 90, is_keyframe, bytes(size), at)


def with_b_frames(rate: float, seconds: float, gop_seconds: float) -> list[MediaPacket]:
    """I P B B P B B in decoding order; a P is presented three frames after decoding, behind its two Bs."""
    gop = round(rate * gop_seconds)
    made = []
    for index in range(int(seconds * rate)):
        place = index % gop
        delay = 1 if place == 0 else 3 if place % 3 == 1 and place + 2 < gop else 0
        made.append(frame(index / rate, is_keyframe=place == 0, offset=round(delay * 1000 / rate)))
    return made


def sounds(seconds: float, *, start: float = 0.0, track: Track = AUDIO) -> list[MediaPacket]:
    first = int(start * track.clock_rate / 1024)
    count = int(seconds * track.clock_rate / 1024)
    return [
        MediaPacket(track, n * 1024, n * 1024, True, b"a" * 100, n * 1024 / track.clock_rate)
        for n in range(first, first + count)
    ]


def merged(*packets: Iterable[MediaPacket]) -> list[MediaPacket]:
    everything = [packet for part in packets for packet in part]
    return sorted(everything, key=lambda packet: packet.dts / packet.track.clock_rate)


class StoreView(Mapping[str, bytes]):
    """What can be fetched from a packager."""

    def __init__(self, packager: HlsPackager) -> None:
        self._packager = packager

    def __getitem__(self, name: str) -> bytes:
        data = self._packager.data(name)
        if data is None:
            raise KeyError(name)
        return bytes(data)

    def __contains__(self, name: object) -> bool:
        return self._packager.data(str(name)) is not None

    def __iter__(self):  # type: ignore[no-untyped-def]
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError


class Watch:
    """Feeds a packager and checks all its playlists after every packet that changed one."""

    def __init__(self, options: HlsOptions | None = None) -> None:
        self.options = options or HlsOptions()
        self.now = 0.0
        self.packager = HlsPackager("room", self.options, lambda: self.now, lambda: WALL_CLOCK + self.now)
        self.seen: dict[str, list[MediaPlaylist]] = {}
        self._store = StoreView(self.packager)

    def tracks(self, *tracks: Track) -> None:
        self.packager.on_tracks(tracks, {})
        self.look()

    def feed(self, *streams: Sequence[MediaPacket]) -> None:
        for packet in merged(*streams):
            self.now = packet.dts / packet.track.clock_rate
            self.packager.on_packet(packet)
            self.look()

    def interrupt(self) -> None:
        self.packager.on_interrupted()
        self.look()

    def sweep(self, seconds: float) -> None:
        """Let time pass, with a look at the clock every second."""
        for _ in range(int(seconds)):
            self.now += 1
            self.packager.sweep(self.now)
            self.look()

    def end(self) -> None:
        self.packager.on_end()
        self.look()

    def look(self) -> None:
        if not self.packager.is_ready:
            return
        for rendition in self.packager.renditions.values():
            if rendition.is_listed:
                self._check(rendition)

    def _check(self, rendition: Rendition) -> None:
        listing = self.packager.playlist(rendition)
        text = listing.render().decode()
        history = self.seen.setdefault(rendition.name, [])
        if history and history[-1].text == text:
            return
        playlist = parse(text)
        check(playlist)
        check_media(playlist, self._store, rendition.track.clock_rate)
        if history:
            check_next(history[-1], playlist)
            for skip in (Skip.SEGMENTS, Skip.SEGMENTS_AND_DATE_RANGES):
                check_delta(history[-1], parse(listing.render(skip).decode()), playlist)
        history.append(playlist)

    def rendition(self, track: Track = VIDEO) -> Rendition:
        return self.packager.renditions[track.id]

    def last(self, track: Track = VIDEO) -> MediaPlaylist:
        return self.seen[self.rendition(track).name][-1]

    def durations(self, track: Track = VIDEO) -> list[float]:
        return [segment.duration for segment in self.last(track).complete]
