"""Who speaks, from the audio levels in packets (RFC 6464), without decoding.

DominantSpeaker follows Volfin and Cohen, "Dominant Speaker Identification for Multipoint Videoconferencing"
(2013), with the constants that Jitsi and mediasoup found for it: a speaker takes over when the last
20 ms, 100 ms and second of speech are each likelier speech than those of the one who had the floor, so
that a cough or a door takes nothing from anybody.
"""

from __future__ import annotations

from math import comb, log, sqrt
from typing import NamedTuple

from sfu.protocol.rtp import Buffer, read_audio_level

INTERVAL = 0.3
"""Seconds between two decisions."""
LEVEL_PERIOD = 0.02
"""The scores count levels of 20 ms each."""
IDLE_AFTER = 0.04
"""A stream without packets for this long (DTX, mute, loss) is silent."""
SILENCE = 127
MIN_PACKETS = 10
"""Fewer levels in an interval make no average."""

_LEVELS = 50
_MEDIUMS = 10
_LEVELS_PER_MEDIUM = 5
_LEVEL_STEPS = 13
_STEP = (SILENCE + _LEVEL_STEPS - 1) // _LEVEL_STEPS
_MEDIUM_THRESHOLD = 7
_LONG_THRESHOLD = 4
_FLOOR_WINDOW = 750
_MIN_SCORE = 1e-10
_IMMEDIATE_RATIO = 3.0
_MEDIUM_RATIO = 2.0
_LONG_RATIO = 0.0


def _scores(steps: int, rate: float) -> tuple[float, ...]:
    """Return log(speech / silence) by how many of `steps` are active: binomial against exponential."""
    return tuple(
        max(_MIN_SCORE, log(comb(steps, active)) + steps * log(0.5) - log(rate) + rate * active)
        for active in range(steps + 1)
    )


_IMMEDIATE_SCORES = _scores(_LEVEL_STEPS, 0.78)
_MEDIUM_SCORES = _scores(_LEVELS_PER_MEDIUM, 24.0)
_LONG_SCORES = _scores(_MEDIUMS, 47.0)


def level_of(packet: Buffer, offset: int, length: int) -> int:
    """Return the level of a packet's audio level extension in -dBov: 0 is loudest, 127 silence."""
    return read_audio_level(packet, offset, length)[0]


class _Speaker:
    """The last second of one stream and the noise floor under it."""

    __slots__ = (
        "_floor",
        "_floor_count",
        "_index",
        "_levels",
        "_next_floor",
        "changed_at",
        "paused",
        "scores",
    )

    def __init__(self, now: float) -> None:
        self.paused = False
        self.changed_at = now
        self.scores = (_MIN_SCORE, _MIN_SCORE, _MIN_SCORE)
        self._levels = bytearray(_LEVELS)
        self._index = 0
        self._floor = 0
        self._next_floor = 0
        self._floor_count = 0

    def hear(self, volume: int, now: float) -> None:
        """Note a volume (127 is loudest); packets of more than 20 ms count for as many levels."""
        count = min(max(int((now - self.changed_at) / LEVEL_PERIOD + 0.5), 1), _LEVELS)
        self.changed_at = now
        index = self._index
        for _ in range(count):
            self._levels[index] = volume
            index = (index + 1) % _LEVELS
        self._index = index
        if volume:
            self._lower_floor(volume)

    def evaluate(self) -> None:
        """Compute the three scores of the newest level, 100 ms and second."""
        floor = self._floor + _STEP
        ordered = self._levels[self._index :] + self._levels[: self._index]
        active = [level // _STEP if level >= floor else 0 for level in reversed(ordered)]
        mediums = [
            sum(level > _MEDIUM_THRESHOLD for level in active[first : first + _LEVELS_PER_MEDIUM])
            for first in range(0, _LEVELS, _LEVELS_PER_MEDIUM)
        ]
        long = sum(medium > _LONG_THRESHOLD for medium in mediums)
        self.scores = (_IMMEDIATE_SCORES[active[0]], _MEDIUM_SCORES[mediums[0]], _LONG_SCORES[long])

    def _lower_floor(self, volume: int) -> None:
        """Follow the quietest level: down at once, up by half (geometrically) every 15 s."""
        if not self._floor or volume < self._floor:
            self._floor = volume
            self._next_floor = self._floor_count = 0
            return
        self._next_floor = min(self._next_floor or volume, volume)
        self._floor_count += 1
        if self._floor_count >= _FLOOR_WINDOW:
            self._floor = int(sqrt(self._floor * self._next_floor))
            self._next_floor = self._floor_count = 0


class DominantSpeaker:
    """Finds the one who has the floor; `hear` per audio packet, `decide` every INTERVAL."""

    __slots__ = ("_speakers", "dominant")

    def __init__(self) -> None:
        self._speakers: dict[str, _Speaker] = {}
        self.dominant: str | None = None

    def add(self, producer_id: str, now: float) -> None:
        """Listen to a producer of audio."""
        self._speakers.setdefault(producer_id, _Speaker(now))

    def remove(self, producer_id: str) -> None:
        """Forget a producer; if it had the floor, the next `decide` finds another."""
        self._speakers.pop(producer_id, None)
        if self.dominant == producer_id:
            self.dominant = None

    def set_paused(self, producer_id: str, paused: bool) -> None:
        """Do not let a paused producer take the floor."""
        speaker = self._speakers.get(producer_id)
        if speaker is not None:
            speaker.paused = paused

    def hear(self, producer_id: str, level: int, now: float) -> None:
        """Note the level (-dBov, 0 to 127) of one packet."""
        speaker = self._speakers.get(producer_id)
        if speaker is not None:
            speaker.hear(SILENCE - min(level, SILENCE), now)

    def decide(self, now: float) -> str | None:
        """Return the producer that takes the floor now, None if nothing changes."""
        for speaker in self._speakers.values():
            if now - speaker.changed_at > IDLE_AFTER:
                speaker.hear(0, now)
            speaker.evaluate()
        challenger = self._first() if self.dominant is None else self._challenger(self.dominant)
        if challenger is not None:
            self.dominant = challenger
        return challenger

    def _first(self) -> str | None:
        """Without a dominant speaker the likeliest one is taken."""
        speaking = {name: speaker.scores for name, speaker in self._speakers.items() if not speaker.paused}
        return max(speaking, key=lambda name: speaking[name], default=None)

    def _challenger(self, dominant: str) -> str | None:
        immediate, medium, long = self._speakers[dominant].scores
        found, best = None, _MEDIUM_RATIO
        for name, speaker in self._speakers.items():
            if name == dominant or speaker.paused:
                continue
            its_immediate, its_medium, its_long = speaker.scores
            ratio = log(its_medium / medium)
            if (
                log(its_immediate / immediate) > _IMMEDIATE_RATIO
                and log(its_long / long) > _LONG_RATIO
                and ratio > best
            ):
                found, best = name, ratio
        return found


class Volume(NamedTuple):
    """The mean level of one producer over an interval, in dBov: 0 is loudest, -127 silence."""

    producer_id: str
    volume: int


class AudioLevels:
    """The loudest producers of each interval; `hear` per audio packet, `take` at the end of an interval."""

    __slots__ = ("_max_entries", "_sums", "_threshold")

    def __init__(self, max_entries: int = 1, threshold: int = -80) -> None:
        if max_entries < 1 or not -SILENCE <= threshold <= 0:
            raise ValueError("entries must be positive, the threshold from -127 to 0")
        self._max_entries = max_entries
        self._threshold = threshold
        self._sums: dict[str, list[int]] = {}

    def hear(self, producer_id: str, level: int) -> None:
        """Note the level (-dBov, 0 to 127) of one packet."""
        entry = self._sums.get(producer_id)
        if entry is None:
            entry = self._sums[producer_id] = [0, 0]
        entry[0] += level
        entry[1] += 1

    def remove(self, producer_id: str) -> None:
        """Forget a producer that ended or paused."""
        self._sums.pop(producer_id, None)

    def take(self) -> list[Volume]:
        """Return the loudest producers over the threshold, loudest first, and begin the next interval."""
        volumes = [
            Volume(name, -round(total / count))
            for name, (total, count) in self._sums.items()
            if count >= MIN_PACKETS
        ]
        self._sums.clear()
        audible = [entry for entry in volumes if entry.volume >= self._threshold]
        audible.sort(key=lambda entry: -entry.volume)
        return audible[: self._max_entries]
