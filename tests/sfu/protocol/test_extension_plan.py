"""Prepared packets carry the router's extensions, and each consumer's changes hit the right octets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol import rtp
from sfu.protocol.extension_plan import MAX_SHAPES, ConsumerExtensions, ExtensionPlan
from tests.sfu.protocol.packets import packet_with, values_of

MID, SEND_TIME, TRANSPORT, LEVEL = 1, 4, 5, 6
ID_MAP = {3: MID, 9: LEVEL, 200: 8}
"""The producer's ids of mid, audio level and a dependency descriptor."""


def _plan() -> ExtensionPlan:
    return ExtensionPlan(ID_MAP, MID, SEND_TIME, TRANSPORT)


def test_a_packet_gets_the_routers_ids_and_room() -> None:
    packet = packet_with([(3, b"0"), (9, b"\x85"), (7, b"dropped")])
    buffer, layout = _plan().prepare(packet, rtp.parse(packet))
    assert values_of(buffer) == {MID: bytes(8), SEND_TIME: bytes(3), TRANSPORT: bytes(2), LEVEL: b"\x85"}
    assert buffer[layout.payload_offset :] == b"payload"
    assert _plan().prepare(packet, rtp.parse(packet))[1] is not layout


def test_a_long_value_makes_the_form_two_byte() -> None:
    descriptor = bytes(range(40))
    packet = packet_with([(200, descriptor)])
    buffer, layout = _plan().prepare(packet, rtp.parse(packet))
    assert layout.two_byte
    assert values_of(buffer)[8] == descriptor
    ConsumerExtensions(_plan(), {MID: 30, 8: 250}, b"video").plan(layout).apply(buffer)
    assert values_of(buffer) == {30: b"video", 250: descriptor}


def test_without_extensions_there_is_no_block() -> None:
    packet = packet_with([(7, b"dropped")])
    buffer, layout = ExtensionPlan({}, 0, 0, 0).prepare(packet, rtp.parse(packet))
    assert buffer == packet_with([])
    plan = ConsumerExtensions(ExtensionPlan({}, 0, 0, 0), {1: 1}, b"0").plan(layout)
    plan.apply(buffer)
    assert buffer == packet_with([])
    assert plan.transport_offset == -1


def test_a_consumer_with_the_routers_ids_writes_only_its_mid() -> None:
    packet = packet_with([(9, b"\x85")])
    buffer, layout = _plan().prepare(packet, rtp.parse(packet))
    plan = ConsumerExtensions(_plan(), {number: number for number in (1, 4, 5, 6)}, b"a1").plan(layout)
    assert plan.edits == ()
    plan.apply(buffer)
    rtp.write_transport_sequence(buffer, plan.transport_offset, 258)
    rtp.write_abs_send_time(buffer, plan.abs_send_time_offset, 1.0)
    assert values_of(buffer) == {1: b"a1", 4: b"\x04\0\0", 5: b"\x01\x02", 6: b"\x85"}


@pytest.mark.parametrize("mid", [b"", b"too long!"])
def test_a_mid_that_does_not_fit_is_left_out(mid: bytes) -> None:
    packet = packet_with([])
    buffer, layout = _plan().prepare(packet, rtp.parse(packet))
    ConsumerExtensions(_plan(), {MID: MID, TRANSPORT: TRANSPORT}, mid).plan(layout).apply(buffer)
    assert values_of(buffer) == {TRANSPORT: bytes(2)}


def test_what_a_consumer_has_not_negotiated_becomes_padding() -> None:
    packet = packet_with([(9, b"\x85")])
    buffer, layout = _plan().prepare(packet, rtp.parse(packet))
    plan = ConsumerExtensions(_plan(), {LEVEL: 14, SEND_TIME: 15}, b"0").plan(layout)
    plan.apply(buffer)
    assert values_of(buffer) == {14: b"\x85"}
    assert (plan.abs_send_time_offset, plan.transport_offset) == (-1, -1)
    assert buffer[layout.payload_offset :] == b"payload"


def test_layouts_are_kept_up_to_a_limit() -> None:
    plan = _plan()
    consumer = ConsumerExtensions(plan, {MID: MID}, b"0")
    first = packet_with([])
    layout = plan.prepare(first, rtp.parse(first))[1]
    assert plan.prepare(first, rtp.parse(first))[1] is layout
    assert consumer.plan(layout) is consumer.plan(layout)
    for size in range(MAX_SHAPES):
        packet = packet_with([(7, bytes(1 + size))])
        consumer.plan(plan.prepare(packet, rtp.parse(packet))[1])
    assert plan.prepare(first, rtp.parse(first))[1] is not layout


def test_room_for_a_mid_is_limited() -> None:
    with pytest.raises(ValueError, match="mid"):
        ExtensionPlan({}, 1, 2, 3, mid_room=17)


@given(
    st.dictionaries(st.integers(1, 255), st.binary(max_size=30), max_size=6),
    st.dictionaries(st.integers(1, 255), st.integers(1, 255), max_size=6),
    st.binary(max_size=9),
)
def test_values_arrive_under_the_consumers_ids(
    values: dict[int, bytes], consumer_ids: dict[int, int], mid: bytes
) -> None:
    packet = packet_with(list(values.items()))
    router_ids = {number: number for number in values}
    plan = ExtensionPlan(router_ids, 0, 0, 0)
    buffer, layout = plan.prepare(packet, rtp.parse(packet))
    assert values_of(buffer) == values
    ConsumerExtensions(plan, consumer_ids, mid).plan(layout).apply(buffer)
    highest = 255 if layout.two_byte else 14
    kept = {old: new for old, new in consumer_ids.items() if old in values and new <= highest}
    found = values_of(buffer)
    assert set(found) == set(kept.values())
    for new, value in found.items():
        assert value in [values[old] for old in kept if kept[old] == new]
    assert buffer[layout.payload_offset :] == b"payload"
