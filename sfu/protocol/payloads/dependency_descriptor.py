"""The dependency descriptor (AV1 RTP specification, appendix A): layers of any codec, outside its payload.

Packets refer to templates that only the first packet of a keyframe carries; DependencyState keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass

from sfu.protocol.errors import MalformedPacket

MAX_SIZE = 255
MAX_TEMPLATES = 64
MAX_SPATIAL_LAYER = 3
MAX_TEMPORAL_LAYER = 7
NOT_PRESENT, DISCARDABLE, SWITCH, REQUIRED = range(4)
"""Decode target indications (table A.2): what a frame is to one who views a target."""
LATE_FRAMES = 256
"""A structure this many frames late, or fewer, is a repaired packet, and not a new sequence."""

_SAME, _NEXT_TEMPORAL, _NEXT_SPATIAL, _END = range(4)

Buffer = bytes | bytearray | memoryview
Differences = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """What frames have in common; differences are of frame numbers."""

    spatial_layer: int
    temporal_layer: int
    indications: tuple[int, ...]
    frame_differences: Differences
    chain_differences: Differences


@dataclass(frozen=True, slots=True)
class DependencyStructure:
    """The templates of a coded video sequence."""

    template_id_offset: int
    target_count: int
    templates: tuple[Template, ...]
    protected_by: tuple[int, ...]
    """The chain of each decode target; the number of chains where it has none."""
    chain_count: int
    resolutions: tuple[tuple[int, int], ...]
    """(Width, height) of each spatial layer, where the sender tells."""

    def target_layers(self, target: int) -> tuple[int, int]:
        """Return the highest spatial and the highest temporal layer that belong to a decode target."""
        present = [template for template in self.templates if template.indications[target] != NOT_PRESENT]
        return (
            max((template.spatial_layer for template in present), default=0),
            max((template.temporal_layer for template in present), default=0),
        )


class DependencyDescriptor:
    """What the descriptor of one packet says."""

    __slots__ = (
        "active_targets",
        "chain_differences",
        "end_of_frame",
        "frame_differences",
        "frame_number",
        "indications",
        "keyframe",
        "spatial_layer",
        "start_of_frame",
        "structure",
        "temporal_layer",
    )

    active_targets: int
    """A bit for each decode target that is being produced."""
    chain_differences: Differences
    end_of_frame: bool
    frame_differences: Differences
    frame_number: int
    indications: tuple[int, ...]
    keyframe: bool
    """The first packet of a sequence: it brought the structure."""
    spatial_layer: int
    start_of_frame: bool
    structure: DependencyStructure
    temporal_layer: int

    def is_switching_point(self, target: int) -> bool:
        """Return whether a decode target can be entered with this frame."""
        return target < len(self.indications) and self.indications[target] == SWITCH


class BitReader:
    """Reads unsigned numbers from the highest bit on."""

    __slots__ = ("_remaining", "_value")

    def __init__(self, data: Buffer) -> None:
        self._value = int.from_bytes(data, "big")
        self._remaining = 8 * len(data)

    def read(self, bits: int) -> int:
        """Return the next `bits` bits: f(n) of the specification."""
        self._remaining -= bits
        if self._remaining < 0:
            raise MalformedPacket("dependency descriptor too short")
        return self._value >> self._remaining & (1 << bits) - 1

    def read_below(self, limit: int) -> int:
        """Return a number below `limit`: ns(n) of the specification."""
        width = limit.bit_length()
        short = (1 << width) - limit
        value = self.read(width - 1)
        return value if value < short else (value << 1) - short + self.read(1)


class DependencyState:
    """Reads the descriptors of one stream in the order they arrive."""

    __slots__ = ("_active_targets", "_structure", "_structure_frame")

    def __init__(self) -> None:
        self._structure: DependencyStructure | None = None
        self._structure_frame = 0
        self._active_targets = 0

    @property
    def structure(self) -> DependencyStructure | None:
        """The present templates."""
        return self._structure

    def read(self, data: Buffer) -> DependencyDescriptor | None:
        """Return what `data` says; None before the first structure, and after one that got lost."""
        if not 3 <= len(data) <= MAX_SIZE:
            raise MalformedPacket(f"dependency descriptor of {len(data)} bytes")
        found = DependencyDescriptor()
        found.start_of_frame = data[0] > 0x7F
        found.end_of_frame = bool(data[0] & 0x40)
        found.frame_number = data[1] << 8 | data[2]
        found.keyframe = False
        reader = BitReader(data[3:])
        flags = reader.read(5) if len(data) > 3 else 0
        structure = self._structure_for(flags, reader, found)
        template = _template(structure, data[0] & 0x3F)
        if structure is None or template is None:
            return None
        found.structure = structure
        _read_definition(flags, reader, template, found)
        self._adopt(found)
        return found

    def _structure_for(
        self, flags: int, reader: BitReader, found: DependencyDescriptor
    ) -> DependencyStructure | None:
        """A.4.1 extended_descriptor_fields: a structure and the active targets, where they are present."""
        structure = self._structure
        found.active_targets = self._active_targets
        if flags & 0x10:
            structure = _read_structure(reader)
            found.active_targets = (1 << structure.target_count) - 1
            found.keyframe = found.start_of_frame
        if flags & 0x08 and structure is not None:
            found.active_targets = reader.read(structure.target_count)
        return structure

    def _adopt(self, found: DependencyDescriptor) -> None:
        """Keep what is newer than the present structure; malformed descriptors have raised before."""
        lateness = (self._structure_frame - found.frame_number) & 0xFFFF
        if self._structure is not None and 0 < lateness <= LATE_FRAMES:
            return
        self._active_targets = found.active_targets
        if found.structure is not self._structure:
            self._structure = found.structure
            self._structure_frame = found.frame_number


def _template(structure: DependencyStructure | None, template_id: int) -> Template | None:
    if structure is None:
        return None
    index = (template_id - structure.template_id_offset) % MAX_TEMPLATES
    return structure.templates[index] if index < len(structure.templates) else None


def _read_definition(flags: int, reader: BitReader, template: Template, found: DependencyDescriptor) -> None:
    """A.4.1 frame_dependency_definition: the template, or what the frame has of its own."""
    found.spatial_layer = template.spatial_layer
    found.temporal_layer = template.temporal_layer
    found.indications = template.indications
    found.frame_differences = template.frame_differences
    found.chain_differences = template.chain_differences
    if flags & 0x04:
        found.indications = _read_numbers(reader, found.structure.target_count, 2)
    if flags & 0x02:
        found.frame_differences = _read_frame_differences(reader)
    if flags & 0x01:
        found.chain_differences = _read_numbers(reader, found.structure.chain_count, 8)


def _read_numbers(reader: BitReader, count: int, bits: int) -> tuple[int, ...]:
    return tuple(reader.read(bits) for _ in range(count))


def _read_frame_differences(reader: BitReader) -> Differences:
    differences = []
    while size := reader.read(2):
        differences.append(reader.read(4 * size) + 1)
    return tuple(differences)


def _read_structure(reader: BitReader) -> DependencyStructure:
    """A.4.1 template_dependency_structure."""
    template_id_offset = reader.read(6)
    target_count = reader.read(5) + 1
    layers = _read_layers(reader)
    indications = [_read_numbers(reader, target_count, 2) for _ in layers]
    frame_differences = [_read_template_differences(reader) for _ in layers]
    chain_count = reader.read_below(target_count + 1)
    protected_by: tuple[int, ...] = ()
    if chain_count:
        protected_by = tuple(reader.read_below(chain_count + 1) for _ in range(target_count))
    chains = [_read_numbers(reader, chain_count, 4) for _ in layers]
    resolutions: tuple[tuple[int, int], ...] = ()
    if reader.read(1):
        resolutions = tuple((reader.read(16) + 1, reader.read(16) + 1) for _ in range(layers[-1][0] + 1))
    templates = tuple(
        Template(spatial, temporal, *parts)
        for (spatial, temporal), *parts in zip(layers, indications, frame_differences, chains, strict=True)
    )
    return DependencyStructure(
        template_id_offset, target_count, templates, protected_by, chain_count, resolutions
    )


def _read_layers(reader: BitReader) -> list[tuple[int, int]]:
    """Return (spatial, temporal) of each template (table A.3)."""
    spatial = temporal = 0
    layers = [(0, 0)]
    while (step := reader.read(2)) != _END:
        if step == _NEXT_TEMPORAL:
            temporal += 1
        elif step == _NEXT_SPATIAL:
            temporal = 0
            spatial += 1
        layers.append((spatial, temporal))
        if len(layers) > MAX_TEMPLATES or spatial > MAX_SPATIAL_LAYER or temporal > MAX_TEMPORAL_LAYER:
            raise MalformedPacket("dependency structure of too many templates or layers")
    return layers


def _read_template_differences(reader: BitReader) -> Differences:
    differences = []
    while reader.read(1):
        differences.append(reader.read(4) + 1)
    return tuple(differences)
