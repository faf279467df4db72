"""A room's program: the producers that everybody in the room watches, and waiting for them to appear."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Final

from sfu.producer import LocalProducer, Producer
from sfu.protocol.parameters import Kind

if TYPE_CHECKING:
    from sfu.protocol.active_speaker import Volume
    from sfu.router import Router

START_SECONDS: Final = 5.0
"""How long a stream that is starting is waited for."""
SETTLE_SECONDS: Final = 1.0
"""How long the second kind is waited for when there is the first."""


def program_producers(router: Router) -> list[Producer]:
    """Return what belongs to the program, the newest first. Bridges offer nothing else."""
    return [
        producer
        for producer in reversed(list(router.producers.values()))
        if producer.is_program or isinstance(producer, LocalProducer)
    ]


class Program:
    """A router's program as a viewer finds it. `kinds` tells the same as `Rooms.program_kinds`."""

    def __init__(
        self,
        router: Router,
        kinds: Callable[[], Collection[Kind] | None],
        start_seconds: float = START_SECONDS,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        self._router = router
        self._kinds = kinds
        self._start_seconds = start_seconds
        self._settle_seconds = settle_seconds
        self._changed = asyncio.Event()

    async def wait(self, wanted: Collection[Kind]) -> Sequence[Producer]:
        """Return the program's producers once there is one of each wanted kind that it has, or what came."""
        if self._is_complete(wanted):
            return program_producers(self._router)
        self._router.add_listener(self)
        try:
            await self._wait_for(lambda: bool(program_producers(self._router)), self._start_seconds)
            if program_producers(self._router):
                await self._wait_for(lambda: self._is_complete(wanted), self._settle_seconds)
        finally:
            self._router.remove_listener(self)
        return program_producers(self._router)

    def _is_complete(self, wanted: Collection[Kind]) -> bool:
        """Whether nothing is to be expected that is not there."""
        present = {producer.kind for producer in program_producers(self._router)}
        expected = self._kinds()
        if expected is None:
            return True
        return bool(present) and set(wanted) & set(expected) <= present

    async def _wait_for(self, is_there: Callable[[], bool], seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not is_there() and self._kinds() is not None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return

    def on_producer(self, producer: Producer) -> None:
        """Look again."""
        self._changed.set()

    def on_producer_closed(self, producer: Producer) -> None:
        """Look again."""
        self._changed.set()

    def on_producer_paused(self, producer: Producer) -> None:
        """Nothing that a viewer waits for."""

    def on_active_speaker(self, producer_id: str | None) -> None:
        """Nothing that a viewer waits for."""

    def on_volumes(self, volumes: Sequence[Volume]) -> None:
        """Nothing that a viewer waits for."""
