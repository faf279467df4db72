"""Whose video those get who want that of a few only: of the participants who spoke last ("last-N")."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfu.participant import Participant
    from sfu.room import Room


@dataclass(slots=True)
class VideoChoice:
    """What somebody asked for: the video of `count` others, and of those that are `pinned` besides."""

    count: int
    pinned: frozenset[str]
    shown: frozenset[str] = frozenset()
    """Whose video that is now."""


class Spotlight:
    """Only who sends video takes a place: a camera that is off shows nothing.

    What belongs to no participant, such as the programme by RTMP, is shown always, and so is sound.
    """

    def __init__(self, room: Room, named: int) -> None:
        """`named` is how many of those who spoke last everybody is told."""
        self._room = room
        self._named = named
        self._spoken: dict[str, None] = {}
        """The present speaker last."""

    @property
    def speakers(self) -> tuple[str, ...]:
        """Those who spoke last, the present one first."""
        return tuple(islice(reversed(self._spoken), self._named))

    def spoke(self, participant_id: str) -> None:
        """Note who has the floor."""
        self._spoken.pop(participant_id, None)
        self._spoken[participant_id] = None

    def forget(self, participant: Participant) -> None:
        """Somebody has left."""
        self._spoken.pop(participant.id, None)

    def choose(self, viewer: Participant, count: int | None, pinned: Collection[str] = ()) -> None:
        """Show somebody the video of so many others, None for all."""
        viewer.video_choice = None if count is None else VideoChoice(count, frozenset(pinned))
        if viewer.video_choice is not None:
            viewer.video_choice.shown = self._shown(viewer, viewer.video_choice, self._order())
        self._settle(viewer)

    def review(self) -> None:
        """Call it when another has the floor, and when somebody begins or ends to send video."""
        choosers = [(one, one.video_choice) for one in self._room if one.video_choice is not None]
        if not choosers:
            return
        order = self._order()
        for viewer, choice in choosers:
            shown = self._shown(viewer, choice, order)
            if shown != choice.shown:
                choice.shown = shown
                self._settle(viewer)

    def hides(self, viewer: Participant, producer_id: str) -> bool:
        """Whether somebody is not to get a producer now."""
        choice, producer = viewer.video_choice, self._room.router.producers.get(producer_id)
        if choice is None or producer is None or producer.kind != "video":
            return False
        owner = self._room.owner_id(producer_id)
        return owner is not None and owner not in choice.shown

    def _order(self) -> list[str]:
        """Those who send video: who spoke last first, and behind who spoke, the others as they came."""
        owners = {
            self._room.owner_id(producer.id)
            for producer in self._room.router.producers.values()
            if producer.kind == "video" and not producer.paused
        }
        silent = (one for one in self._room.participants if one not in self._spoken)
        return [one for one in (*reversed(self._spoken), *silent) if one in owners]

    def _shown(self, viewer: Participant, choice: VideoChoice, order: list[str]) -> frozenset[str]:
        others = (one for one in order if one != viewer.id and one not in choice.pinned)
        return choice.pinned.union(islice(others, choice.count))

    def _settle(self, viewer: Participant) -> None:
        viewer.media.suspend(lambda producer_id: self.hides(viewer, producer_id))
