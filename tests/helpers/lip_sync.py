"""A clip that flashes and beeps once a second, and how far apart both are in what came of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import av
import numpy

from tests.helpers.ffmpeg import NEW, run

MARK_SECONDS: Final = 0.1
QUIET_SECONDS: Final = 0.5
LIGHT: Final = 128
LOUD: Final = 0.1
_MARK: Final = f"lt(mod(t,1),{MARK_SECONDS})"


def make_sync_clip(path: Path, seconds: int = 10) -> Path:
    """H.264 without B-frames, of a profile that every browser decodes, and Opus."""
    flash = f"color=black:size=320x180:rate=30,drawbox=color=white:t=fill:enable='{_MARK}'"
    beep = f"aevalsrc='0.8*sin(2*PI*1000*t)*{_MARK}':s=48000:c=stereo"
    video = ("-c:v", "libx264", "-profile:v", "baseline", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
    inputs = ("-f", "lavfi", "-i", flash, "-f", "lavfi", "-i", beep)
    run(NEW, *inputs, "-t", str(seconds), *video, "-g", "30", "-c:a", "libopus", "-b:a", "64k", str(path))
    return path


@dataclass(frozen=True, slots=True)
class Recording:
    """What was decoded of a file."""

    pictures: list[tuple[float, float]]
    """When, and how light."""
    beeps: list[float]

    @property
    def flashes(self) -> list[float]:
        """When it became light."""
        lights = [(at, level > LIGHT) for at, level in self.pictures]
        return [at for (_, before), (at, now) in pairwise(lights) if now and not before]

    @property
    def offsets(self) -> list[float]:
        """Seconds by which each beep is later than its flash."""
        return [
            min((beep - flash for beep in self.beeps), key=abs)
            for flash in self.flashes
            if any(abs(beep - flash) < QUIET_SECONDS for beep in self.beeps)
        ]


def decode(path: Path) -> Recording:
    """Decode all of a file; raises av.FFmpegError for what cannot be decoded."""
    with av.open(str(path)) as container:
        pictures = [
            (float(frame.time or 0), float(frame.to_ndarray(format="gray").mean()))
            for frame in container.decode(video=0)
        ]
    with av.open(str(path)) as container:
        return Recording(pictures, list(_beeps(container)))


def _beeps(container: av.container.InputContainer) -> Iterator[float]:
    silent_since, to_mono = None, av.AudioResampler("fltp", "mono", 48_000)
    for frame in container.decode(audio=0):
        for sound in to_mono.resample(frame):
            loud = numpy.flatnonzero(numpy.abs(sound.to_ndarray()[0]) > LOUD)
            start = float(sound.time or 0)
            if loud.size:
                if silent_since is not None and start - silent_since > QUIET_SECONDS:
                    yield start + int(loud[0]) / 48_000
                silent_since = None
            elif silent_since is None:
                silent_since = start
