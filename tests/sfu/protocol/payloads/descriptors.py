"""Writes dependency descriptors (AV1 RTP specification A.4.1), for tests."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from sfu.protocol.payloads.dependency_descriptor import DependencyStructure, Template


class BitWriter:
    """Appends unsigned numbers bit by bit."""

    def __init__(self) -> None:
        self.bits = ""

    def write(self, value: int, bits: int) -> None:
        self.bits += f"{value:0{bits}b}" if bits else ""

    def write_below(self, value: int, limit: int) -> None:
        width = limit.bit_length()
        short = (1 << width) - limit
        if value < short:
            self.write(value, width - 1)
        else:
            self.write(value + short, width)

    def finish(self) -> bytes:
        padded = self.bits + "0" * (-len(self.bits) % 8)
        return bytes(int(padded[at : at + 8], 2) for at in range(0, len(padded), 8))


def mandatory(template_id: int, frame_number: int, start: bool = True, end: bool = True) -> bytes:
    return bytes((start << 7 | end << 6 | template_id, frame_number >> 8, frame_number & 0xFF))


def extended(
    structure: DependencyStructure | None = None,
    active_targets: int | None = None,
    target_count: int = 0,
    indications: Sequence[int] | None = None,
    frame_differences: Sequence[int] | None = None,
    chain_differences: Sequence[int] | None = None,
) -> bytes:
    writer = BitWriter()
    for part in (structure, active_targets, indications, frame_differences, chain_differences):
        writer.write(part is not None, 1)
    if structure is not None:
        _write_structure(writer, structure)
    if active_targets is not None:
        writer.write(active_targets, target_count)
    for indication in indications or ():
        writer.write(indication, 2)
    if frame_differences is not None:
        for difference in frame_differences:
            writer.write(3, 2)
            writer.write(difference - 1, 12)
        writer.write(0, 2)
    for difference in chain_differences or ():
        writer.write(difference, 8)
    return writer.finish()


def _write_structure(writer: BitWriter, structure: DependencyStructure) -> None:
    writer.write(structure.template_id_offset, 6)
    writer.write(structure.target_count - 1, 5)
    _write_layers(writer, structure.templates)
    for template in structure.templates:
        for indication in template.indications:
            writer.write(indication, 2)
    for template in structure.templates:
        for difference in template.frame_differences:
            writer.write(16 | difference - 1, 5)
        writer.write(0, 1)
    writer.write_below(structure.chain_count, structure.target_count + 1)
    for chain in structure.protected_by:
        writer.write_below(chain, structure.chain_count + 1)
    for template in structure.templates:
        for difference in template.chain_differences:
            writer.write(difference, 4)
    writer.write(bool(structure.resolutions), 1)
    for width, height in structure.resolutions:
        writer.write(width - 1, 16)
        writer.write(height - 1, 16)


def _write_layers(writer: BitWriter, templates: Sequence[Template]) -> None:
    for before, after in pairwise(templates):
        if after.spatial_layer != before.spatial_layer:
            writer.write(2, 2)
        else:
            writer.write(int(after.temporal_layer != before.temporal_layer), 2)
    writer.write(3, 2)
