"""What one incoming packet is to its stream: the start of a keyframe or frame, and of which layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sfu.protocol.errors import MalformedPacket
from sfu.protocol.payloads import vp8, vp9
from sfu.protocol.payloads.dependency_descriptor import SWITCH, DependencyState
from sfu.protocol.payloads.keyframes import keyframe_test
from sfu.protocol.simulcast import LayerPacket

Payload = bytes | memoryview


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
    packet.layer_sync = found.switching_point
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

    __slots__ = ("_dependencies", "_descriptor_id", "_read")

    def __init__(self, mime_type: str, descriptor_id: int) -> None:
        """`descriptor_id` is the header extension's, 0 if the peer does not send it."""
        name = mime_type.lower()
        self._read = _READERS.get(name) or _reader_of_keyframes(name)
        self._descriptor_id = descriptor_id
        self._dependencies = DependencyState()

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

    def restart(self) -> None:
        """Forget the templates: the stream begins anew."""
        self._dependencies = DependencyState()
