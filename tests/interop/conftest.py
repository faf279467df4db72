from collections.abc import Iterator

import pytest

from tests.helpers.ffmpeg import NEW, Clip, make_clip
from tests.helpers.server_process import ServerProcess

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "30", "-b:v", "1M")
AAC = ("-c:a", "aac", "-b:a", "96k")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server") / "data") as server:
        yield server


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> "ClipShelf":
    return ClipShelf(tmp_path_factory)


class ClipShelf:
    """Clips by name, encoded when first asked for."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._folder = factory.mktemp("clips")
        self._made: dict[str, Clip] = {}

    def __getitem__(self, name: str) -> Clip:
        if name not in self._made:
            self._made[name] = getattr(self, f"_{name}")()
        return self._made[name]

    def _h264(self) -> Clip:
        path = make_clip(self._folder / "h264.flv", (*H264, "-bf", "0"), AAC)
        return Clip(path, "h264", "aac")

    def _b_frames(self) -> Clip:
        options = (*H264, "-preset", "veryfast", "-bf", "3", "-b_strategy", "0")
        return Clip(make_clip(self._folder / "b_frames.flv", options, AAC), "h264", "aac")

    def _1080p60(self) -> Clip:
        options = (*H264, "-b:v", "4M", "-g", "60")
        path = make_clip(self._folder / "1080p60.flv", options, AAC, seconds=8, size="1920x1080", rate=60)
        return Clip(path, "h264", "aac")

    def _audio_only(self) -> Clip:
        return Clip(make_clip(self._folder / "audio.flv", (), AAC), None, "aac")

    def _video_only(self) -> Clip:
        return Clip(make_clip(self._folder / "video.flv", H264), "h264", None)

    def _hevc(self) -> Clip:
        video = ("-c:v", "libx265", "-preset", "ultrafast", "-g", "30", "-x265-params", "log-level=error")
        path = make_clip(self._folder / "hevc.mkv", video, AAC, size="320x180", program=NEW)
        return Clip(path, "hevc", "aac", NEW)

    def _av1_opus(self) -> Clip:
        video = ("-c:v", "libsvtav1", "-preset", "12", "-g", "30", "-svtav1-params", "lookahead=0")
        audio = ("-c:a", "libopus", "-b:a", "64k")
        path = make_clip(self._folder / "av1.mkv", video, audio, size="320x180", program=NEW)
        return Clip(path, "av1", "opus", NEW)
