"""`/health`: the process answers. `/health/ready`: everything it needs is there."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

CHECK_SECONDS: Final = 2.0

Check = Callable[[], Awaitable[str | None]]
"""Answers None when all is well, else one line that says what is wrong."""


def add_health_routes(app: web.Application, checks: Mapping[str, Check]) -> None:
    """``checks`` by the name under which their result is shown."""

    async def live(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_request: web.Request) -> web.Response:
        problems = await asyncio.gather(*(_bounded(check) for check in checks.values()))
        results = {name: problem or "ok" for name, problem in zip(checks, problems, strict=True)}
        is_ready = not any(problems)
        body = {"status": "ok" if is_ready else "unavailable", "checks": results}
        return web.json_response(body, status=200 if is_ready else 503)

    app.router.add_get("/health", live)
    app.router.add_get("/health/ready", ready)


async def _bounded(check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check()
    except TimeoutError:
        return f"no answer within {CHECK_SECONDS:g} s"
