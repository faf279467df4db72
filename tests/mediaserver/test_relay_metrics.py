"""What other nodes were not told of can be seen at /metrics."""

from mediaserver.observability.metrics import bus_metrics
from storage.bus import BroadcastStarted, Bus
from storage.redis_bus import BusRelay


def value_of(relay: BusRelay | None) -> tuple[str, float]:
    [metric] = bus_metrics(relay)()
    [sample] = metric.samples
    return sample.name, sample.value


async def test_events_that_were_dropped_are_counted() -> None:
    bus = Bus()
    relay = BusRelay("redis://127.0.0.1:1", bus, max_waiting=1)
    for number in range(3):
        bus.publish(BroadcastStarted(str(number)))
    assert value_of(relay) == ("mediaserver_bus_events_dropped_total", 2)
    await relay.close()


def test_a_node_that_is_alone_drops_nothing() -> None:
    assert value_of(None) == ("mediaserver_bus_events_dropped_total", 0)
