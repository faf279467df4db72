"""Requests that wait for something to change, at no cost until it does.

A waiting request has no timer and no task of its own: the next change resolves all futures in one loop, and
whoever owns the waiters sweeps out those past their deadline once in a while.
"""

import asyncio


class Waiters:
    """Those who wait for one thing."""

    def __init__(self) -> None:
        self._deadlines: dict[asyncio.Future[bool], float] = {}

    def __len__(self) -> int:
        return len(self._deadlines)

    async def wait(self, deadline: float) -> bool:
        """True at the next change, False once ``deadline`` (loop time) has been swept past."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._deadlines[future] = deadline
        try:
            return await future
        finally:
            self._deadlines.pop(future, None)

    def wake(self) -> None:
        """Something changed."""
        deadlines, self._deadlines = self._deadlines, {}
        for future in deadlines:
            if not future.done():
                future.set_result(True)

    def sweep(self, now: float) -> None:
        """Turn away those whose deadline has passed."""
        for future in [f for f, deadline in self._deadlines.items() if deadline <= now]:
            del self._deadlines[future]
            if not future.done():
                future.set_result(False)
