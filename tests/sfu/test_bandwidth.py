"""Which layers a transport spreads its estimate over."""

import pytest

from sfu.consumer import Layers
from sfu.layer_choices import KEPT_SECONDS, Choice, LayerChoices, smooth_bitrates
from sfu.protocol.parameters import RtpEncodingParameters
from sfu.protocol.rates import LayerRates
from tests.sfu.linked_world import World, video

SMALL = [Choice(0, temporal, bitrate) for temporal, bitrate in enumerate((50_000, 75_000, 125_000))]
LARGE = [Choice(1, temporal, bitrate) for temporal, bitrate in enumerate((140_000, 240_000, 460_000))]


def test_a_large_picture_is_not_offered_at_a_quarter_of_the_frame_rate() -> None:
    assert smooth_bitrates(SMALL + LARGE) == (
        50_000,
        75_000,
        125_000,
        0,
        240_000,
        460_000,
    )


def test_the_only_picture_that_is_sent_is_offered_at_any_rate() -> None:
    unsent = [choice._replace(bitrate=0) for choice in SMALL]
    assert smooth_bitrates(unsent + LARGE)[3] == 140_000


def test_layers_without_temporal_ones_are_offered() -> None:
    assert smooth_bitrates([Choice(0, 0, 100), Choice(1, 0, 300)]) == (100, 300)


class Audience:
    """Viewers of one camera, which sends all that there is of three streams and layers when told."""

    def __init__(self, viewers: int) -> None:
        self.world = World()
        encodings = [RtpEncodingParameters(rid=rid) for rid in "abc"]
        self.producer = self.world.peer().transport.produce("video", video(*encodings))
        self.send()
        self.consumers = []
        self.bandwidths = []
        for _ in range(viewers):
            transport = self.world.peer().transport
            transport._sending.is_connected = True
            self.consumers.append(
                transport.consume(self.producer.id, self.world.router.rtp_capabilities, paused=False)
            )
            assert transport._sending.bandwidth is not None
            self.bandwidths.append(transport._sending.bandwidth)

    def send(self) -> None:
        now = self.world.clock()
        for stream in self.producer.streams:
            stream.last_at = now
            stream.rate.add(1000, now)
            for temporal in (0, 1, 2):
                stream.layer_rates.add(0, temporal, 1000, now)

    def allocate(self) -> None:
        for consumer, bandwidth in zip(self.consumers, self.bandwidths, strict=True):
            bandwidth.allocate((consumer,), self.world.clock())


async def test_layers_are_counted_once_for_all_viewers(monkeypatch: pytest.MonkeyPatch) -> None:
    audience = Audience(20)
    measured = 0
    bitrate = LayerRates.bitrate

    def counting(rates: LayerRates, spatial: int, temporal: int, now: float) -> int:
        nonlocal measured
        measured += 1
        return bitrate(rates, spatial, temporal, now)

    monkeypatch.setattr(LayerRates, "bitrate", counting)
    audience.world.clock.now += 2 * KEPT_SECONDS
    audience.allocate()
    assert measured == 9
    audience.world.clock.now += KEPT_SECONDS / 2
    audience.send()
    audience.allocate()
    assert measured == 9
    audience.world.clock.now += KEPT_SECONDS
    audience.allocate()
    assert measured == 18


async def test_what_comes_after_nothing_is_known_at_once() -> None:
    audience = Audience(0)
    audience.world.clock.now += 100
    choices = LayerChoices(audience.producer.streams, 3)
    assert not choices.at(audience.world.clock()).is_known
    audience.send()
    assert choices.at(audience.world.clock()).is_known


async def test_whoever_asks_for_the_lowest_rate_gets_it() -> None:
    audience = Audience(1)
    consumer = audience.consumers[0]
    consumer.preferred_layers = Layers(1, 0)
    audience.allocate()
    assert (consumer.target, consumer.target_temporal) == (1, 0)
    consumer.preferred_layers = Layers(1, None)
    audience.allocate()
    assert (consumer.target, consumer.target_temporal) == (1, 2)
