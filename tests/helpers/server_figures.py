"""`/metrics` of a running server, and whether what a test held was let go."""

import asyncio
import time
from dataclasses import dataclass, fields
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from tests.helpers.server_process import ServerProcess

SETTLE_SECONDS: Final = 20.0
PAUSE_SECONDS: Final = 0.05


def metric(server: ServerProcess, name: str) -> float:
    """The sum of ``name`` over its labels; 0 where there is none yet."""
    status, body = server.get("/metrics")
    assert status == 200
    families = text_string_to_metric_families(body.decode())
    samples = [sample for family in families for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == name)


async def metric_reaches(server: ServerProcess, name: str, value: float, seconds: float = 15.0) -> None:
    """Until ``name`` is at least ``value``."""
    async with asyncio.timeout(seconds):
        while await asyncio.to_thread(metric, server, name) < value:  # noqa: ASYNC110
            await asyncio.sleep(PAUSE_SECONDS)


@dataclass(frozen=True, slots=True)
class Held:
    """What goes up while somebody is connected, and must come down again."""

    asyncio_tasks: float
    http_connections: float
    rtmp_open_connections: float
    rtmp_active_publishers: float
    rtmp_active_players: float
    viewers: float
    streams: float
    webrtc_transports: float
    webrtc_producers: float
    webrtc_consumers: float

    @classmethod
    def by(cls, server: ServerProcess) -> "Held":
        return cls(**{field.name: metric(server, f"mediaserver_{field.name}") for field in fields(cls)})

    def exceeds(self, other: "Held") -> bool:
        return any(getattr(self, field.name) > getattr(other, field.name) for field in fields(self))


def assert_let_go(server: ServerProcess, baseline: Held) -> None:
    """Wait until ``server`` holds no more than ``baseline``."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (held := Held.by(server)).exceeds(baseline):
        assert time.monotonic() < deadline, f"{held} still held; it was {baseline}"
        time.sleep(PAUSE_SECONDS)
