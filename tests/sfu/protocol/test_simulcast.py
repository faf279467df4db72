"""Simulcast: switches at keyframes, without a seam in numbers and time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu.protocol.reception import SenderClock
from sfu.protocol.simulcast import DROPPED, NONE, LayerPacket, SimulcastForwarder
from tests.sfu.protocol.fake_network import FakeClock, Path

RATE = 90_000
NTP = 3_900_000_000.0
FRAME = 1 / 30
OFFSETS = (0xFFFF_0000, 123_456_789, 0x8000_0000)
NUMBERS = (65_000, 20_000, 40_000)
MODULUS = 0xFFFF_FFFF


def _timestamp(layer: int, seconds: float) -> int:
    return OFFSETS[layer] + round(seconds * RATE) & MODULUS


def _clocks(known: bool = True) -> list[SenderClock]:
    clocks = [SenderClock(RATE) for _ in OFFSETS]
    for layer, clock in enumerate(clocks):
        if known:
            clock.update(round((NTP + layer) * 2**32), _timestamp(layer, layer))
    return clocks


class Producer:
    """Three layers of one camera; a picture is three packets in each layer."""

    def __init__(self) -> None:
        self.frames = 0
        self.numbers = list(NUMBERS)

    @property
    def time(self) -> float:
        return self.frames * FRAME

    def frame(
        self, keyframes: set[int], temporal: int = 0, layer_sync: bool = False, switch_up: int = NONE
    ) -> list[LayerPacket]:
        packets = []
        for layer in range(3):
            for part in range(3):
                packet = LayerPacket(layer, self.numbers[layer] & 0xFFFF, _timestamp(layer, self.time))
                packet.keyframe = layer in keyframes and not part
                packet.start_of_frame = not part
                packet.temporal, packet.layer_sync = temporal, layer_sync
                packet.switch_up = switch_up
                self.numbers[layer] += 1
                packets.append(packet)
        self.frames += 1
        return packets


def _forwarder(known: bool = True, first: int = 1000) -> SimulcastForwarder:
    return SimulcastForwarder(_clocks(known), RATE, first)


def _layers_sent(forwarder: SimulcastForwarder, packets: list[LayerPacket], now: float = 0.0) -> set[int]:
    return {packet.layer for packet in packets if forwarder.forward(packet, now) != DROPPED}


def test_nothing_is_sent_before_a_keyframe() -> None:
    forwarder, producer = _forwarder(), Producer()
    assert forwarder.wanted_keyframe == NONE
    forwarder.set_target(1)
    assert forwarder.wanted_keyframe == 1
    assert _layers_sent(forwarder, producer.frame(set())) == set()
    assert _layers_sent(forwarder, producer.frame({1})) == {1}
    assert forwarder.wanted_keyframe == NONE


def test_a_lower_layer_serves_until_the_target_has_a_keyframe() -> None:
    forwarder, producer = _forwarder(), Producer()
    forwarder.set_target(1)
    assert _layers_sent(forwarder, producer.frame({0, 2})) == {0}
    assert forwarder.wanted_keyframe == 1
    assert _layers_sent(forwarder, producer.frame({1, 2})) == {0, 1}
    assert forwarder.current == 1


@pytest.mark.parametrize(("start", "target", "between"), [(0, 2, 1), (2, 0, 1)])
def test_both_ways_wait_for_keyframes_and_take_steps(start: int, target: int, between: int) -> None:
    forwarder, producer = _forwarder(), Producer()
    forwarder.set_target(start)
    _layers_sent(forwarder, producer.frame({start}))
    forwarder.set_target(target)
    assert _layers_sent(forwarder, producer.frame(set())) == {start}
    _layers_sent(forwarder, producer.frame({between}))
    assert forwarder.current == between
    _layers_sent(forwarder, producer.frame({start, target}))
    assert forwarder.current == target


def test_a_step_away_from_the_target_is_not_made() -> None:
    forwarder, producer = _forwarder(), Producer()
    forwarder.set_target(1)
    _layers_sent(forwarder, producer.frame({1}))
    assert _layers_sent(forwarder, producer.frame({0, 1, 2})) == {1}
    forwarder.set_target(NONE)
    assert _layers_sent(forwarder, producer.frame({0, 1, 2})) == set()


def test_the_switching_packet_is_told() -> None:
    forwarder, producer = _forwarder(), Producer()
    forwarder.set_target(0)
    told = []
    for packet in producer.frame({0}) + producer.frame({0}):
        forwarder.forward(packet, 0.0)
        told.append(forwarder.switched)
    assert told == [True] + [False] * 17


def test_a_keyframe_whose_first_packet_is_late_is_sent_whole() -> None:
    forwarder, producer = _forwarder(first=10), Producer()
    forwarder.set_target(2)
    before, keyframe = producer.frame(set())[6:], producer.frame({2})[6:]
    packets = before + keyframe[1:] + keyframe[:1]
    for source, packet in enumerate(packets):
        packet.source = source
        number = forwarder.forward(packet, 0.0)
    assert (number, forwarder.switched, forwarder.overtaken) == (10, True, [3, 4])
    assert [forwarder.forward(packets[source], 0.0) for source in forwarder.overtaken] == [11, 12]


def _sent_times(forwarder: SimulcastForwarder, packets: list[LayerPacket], now: float) -> list[int]:
    return [
        packet.timestamp + forwarder.timestamp_offset & MODULUS
        for packet in packets
        if forwarder.forward(packet, now) != DROPPED
    ]


def test_reports_align_the_layers() -> None:
    forwarder, producer = _forwarder(), Producer()
    forwarder.set_target(0)
    _sent_times(forwarder, producer.frame({0}), 0.5)
    for target in (2, 1, 2, 0):
        forwarder.set_target(target)
        # A layer that is sent later than the others: its picture keeps its time all the same.
        time = producer.time
        sent = _sent_times(forwarder, producer.frame({target}), time + 0.9)
        assert sent[-1] == pytest.approx(_timestamp(0, time), abs=0.004 * RATE)


def test_steps_do_not_add_up() -> None:
    forwarder, producer = _forwarder(), Producer()
    forwarder.set_target(0)
    _sent_times(forwarder, producer.frame({0}), 0.0)
    for switch in range(300):
        forwarder.set_target(1 + switch % 2)
        _sent_times(forwarder, producer.frame({1 + switch % 2}), producer.time)
    sent = _sent_times(forwarder, producer.frame(set()), producer.time)
    assert sent[-1] == pytest.approx(_timestamp(0, producer.time - FRAME), abs=0.004 * RATE + 2)


@pytest.mark.parametrize("known", [False, True])
def test_without_credible_reports_the_arrival_counts(known: bool) -> None:
    clocks = _clocks(known)
    if known:
        clocks[2].update(1 << 50, 77)
    forwarder, producer = SimulcastForwarder(clocks, RATE, 0), Producer()
    forwarder.set_target(0)
    _sent_times(forwarder, producer.frame({0}), 10.0)
    forwarder.set_target(2)
    sent = _sent_times(forwarder, producer.frame({2}), 10.0 + FRAME)
    assert sent[-1] == pytest.approx(_timestamp(0, FRAME), abs=0.004 * RATE)


def test_a_pause_keeps_the_pace() -> None:
    forwarder, producer = _forwarder(), Producer()
    forwarder.set_target(1)
    _sent_times(forwarder, producer.frame({1}), 0.0)
    forwarder.set_target(NONE)
    producer.frames += 300
    forwarder.set_target(1)
    time = producer.time
    assert _sent_times(forwarder, producer.frame({1}), time)[0] == _timestamp(1, time)


def test_a_restarted_stream_is_joined_by_arrival() -> None:
    forwarder, producer = _forwarder(), Producer()
    forwarder.set_target(1)
    first = _sent_times(forwarder, producer.frame({1}), 0.0)[0]
    forwarder.restart(1)
    assert forwarder.wanted_keyframe == 1
    packet = LayerPacket(1, 5, 77, keyframe=True)
    assert forwarder.forward(packet, 1.0) == 1003
    assert 77 + forwarder.timestamp_offset & MODULUS == first + RATE


def test_temporal_layers_go_down_at_once_and_up_where_the_stream_allows() -> None:
    forwarder, producer = _forwarder(), Producer()
    forwarder.set_target(0, 2)
    assert _layers_sent(forwarder, producer.frame({0})) == {0}
    assert _layers_sent(forwarder, producer.frame(set(), temporal=2)) == {0}
    forwarder.set_target(0, 0)
    assert _layers_sent(forwarder, producer.frame(set(), temporal=1)) == set()
    assert _layers_sent(forwarder, producer.frame(set(), temporal=0)) == {0}
    forwarder.set_target(0, 1)
    assert _layers_sent(forwarder, producer.frame(set(), temporal=1)) == set()
    assert _layers_sent(forwarder, producer.frame(set(), temporal=2, layer_sync=True)) == set()
    assert _layers_sent(forwarder, producer.frame(set(), temporal=1, layer_sync=True)) == {0}
    assert _layers_sent(forwarder, producer.frame(set(), temporal=1)) == {0}
    assert _layers_sent(forwarder, producer.frame(set(), temporal=2)) == set()


def test_temporal_layers_go_up_after_a_picture_that_later_ones_do_not_look_behind() -> None:
    forwarder, producer = _forwarder(), Producer()
    forwarder.set_target(0, 0)
    _layers_sent(forwarder, producer.frame({0}, switch_up=2))
    forwarder.set_target(0, 2)
    assert _layers_sent(forwarder, producer.frame(set(), temporal=2, switch_up=2)) == set(), "it misses one"
    assert _layers_sent(forwarder, producer.frame(set(), temporal=0)) == {0}
    assert _layers_sent(forwarder, producer.frame(set(), temporal=1, switch_up=2)) == set()
    assert _layers_sent(forwarder, producer.frame(set(), temporal=0, switch_up=1)) == {0}
    assert _layers_sent(forwarder, producer.frame(set(), temporal=2, switch_up=2)) == set()
    assert _layers_sent(forwarder, producer.frame(set(), temporal=1, switch_up=2)) == {0}
    assert _layers_sent(forwarder, producer.frame(set(), temporal=2)) == {0}


def test_a_frame_is_sent_whole_or_not_at_all() -> None:
    forwarder, producer = _forwarder(), Producer()
    forwarder.set_target(0, 2)
    _layers_sent(forwarder, producer.frame({0}))
    frame = producer.frame(set(), temporal=2)[:3]
    assert forwarder.forward(frame[0], 0.0) != DROPPED
    forwarder.set_target(0, 0)
    assert DROPPED not in [forwarder.forward(packet, 0.0) for packet in frame[1:]]
    frame = producer.frame(set(), temporal=2, layer_sync=True)[:3]
    assert forwarder.forward(frame[0], 0.0) == DROPPED
    forwarder.set_target(0, 2)
    assert {forwarder.forward(packet, 0.0) for packet in frame[1:]} == {DROPPED}


@pytest.mark.parametrize("change", ["restart", "pause"])
def test_what_came_before_a_restart_or_a_pause_belongs_to_no_later_keyframe(change: str) -> None:
    forwarder = _forwarder()
    forwarder.set_target(1)
    forwarder.forward(LayerPacket(1, 11, 0, source=1), 0.0)
    if change == "restart":
        forwarder.restart(1)
    else:
        forwarder.set_target(NONE)
        forwarder.set_target(1)
    forwarder.forward(LayerPacket(1, 10, 0, keyframe=True), 0.0)
    assert (forwarder.switched, forwarder.overtaken) == (True, [])


def test_left_out_layers_leave_no_gap() -> None:
    forwarder, producer = _forwarder(first=0), Producer()
    forwarder.set_target(0, 0)
    packets = producer.frame({0}) + producer.frame(set(), temporal=1) + producer.frame(set())
    numbers = [forwarder.forward(packet, 0.0) for packet in packets]
    assert [number for number in numbers if number != DROPPED] == [0, 1, 2, 3, 4, 5]


def test_the_consumers_reports_run_on_the_producers_clock() -> None:
    forwarder, producer = _forwarder(), Producer()
    assert forwarder.sender_timestamp(NTP) is None
    for target in (0, 2):
        forwarder.set_target(target)
        sent = _sent_times(forwarder, producer.frame({target}), producer.time)[-1]
        said = forwarder.sender_timestamp(NTP + producer.time - FRAME)
        assert said == pytest.approx(sent, abs=1)
    assert SimulcastForwarder(_clocks(False), RATE, 0).sender_timestamp(NTP) is None


@pytest.mark.parametrize(("layer", "temporal"), [(3, 0), (-2, 0), (0, 8), (0, -1)])
def test_layers_that_do_not_exist_are_refused(layer: int, temporal: int) -> None:
    with pytest.raises(ValueError):
        _forwarder().set_target(layer, temporal)


class Wire:
    """A producer behind a bad network, and what the forwarder of one consumer sends on."""

    def __init__(self, seed: int, loss: float, jitter: float) -> None:
        self.clock = FakeClock()
        self.forwarder = _forwarder(first=30_000)
        self.producer = Producer()
        self.path = Path(self.clock, seed, loss=loss, jitter=jitter)
        self.sent: dict[int, tuple[int, LayerPacket]] = {}
        self.order: list[int] = []

    def frame(self, keyframes: set[int], temporal: int) -> None:
        for packet in self.producer.frame(keyframes, temporal, layer_sync=temporal == 1):
            self.path.send(b"", lambda _, now, packet=packet: self._receive(packet, now))  # type: ignore[misc]

    def _receive(self, packet: LayerPacket, now: float) -> None:
        number = self.forwarder.forward(packet, now)
        if number == DROPPED:
            return
        unwrapped = number if number >= 30_000 else number + 0x1_0000
        assert unwrapped not in self.sent, "one number for two packets is one nonce for two packets"
        if self.forwarder.switched:
            assert packet.keyframe
            assert unwrapped > max(self.sent, default=0)
        timestamp = packet.timestamp + self.forwarder.timestamp_offset & MODULUS
        self.sent[unwrapped] = timestamp - OFFSETS[0] & MODULUS, packet
        self.order.append(unwrapped)


STEPS = st.lists(
    st.tuples(st.integers(-1, 2), st.integers(0, 2), st.sets(st.integers(0, 2)), st.integers(1, 8)),
    min_size=1,
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.3]), st.sampled_from([0.0, 0.08]), STEPS)
def test_no_network_and_no_change_of_mind_breaks_the_stream(
    seed: int, loss: float, jitter: float, steps: list[tuple[int, int, set[int], int]]
) -> None:
    wire = Wire(seed, loss, jitter)
    for target, temporal, keyframes, frames in steps:
        wire.forwarder.set_target(target, temporal)
        for frame in range(frames):
            wire.frame(keyframes if not frame else set(), (0, 2, 1, 2)[frame % 4])
            wire.clock.run_until(wire.clock.now + FRAME)
    wire.clock.run_until(wire.clock.now + 1)
    in_order = [wire.sent[number] for number in sorted(wire.sent)]
    times = [(time + 0x8000_0000 & MODULUS) for time, _ in in_order]
    assert times == sorted(times), "time goes back"
    if not loss and not jitter:
        assert wire.order == list(range(30_000, 30_000 + len(wire.order)))
