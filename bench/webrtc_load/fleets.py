"""All publishers, and all viewers, of one process: brought in, measured over an interval, sent home."""

import asyncio
import time
from typing import Final

from bench.errors import BenchError
from bench.measure.startup import first_media
from bench.webrtc_load.connection import CONSENT_SECONDS
from bench.webrtc_load.endpoints import Endpoints
from bench.webrtc_load.figures import PublisherFigures, SubscriberFigures
from bench.webrtc_load.plan import RtcPlan, RtcRoom
from bench.webrtc_load.publisher import Publisher
from bench.webrtc_load.subscriber import REPORT_SECONDS, Subscriber

CONNECTING: Final = 16
"""Viewers that shake hands at once."""
CONNECT_SECONDS: Final = 20.0
FEEDBACK_SECONDS: Final = 0.02


class PublisherFleet:
    """One publisher per room of the plan."""

    def __init__(self, plan: RtcPlan) -> None:
        self._plan = plan
        self._endpoints = Endpoints(has_feedback=True)
        self._publishers: list[Publisher] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        """Let all of them publish. Raises BenchError when one is refused."""
        self._tasks.add(asyncio.create_task(_consent(self._endpoints)))
        for room in self._plan.rooms:
            publisher = Publisher(self._plan.media)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self._open(publisher, room)
            except (BenchError, TimeoutError) as error:
                reason = str(error) or "no connection in time"
                raise BenchError(f"publisher of {room.name}: {reason}") from None
            self._publishers.append(publisher)
            self._tasks.add(asyncio.create_task(publisher.run()))

    async def _open(self, publisher: Publisher, room: RtcRoom) -> None:
        url = self._plan.whip_url(room)
        publisher.connection, _ = await self._endpoints.open(url, room.key, publisher, publisher.sources)

    def begin(self) -> None:
        """Begin the steady interval."""
        for publisher in self._publishers:
            publisher.restart()

    def finish(self) -> list[PublisherFigures]:
        """End the steady interval."""
        return [publisher.finish() for publisher in self._publishers]

    async def close(self) -> None:
        """End the publishers."""
        await _cancel(self._tasks)
        await self._endpoints.close()


class SubscriberFleet:
    """The viewers of a plan; driven like every fleet of viewers."""

    def __init__(self, plan: RtcPlan) -> None:
        self._plan = plan
        self._endpoints = Endpoints(has_feedback=plan.has_feedback)
        self._subscribers = [
            Subscriber(has_clock=(plan.first + number) % plan.sample_every == 0)
            for number in range(plan.viewers)
        ]
        self._slots = asyncio.Semaphore(CONNECTING)
        self._joining: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def fewest_packets(self) -> int:
        """What the worst off has got in the interval so far."""
        return min(subscriber.figures.packets for subscriber in self._subscribers)

    async def connect(self, startup_seconds: float) -> None:
        """Bring all in; return when each has media or failed, or ``startup_seconds`` after the last."""
        self._tasks.add(asyncio.create_task(_consent(self._endpoints)))
        self._tasks.add(asyncio.create_task(self._report()))
        if self._plan.has_feedback:
            self._tasks.add(asyncio.create_task(self._feed_back()))
        begun = time.monotonic()
        for number, subscriber in enumerate(self._subscribers):
            due = begun + number / self._plan.connects_per_second
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._slots.acquire()
            self._joining.add(asyncio.create_task(self._join(number, subscriber)))
        await asyncio.gather(*self._joining)
        await first_media([subscriber.figures for subscriber in self._subscribers], startup_seconds)

    async def _join(self, number: int, subscriber: Subscriber) -> None:
        figures = subscriber.figures
        figures.started_at = time.monotonic()
        url = self._plan.whep_url(self._plan.room_of(self._plan.first + number))
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                connection, answer = await self._endpoints.open(url, None, subscriber)
        except (BenchError, TimeoutError) as error:
            figures.error = str(error) or "no connection in time"
        else:
            figures.connected_at = time.monotonic()
            subscriber.connection = connection
            subscriber.transport_id, subscriber.repairing = answer.transport_id, answer.repairing
        finally:
            self._slots.release()

    async def begin(self) -> None:
        """Begin the steady interval."""
        for subscriber in self._subscribers:
            subscriber.restart()

    async def finish(self) -> list[SubscriberFigures]:
        """End the steady interval and return what each saw in it."""
        return [subscriber.finish() for subscriber in self._subscribers]

    async def close(self) -> None:
        """Send all home."""
        await _cancel(self._joining | self._tasks)
        await self._endpoints.close()

    async def _feed_back(self) -> None:
        while True:
            await asyncio.sleep(FEEDBACK_SECONDS)
            for subscriber in self._subscribers:
                subscriber.send_feedback()

    async def _report(self) -> None:
        """Spread over the second, so that the server does not get all reports at once."""
        parts = 20
        while True:
            for part in range(parts):
                await asyncio.sleep(REPORT_SECONDS / parts)
                for subscriber in self._subscribers[part::parts]:
                    subscriber.send_report()


async def _consent(endpoints: Endpoints) -> None:
    while True:
        await asyncio.sleep(CONSENT_SECONDS)
        endpoints.consent()


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    tasks.clear()
