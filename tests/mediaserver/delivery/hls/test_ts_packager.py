"""MPEG-TS for players that know nothing newer."""

from mediaserver.delivery.hls.options import HlsOptions
from mediaserver.delivery.hls.ts_packager import TsPackager
from mediaserver.media.packet import MediaPacket
from tests.mediaserver.delivery.hls.streams import AUDIO, OTHER_VIDEO, VIDEO, frames, merged, sounds


class Station:
    """A packager and its playlist, taken apart."""

    def __init__(self, options: HlsOptions | None = None) -> None:
        self.now = 0.0
        self.packager = TsPackager(options or HlsOptions(), lambda: self.now)

    def feed(self, *streams: list[MediaPacket]) -> None:
        for packet in merged(*streams):
            self.packager.on_packet(packet)

    @property
    def lines(self) -> list[str]:
        return self.packager.playlist().decode().splitlines()

    @property
    def durations(self) -> list[float]:
        return [float(line[8:-1]) for line in self.lines if line.startswith("#EXTINF:")]

    def value(self, tag: str) -> int:
        return int(next(line.partition(":")[2] for line in self.lines if line.startswith(f"#{tag}:")))


def test_segments_end_at_keyframes():
    station = Station()
    station.packager.on_tracks((VIDEO, AUDIO), {})
    station.feed(frames(30, 9, 2), sounds(9))
    assert station.durations == [2.0] * 4
    assert station.value("EXT-X-TARGETDURATION") == 2


def test_the_first_segment_decides_and_a_longer_group_is_cut():
    station = Station()
    station.packager.on_tracks((VIDEO,), {})
    station.feed(frames(30, 4, 4) + frames(30, 30, 9, start=4))
    assert station.value("EXT-X-TARGETDURATION") == 4
    assert max(station.durations) < 4.5


def test_a_stream_without_a_second_keyframe_is_cut_all_the_same():
    station = Station()
    station.packager.on_tracks((VIDEO,), {})
    station.feed(frames(30, 200, 1000))
    assert station.value("EXT-X-TARGETDURATION") == 10
    assert len(station.durations) == 8


def test_a_change_is_a_discontinuity_that_waits_for_a_keyframe():
    station = Station()
    station.packager.on_tracks((VIDEO, AUDIO), {})
    station.feed(frames(30, 5, 2), sounds(5))
    station.packager.on_tracks((VIDEO, AUDIO), {"encoder": "x"})
    station.packager.on_tracks((OTHER_VIDEO, AUDIO), {})
    station.feed(frames(30, 45, 2, start=5, track=OTHER_VIDEO)[7:], sounds(45, start=5))
    assert station.value("EXT-X-DISCONTINUITY-SEQUENCE") == 1
    station.packager.on_interrupted()
    station.feed(frames(30, 5, 2, start=60, track=OTHER_VIDEO))
    assert station.lines.count("#EXT-X-DISCONTINUITY") == 1


def test_the_end():
    station = Station()
    station.packager.on_tracks((AUDIO,), {})
    station.feed(sounds(7))
    station.packager.on_end()
    assert station.lines[-1] == "#EXT-X-ENDLIST"
    assert sum(station.durations) > 6.9


def test_bytes_are_bounded():
    station = Station(HlsOptions(max_bytes=100_000))
    station.packager.on_tracks((VIDEO,), {})
    for packet in frames(30, 120, 1000):
        station.packager.on_packet(
            MediaPacket(
                VIDEO, packet.dts, packet.pts, packet.is_keyframe, b"\0\0\0\x05\x61" + bytes(4000), 0.0
            )
        )
        assert station.packager._store.total + station.packager._size < 150_000


def test_nobody_there():
    station = Station()
    assert not station.packager.sweep(10)
    assert station.packager.sweep(31)
    station.now = 20.0
    station.packager.touch()
    assert not station.packager.sweep(31)
