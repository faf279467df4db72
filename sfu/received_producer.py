"""A producer whose packets come from a peer."""

from __future__ import annotations

from typing import Protocol

from sfu.media_plane import MediaPlane
from sfu.producer import Producer, ProducerOwner
from sfu.producer_stream import Places, ProducerStream
from sfu.protocol import red
from sfu.protocol.codec_matching import is_rtx
from sfu.protocol.codecs import DEPENDENCY_DESCRIPTOR
from sfu.protocol.errors import MalformedPacket
from sfu.protocol.parameters import (
    Kind,
    RtpCodecParameters,
    RtpEncodingParameters,
    RtpParameters,
)
from sfu.protocol.rtp import RtpHeader
from sfu.received_stream import ReceivedStream
from sfu.redundancy import RedundantStream


class Uplink(Protocol):
    """The receiving side of the transport."""

    def send_pli(self, ssrc: int) -> None:
        """Ask the peer for a keyframe."""

    def remove(self, producer: ReceivedProducer) -> None:
        """Forget a producer."""

    def hear(self, producer: ReceivedProducer, packet: bytes, places: Places, now: float) -> None:
        """Take a packet of audio that went through, for its level."""


class ReceivedProducer(Producer):
    """One per `produce` of a transport; has a ReceivedStream per encoding."""

    def __init__(
        self,
        kind: Kind,
        rtp_parameters: RtpParameters,
        consumable_parameters: RtpParameters,
        plane: MediaPlane,
        owner: ProducerOwner,
        uplink: Uplink,
    ) -> None:
        super().__init__(kind, rtp_parameters, consumable_parameters, plane, owner)
        self._uplink = uplink
        codec = rtp_parameters.codecs[0]
        self.received = [self._receiver(encoding) for encoding in rtp_parameters.encodings]
        descriptor = self.extension_ids.get(DEPENDENCY_DESCRIPTOR, 0)
        for index, received in enumerate(self.received):
            received.stream = ProducerStream(index, codec, received.reception.clock, descriptor, self, plane)
            self.streams.append(received.stream)

    def _receiver(self, encoding: RtpEncodingParameters) -> ReceivedStream:
        codec = self.rtp_parameters.codecs[0]
        carried = red.carried_payload_type(codec)
        if carried is not None:
            return RedundantStream(encoding, codec, carried, self._on_keyframe, self._on_restart)
        rtx = _rtx_payload_type(self.rtp_parameters, codec)
        return ReceivedStream(encoding, codec, rtx, self._on_keyframe, self._on_restart)

    def receive(
        self,
        received: ReceivedStream,
        packet: bytes,
        header: RtpHeader,
        places: Places,
        size: int,
        now: float,
    ) -> bool:
        """Take a packet of one of the streams; False if it is none of it."""
        forwards = not self.paused
        try:
            taken = received.receive(packet, header, places, size, now, forwards)
        except MalformedPacket:
            return False
        if received.keyframe_needed:
            received.keyframe_needed = False
            self.request_keyframe(received.stream.index)
        if taken and forwards and self.kind == "audio":
            self._uplink.hear(self, packet, places, now)
        return taken

    def _on_keyframe(self, received: ReceivedStream) -> None:
        self.keyframe_requests.received(received.stream.index)

    def _on_restart(self, received: ReceivedStream, timestamp: int, now: float) -> None:
        received.stream.restart()
        for consumer in tuple(self.consumers.values()):
            consumer.selection.restart(received.stream.index, timestamp, now)
        self.refresh()
        self.request_keyframe(received.stream.index)

    def _ask_keyframe(self, stream: int) -> None:
        ssrc = self.received[stream].ssrc
        if ssrc:
            self._uplink.send_pli(ssrc)

    def _end(self) -> None:
        self._uplink.remove(self)

    def _stream_statistics(self, stream: ProducerStream, now: float) -> dict[str, object]:
        received = self.received[stream.index]
        found = super()._stream_statistics(stream, now)
        return found | {
            "ssrc": received.ssrc,
            "rid": received.rid,
            "packetsLost": received.reception.lost,
            "packetsRepaired": received.repaired,
            "packetsDuplicate": received.reception.duplicates,
            "jitter": received.reception.jitter,
            "nackedPackets": received.nacks.requested,
        }


def _rtx_payload_type(parameters: RtpParameters, codec: RtpCodecParameters) -> int | None:
    for entry in parameters.codecs:
        if is_rtx(entry) and entry.parameters.get("apt") == codec.payload_type:
            return entry.payload_type
    return None
