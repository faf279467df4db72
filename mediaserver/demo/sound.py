"""What the test pattern sounds like: a quiet tone, and a beep at the beginning of each second."""

import math
from array import array
from typing import Final

import av

from mediaserver.demo.picture import BEAT_SECONDS

SAMPLE_RATE: Final = 48_000
SAMPLE_BYTES: Final = 4

# Whole numbers of cycles a second, so that one second can be repeated without a click.
_TONE_HERTZ: Final = 220
_TONE_LEVEL: Final = 0.02
_BEEP_HERTZ: Final = 880
_BEEP_LEVEL: Final = 0.25
_FADE_SECONDS: Final = 0.005


class TestSound:
    """Cuts frames of stereo out of one second of sound that repeats for ever."""

    __test__ = False  # not one of pytest's

    def __init__(self, samples_per_frame: int) -> None:
        self._samples_per_frame = samples_per_frame
        second = array("f", map(_level, range(SAMPLE_RATE)))
        self._second = (second + second[:samples_per_frame]).tobytes()

    def frame(self, first_sample: int) -> av.AudioFrame:
        """The frame whose first sample is ``first_sample`` samples after the beginning of some second."""
        start = first_sample % SAMPLE_RATE * SAMPLE_BYTES
        channel = self._second[start : start + self._samples_per_frame * SAMPLE_BYTES]
        frame = av.AudioFrame(format="fltp", layout="stereo", samples=self._samples_per_frame)
        frame.sample_rate = SAMPLE_RATE
        for plane in frame.planes:
            plane.update(channel)
        return frame


def _level(sample: int) -> float:
    at = sample / SAMPLE_RATE
    fade = min(1.0, at / _FADE_SECONDS, max(0.0, (BEAT_SECONDS - at) / _FADE_SECONDS))
    beep = fade * _BEEP_LEVEL * math.sin(2 * math.pi * _BEEP_HERTZ * at)
    return beep + _TONE_LEVEL * math.sin(2 * math.pi * _TONE_HERTZ * at)
