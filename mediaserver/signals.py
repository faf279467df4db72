"""SIGTERM and SIGINT drain, a second one stops at once; SIGHUP reloads. A start is given up."""

import asyncio
import signal
from collections.abc import Callable
from typing import Self


class Signals:
    """A context manager that owns the process's signal handlers while it is entered.

    Until ``started`` is called, the first stopping signal cancels the task that entered.
    """

    _STOPPING = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self.drain = asyncio.Event()
        self.stop_now = asyncio.Event()
        self._starting: asyncio.Task[object] | None = None
        self._reload: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        self._starting = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in self._STOPPING:
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in (*self._STOPPING, signal.SIGHUP):
            loop.remove_signal_handler(number)

    def started(self, reload: Callable[[], None]) -> None:
        """From now on a stopping signal drains, and SIGHUP calls ``reload``."""
        self._starting = None
        self._reload = reload

    def _hang_up(self) -> None:
        if self._reload is not None:
            self._reload()

    def _stop(self) -> None:
        if self.drain.is_set():
            self.stop_now.set()
        elif self._starting is not None:
            self._starting.cancel()
        self.drain.set()
