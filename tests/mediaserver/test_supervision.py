import asyncio

import pytest
import structlog

from mediaserver import supervision
from mediaserver.supervision import supervised


async def test_a_task_that_fails_is_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "RESTART_SECONDS", 0)
    failures = [RuntimeError("first"), RuntimeError("second")]

    async def run() -> None:
        if failures:
            raise failures.pop()

    with structlog.testing.capture_logs() as lines:
        await supervised("sample", run)
    assert [(line["event"], line["task"]) for line in lines] == [("task_failed", "sample")] * 2
    assert failures == []


async def test_cancelling_ends_it() -> None:
    begun = asyncio.Event()

    async def run() -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(supervised("sample", run))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
