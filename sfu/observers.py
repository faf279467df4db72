"""Who speaks in a router, and how loud: by the levels that audio packets carry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from sfu.protocol.active_speaker import INTERVAL, AudioLevels, DominantSpeaker, Volume

MAX_VOLUMES: Final = 16


class AudioListener(Protocol):
    """The router."""

    def speaker_changed(self, producer_id: str | None) -> None:
        """Someone else has the floor."""

    def volumes_measured(self, volumes: Sequence[Volume]) -> None:
        """The loudest of an interval, loudest first; empty once when all have become silent."""


class AudioObserver:
    """One per router; costs nothing while no packet has a level."""

    def __init__(self, listener: AudioListener) -> None:
        self._listener = listener
        self._speakers = DominantSpeaker()
        self._levels = AudioLevels(MAX_VOLUMES)
        self._known: set[str] = set()
        self._decides_at = 0.0
        self._was_audible = False

    def hear(self, producer_id: str, level: int, now: float) -> None:
        """Note the level of one packet."""
        if producer_id not in self._known:
            self._known.add(producer_id)
            self._speakers.add(producer_id, now)
        self._speakers.hear(producer_id, level, now)
        self._levels.hear(producer_id, level)

    def set_paused(self, producer_id: str, paused: bool) -> None:
        """Let a paused producer neither take nor keep the floor."""
        if not paused:
            self._speakers.set_paused(producer_id, False)
        elif producer_id in self._known:
            self.remove(producer_id)

    def remove(self, producer_id: str) -> None:
        """Forget a producer."""
        if producer_id not in self._known:
            return
        self._known.discard(producer_id)
        had_floor = self._speakers.dominant == producer_id
        self._speakers.remove(producer_id)
        self._levels.remove(producer_id)
        if had_floor:
            self._listener.speaker_changed(None)

    def tick(self, now: float) -> None:
        """Decide at the end of each interval."""
        if now < self._decides_at or not (self._known or self._was_audible):
            return
        self._decides_at = now + INTERVAL
        speaker = self._speakers.decide(now)
        if speaker is not None:
            self._listener.speaker_changed(speaker)
        volumes = self._levels.take()
        if volumes or self._was_audible:
            self._listener.volumes_measured(volumes)
        self._was_audible = bool(volumes)
