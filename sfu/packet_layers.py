"""What one incoming packet is to its stream: the start of a keyframe or frame, and of which layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sfu.protocol.errors import MalformedPacket
from sfu.protocol.payloads import vp8, vp9
from sfu.protocol.payloads.dependency_descriptor import (
    MAX_TEMPLATES,
    SWITCH,
    DependencyDescriptor,
    DependencyState,
    DependencyStructure,
)
from sfu.protocol.payloads.keyframes import keyframe_test
from sfu.protocol.simulcast import MAX_TEMPORAL, NONE, LayerPacket

Payload = bytes | memoryview

MAX_KEPT_INDICATIONS: Final = MAX_TEMPLATES
"""Frames may have their own instead of their template's; few do."""


class StreamPacket(LayerPacket):
    """What all consumers of a packet share; `LayerPacket` is what layer switching needs of it."""

    __slots__ = ("arrived_at", "end_of_frame", "payload", "spatial", "unused_above")

    def __init__(
        self, layer: int, sequence_number: int, timestamp: int, source: int, arrived_at: float
    ) -> None:
        super().__init__(layer, sequence_number, timestamp, source=source)
        self.arrived_at = arrived_at
        self.payload: Payload = b""
        self.spatial = 0
        self.end_of_frame = False
        self.unused_above = False


Reader = Callable[[StreamPacket, Payload], None]


def _read_vp8(packet: StreamPacket, payload: Payload) -> None:
    found = vp8.parse(payload)
    packet.keyframe = found.keyframe
    packet.start_of_frame = found.start_of_frame
    packet.temporal = found.temporal_layer
    packet.layer_sync = found.layer_sync


def _read_vp9(packet: StreamPacket, payload: Payload) -> None:
    found = vp9.parse(payload)
    packet.keyframe = found.keyframe
    packet.start_of_frame = found.start_of_frame
    packet.end_of_frame = found.end_of_frame
    packet.temporal = found.temporal_layer
    packet.switch_up = MAX_TEMPORAL if found.switching_point else NONE
    packet.spatial = found.spatial_layer
    packet.unused_above = found.unused_above


def _reader_of_keyframes(mime_type: str) -> Reader:
    test = keyframe_test(mime_type)

    def read(packet: StreamPacket, payload: Payload) -> None:
        packet.keyframe = test is None or test(payload)

    return read


_READERS: Final[dict[str, Reader]] = {"video/vp8": _read_vp8, "video/vp9": _read_vp9}


class LayerReader:
    """Reads the layers of one stream's packets: by the dependency descriptor where there is one."""

    __slots__ = ("_dependencies", "_descriptor_id", "_read", "_structure", "_switches")

    def __init__(self, mime_type: str, descriptor_id: int) -> None:
        """`descriptor_id` is the header extension's, 0 if the peer does not send it."""
        name = mime_type.lower()
        self._read = _READERS.get(name) or _reader_of_keyframes(name)
        self._descriptor_id = descriptor_id
        self._dependencies = DependencyState()
        self._structure: DependencyStructure | None = None
        self._switches: dict[tuple[int, ...], int] = {}

    def read(self, packet: StreamPacket, data: bytes, places: dict[int, tuple[int, int]]) -> None:
        """Fill in what `packet.payload`, or the descriptor in the whole packet `data`, says; never raises.

        A packet that cannot be read passes as one of the lowest layer: the decoder is to judge it.
        """
        try:
            self._read(packet, packet.payload)
            place = places.get(self._descriptor_id) if self._descriptor_id else None
            if place is not None:
                self._read_descriptor(packet, data[place[0] : place[0] + place[1]])
        except MalformedPacket:
            return

    def _read_descriptor(self, packet: StreamPacket, descriptor: bytes) -> None:
        found = self._dependencies.read(descriptor)
        if found is None:
            return
        packet.keyframe = found.keyframe
        packet.start_of_frame = found.start_of_frame
        packet.end_of_frame = found.end_of_frame
        packet.spatial = found.spatial_layer
        packet.temporal = found.temporal_layer
        packet.layer_sync = SWITCH in found.indications
        packet.switch_up = self._switch_up(found)

    def _switch_up(self, found: DependencyDescriptor) -> int:
        """Return the highest temporal layer of the decode targets that can be entered with a frame."""
        if found.structure is not self._structure:
            self._structure, self._switches = found.structure, {}
        known = self._switches.get(found.indications)
        if known is None:
            structure = found.structure
            entered = [target for target in range(structure.target_count) if found.is_switching_point(target)]
            known = max((structure.target_layers(target)[1] for target in entered), default=NONE)
            if len(self._switches) < MAX_KEPT_INDICATIONS:
                self._switches[found.indications] = known
        return known

    def restart(self) -> None:
        """Forget the templates: the stream begins anew."""
        self._dependencies = DependencyState()
