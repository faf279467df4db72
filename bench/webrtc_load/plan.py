"""From what the user asked for to publishers and viewers."""

from dataclasses import dataclass, replace
from urllib.parse import quote

from bench.targets import Target
from bench.webrtc_load.publisher import MediaPlan


@dataclass(frozen=True, slots=True)
class RtcRoom:
    """A room and the key that publishes in it, None where it takes none."""

    name: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class RtcPlan:
    """One publisher per room; viewers are dealt out to the rooms in turn.

    ``whip`` and ``whep`` are paths with ``{room}`` in them.
    """

    target: Target
    rooms: tuple[RtcRoom, ...]
    media: MediaPlan
    viewers: int
    sample_every: int
    """Every so many-th viewer decrypts and takes latencies."""
    connects_per_second: float
    has_feedback: bool
    """Viewers report arrivals (transport-wide congestion control), as browsers do."""
    whip: str = "/whip/{room}"
    whep: str = "/whep/{room}"
    first: int = 0
    """Viewers before, of another process."""

    def whip_url(self, room: RtcRoom) -> str:
        return self._url(self.whip, room)

    def whep_url(self, room: RtcRoom) -> str:
        return self._url(self.whep, room)

    def room_of(self, number: int) -> RtcRoom:
        """The room that a viewer watches."""
        return self.rooms[number % len(self.rooms)]

    def split(self, processes: int) -> list["RtcPlan"]:
        """The same viewers as ``processes`` plans that make them up together."""
        share, rest = divmod(self.viewers, processes)
        plans, first = [], self.first
        for number in range(processes):
            count = share + (number < rest)
            if count:
                rate = self.connects_per_second / processes
                plans.append(replace(self, viewers=count, connects_per_second=rate, first=first))
            first += count
        return plans

    def _url(self, path: str, room: RtcRoom) -> str:
        name = quote(room.name, safe="?&=-_.~")
        return f"http://{self.target.authority}{path.replace('{room}', name)}"
