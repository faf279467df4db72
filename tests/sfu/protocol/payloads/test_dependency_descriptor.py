"""Dependency descriptors: the specification's examples, what a state keeps, and bytes that lie."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol.errors import MalformedPacket
from sfu.protocol.payloads.dependency_descriptor import (
    DISCARDABLE,
    MAX_TEMPLATES,
    NOT_PRESENT,
    REQUIRED,
    SWITCH,
    DependencyState,
    DependencyStructure,
    Template,
)
from tests.sfu.protocol.payloads.descriptors import BitWriter, extended, mandatory

S, D, R, N = SWITCH, DISCARDABLE, REQUIRED, NOT_PRESENT
L1T3 = DependencyStructure(
    60,
    3,
    (
        Template(0, 0, (S, S, S), (), (0,)),
        Template(0, 0, (S, S, S), (4,), (4,)),
        Template(0, 1, (S, D, N), (2,), (2,)),
        Template(0, 2, (D, N, N), (1,), (1,)),
        Template(0, 2, (D, N, N), (1,), (3,)),
    ),
    (0, 0, 0),
    1,
    (),
)
L2T1 = DependencyStructure(
    7,
    2,
    (
        Template(0, 0, (S, S), (), (0, 0)),
        Template(0, 0, (R, S), (2,), (2, 1)),
        Template(0, 0, (S, S), (2,), (2, 1)),
        Template(1, 0, (S, N), (1,), (1, 1)),
        Template(1, 0, (R, N), (2, 1), (1, 1)),
    ),
    (1, 0),
    2,
    ((640, 360), (65536, 720)),
)
"""The examples of A.6.1 and A.6.2."""


@pytest.mark.parametrize("structure", [L1T3, L2T1])
def test_the_first_packet_brings_the_structure(structure: DependencyStructure) -> None:
    state = DependencyState()
    found = state.read(mandatory(structure.template_id_offset, 9, end=False) + extended(structure))
    assert found is not None
    assert (found.structure, state.structure) == (structure, structure)
    assert (found.keyframe, found.start_of_frame, found.end_of_frame, found.frame_number) == (
        True,
        True,
        False,
        9,
    )
    assert found.active_targets == (1 << structure.target_count) - 1
    assert all(found.is_switching_point(target) for target in range(structure.target_count))
    assert not found.is_switching_point(structure.target_count)


def test_later_packets_name_a_template() -> None:
    state = _state(L1T3)
    found = state.read(mandatory(62, 10))
    assert found is not None
    assert (found.spatial_layer, found.temporal_layer, found.keyframe) == (0, 1, False)
    assert (found.indications, found.frame_differences, found.chain_differences) == ((S, D, N), (2,), (2,))
    wrapped = state.read(mandatory(0, 11))
    assert wrapped is not None
    assert (wrapped.temporal_layer, wrapped.chain_differences) == (2, (3,))


def test_targets_have_layers() -> None:
    assert [L1T3.target_layers(target) for target in range(3)] == [(0, 2), (0, 1), (0, 0)]
    assert [L2T1.target_layers(target) for target in range(2)] == [(1, 0), (0, 0)]


def test_a_frame_may_differ_from_its_template() -> None:
    custom = extended(indications=(R, N), frame_differences=(4096, 1), chain_differences=(255, 3))
    found = _state(L2T1).read(mandatory(8, 2) + custom)
    assert found is not None
    assert (found.indications, found.frame_differences, found.chain_differences) == (
        (R, N),
        (4096, 1),
        (255, 3),
    )


def test_active_targets_stay_until_they_change() -> None:
    state = _state(L2T1)
    changed = state.read(mandatory(8, 2) + extended(active_targets=2, target_count=2))
    later = state.read(mandatory(8, 3))
    assert changed is not None and later is not None
    assert (changed.active_targets, later.active_targets) == (2, 2)


def test_nothing_is_known_without_the_structure() -> None:
    state = DependencyState()
    assert state.read(mandatory(7, 1)) is None
    assert state.read(mandatory(7, 1) + extended(active_targets=0, target_count=0)) is None
    assert _state(L2T1).read(mandatory(12, 2)) is None


def test_a_repaired_packet_does_not_bring_back_an_old_structure() -> None:
    state = _state(L1T3, 0)
    assert state.read(mandatory(7, 100) + extended(L2T1)) is not None
    late = state.read(mandatory(60, 0) + extended(L1T3))
    assert late is not None and late.structure == L1T3
    assert state.structure == L2T1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x00",
        bytes(256),
        mandatory(0, 0) + b"\x80",
        mandatory(7, 0) + extended(L2T1)[:-1],
        mandatory(7, 0) + b"\x0f",
    ],
)
def test_a_short_descriptor_is_refused(data: bytes) -> None:
    state = _state(L2T1)
    with pytest.raises(MalformedPacket):
        state.read(data)


@pytest.mark.parametrize("steps", [[0] * MAX_TEMPLATES, [1] * 8, [2] * 4])
def test_too_many_templates_or_layers_are_refused(steps: list[int]) -> None:
    writer = BitWriter()
    writer.write(0x10, 5)
    writer.write(0, 11)
    for step in steps:
        writer.write(step, 2)
    state = _state(L2T1)
    with pytest.raises(MalformedPacket, match="too many"):
        state.read(mandatory(0, 0) + writer.finish() + bytes(30))
    assert state.structure == L2T1


@given(st.binary(max_size=255), st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(first: bytes, second: bytes) -> None:
    for state in (DependencyState(), _state(L1T3)):
        for data in (first, b"\x80\x00\x00\x80" + second, second):
            with suppress(MalformedPacket):
                state.read(data)


def _state(structure: DependencyStructure, frame_number: int = 1) -> DependencyState:
    state = DependencyState()
    state.read(mandatory(structure.template_id_offset, frame_number) + extended(structure))
    return state
