"""``bench api``: mixed traffic on the HTTP API of a server whose database ``bench seed`` filled."""

import asyncio
import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Final

import aiohttp

from bench.api_load.loop_lag import LagProbe
from bench.api_load.open_loop import CONNECTIONS, ApiClient, Arrivals, OpenLoop
from bench.api_load.traffic import LOGIN, READS, Mix, Traffic, login_of
from bench.commands.command import Command, add_load_arguments, bounded
from bench.commands.publishing import add_publish_arguments, publish_for
from bench.commands.steady import (
    interval_notes,
    interval_problems,
    measure,
    scaled,
    server_metrics,
    server_series,
    utc_now,
)
from bench.errors import BenchError
from bench.measure.limits import reserve_descriptors
from bench.measure.progress import Progress
from bench.measure.sampling import IntervalFigures
from bench.measure.statistics import distribution, percentile
from bench.reporting.machine import machine_name
from bench.reporting.model import Better, Metric, Report, Series
from bench.targets import parse_target

DEFAULT_RATE: Final = 200.0
DEFAULT_SECONDS: Final = 30.0
DEFAULT_LOGIN_SHARE: Final = 0.02
DEFAULT_SIGNED_IN: Final = 20
WARM_UP_SECONDS: Final = 3.0
LATE_SECONDS: Final = 0.1
"""A generator further behind its clock than this measures itself."""


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--url", required=True, help="http://… of the server")
    numbers = (
        ("--rate", float, 0.1, 20_000, DEFAULT_RATE, "requests per second"),
        ("--login-share", float, 0, 0.9, DEFAULT_LOGIN_SHARE, "part of the requests that are logins"),
        ("--user-count", int, 2, 999_999, 100_000, "users that were seeded"),
        ("--room-count", int, 1, 99_999, 10_000, "rooms that were seeded"),
        ("--signed-in", int, 1, 1000, DEFAULT_SIGNED_IN, "users who sign in before and ask with a token"),
        ("--addresses", int, 0, 1 << 24, 0, "clients that X-Forwarded-For tells of; 0 leaves it out"),
    )
    for name, kind, least, most, default, text in numbers:
        parser.add_argument(
            name, type=bounded(kind, least, most), default=default, help=f"{text} (default {default:g})"
        )
    add_publish_arguments(parser)
    add_load_arguments(parser, DEFAULT_SECONDS)


async def _run(arguments: Namespace) -> Sequence[Report]:
    target = parse_target(arguments.url, ("http",), arguments.allow_remote)
    reserve_descriptors(CONNECTIONS)
    progress, started_at = Progress(), utc_now()
    async with AsyncExitStack() as stack:
        stack.callback(progress.clear)
        await publish_for(stack, arguments, progress, 0.0)
        url = f"http://{target.authority}"
        client = await stack.enter_async_context(ApiClient(url, arguments.addresses))
        arrivals, interval, lags = await _load(client, arguments, progress)
    return [
        Report(
            command="api",
            label=arguments.label or target.authority,
            started_at=started_at,
            machine=machine_name(),
            parameters=_parameters(arguments),
            metrics=(*_metrics(arrivals, interval, lags), *server_metrics(interval)),
            series=(_latency_curve(arrivals), *server_series(interval)),
            problems=tuple(_problems(arrivals, interval)),
            notes=(*interval_notes(interval), *_notes(arrivals)),
        )
    ]


async def _load(
    client: ApiClient, arguments: Namespace, progress: Progress
) -> tuple[Arrivals, IntervalFigures, Sequence[float]]:
    """Sign in, warm up, and measure; also how late the server's loop was."""
    tokens = await _sign_in(client, int(arguments.signed_in), progress)
    traffic = Traffic(Mix(arguments.user_count, arguments.room_count, arguments.login_share), tokens)
    loop, lag = OpenLoop(client, traffic.next, arguments.rate), LagProbe(client)
    progress.show("warming up")
    await loop.run(WARM_UP_SECONDS)
    phase = f"measuring {arguments.rate:g} requests/s for {arguments.seconds:g} s"
    probing = asyncio.create_task(lag.run())
    try:
        arrivals, interval = await asyncio.gather(
            loop.run(arguments.seconds),
            measure(arguments, (), lambda gone: progress.show(phase, f"{gone:.0f} s")),
        )
    finally:
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)
    return arrivals, interval, lag.samples


async def _sign_in(client: ApiClient, count: int, progress: Progress) -> list[str]:
    """Access tokens of the first ``count`` users. Raises BenchError when the server lets one not in."""
    tokens = []
    for number in range(count):
        progress.show("signing in", f"{number} of {count}")
        try:
            status, body = await client.send(login_of(number))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise BenchError(f"--url: {str(error) or type(error).__name__}") from None
        if status != 200:
            raise BenchError(f"--signed-in: login {number + 1} was answered {status}: {body[:200]!r}")
        tokens.append(json.loads(body)["data"]["accessToken"])
    return tokens


def _metrics(arrivals: Arrivals, interval: IntervalFigures, lags: Sequence[float]) -> Iterator[Metric]:
    good = [outcome for outcome in arrivals.outcomes if outcome.is_good]
    yield Metric("requests", len(arrivals.outcomes) / interval.seconds, "1/s")
    yield Metric("failed", len(arrivals.outcomes) - len(good), "requests", Better.LOWER)
    yield from _latency("reads", [o.seconds for o in good if o.kind in READS])
    for kind in sorted({outcome.kind for outcome in arrivals.outcomes}):
        yield from _latency(kind, [o.seconds for o in good if o.kind == kind])
    logins = sum(outcome.kind == LOGIN for outcome in good)
    yield Metric("logins", logins / interval.seconds, "1/s")
    yield Metric("event loop lag, largest seen", scaled(max(lags, default=None), 1000), "ms", Better.LOWER)


def _latency(kind: str, seconds: Sequence[float]) -> Iterator[Metric]:
    figures = distribution(seconds)
    yield Metric(f"{kind} p50", scaled(figures.median, 1000), "ms", Better.LOWER)
    yield Metric(f"{kind} p99", scaled(figures.p99, 1000), "ms", Better.LOWER)


def _latency_curve(arrivals: Arrivals) -> Series:
    by_second: dict[int, list[float]] = {}
    for outcome in arrivals.outcomes:
        if outcome.kind in READS and outcome.is_good:
            by_second.setdefault(int(outcome.at), []).append(outcome.seconds * 1000)
    points = [(float(at), percentile(values, 0.99) or 0.0) for at, values in sorted(by_second.items())]
    return Series("Reads, p99 of each second", "seconds", "ms", tuple(points))


def _problems(arrivals: Arrivals, interval: IntervalFigures) -> Iterator[str]:
    yield from interval_problems(interval)
    if arrivals.latest > LATE_SECONDS:
        yield f"the load generator was {arrivals.latest * 1000:.0f} ms behind its clock"
    if not any(outcome.is_good for outcome in arrivals.outcomes):
        yield "nothing was answered with success"


def _notes(arrivals: Arrivals) -> Iterator[str]:
    for (kind, status), count in sorted(arrivals.failures().items()):
        yield f"{count} x {kind}: {status}"


def _parameters(arguments: Namespace) -> dict[str, str]:
    names = ("rate", "seconds", "login_share", "user_count", "room_count", "signed_in", "addresses")
    values = {name.replace("_", "-"): f"{getattr(arguments, name):g}" for name in names}
    return {**values, "video": "published meanwhile" if arguments.publish else "none"}


COMMAND = Command("api", "many requests of the HTTP API, at a fixed rate", _add_arguments, _run)
