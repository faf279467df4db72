"""Whose stream is this packet? By SSRC; before that is known by mid, rid or payload type (RFC 8843 9.2)."""

from __future__ import annotations

from sfu.errors import DuplicateStream
from sfu.producer_stream import Places
from sfu.protocol.codecs import MID, REPAIRED_RID, RID
from sfu.protocol.rtp import RtpHeader
from sfu.received_producer import ReceivedProducer
from sfu.received_stream import ReceivedStream

Found = tuple[ReceivedProducer, ReceivedStream]


class RtpListener:
    """The producers of one transport; holds two SSRCs per stream at most, whatever the peer sends."""

    def __init__(self) -> None:
        self.by_ssrc: dict[int, Found] = {}
        self.producers: list[ReceivedProducer] = []
        self._by_mid: dict[str, ReceivedProducer] = {}
        self._ids: dict[str, int] = {}

    def extension_id(self, uri: str) -> int:
        """Return the peer's id of a header extension, 0 if no producer has it."""
        return self._ids.get(uri, 0)

    def add(self, producer: ReceivedProducer) -> None:
        """Listen for `producer`; raises DuplicateStream, and has changed nothing then."""
        mid = producer.rtp_parameters.mid
        if mid is not None and mid in self._by_mid:
            raise DuplicateStream(f"the mid {mid} is in use")
        for received in producer.received:
            for ssrc in (received.ssrc, received.rtx_ssrc):
                if ssrc and ssrc in self.by_ssrc:
                    raise DuplicateStream(f"the SSRC {ssrc} is in use")
        if mid is not None:
            self._by_mid[mid] = producer
        for received in producer.received:
            for ssrc in (received.ssrc, received.rtx_ssrc):
                if ssrc:
                    self.by_ssrc[ssrc] = (producer, received)
        self.producers.append(producer)
        self._collect_ids()

    def remove(self, producer: ReceivedProducer) -> None:
        """Forget `producer`."""
        if producer in self.producers:
            self.producers.remove(producer)
        self._by_mid = {mid: other for mid, other in self._by_mid.items() if other is not producer}
        self.by_ssrc = {ssrc: found for ssrc, found in self.by_ssrc.items() if found[0] is not producer}
        self._collect_ids()

    def find(self, packet: bytes, header: RtpHeader, places: Places) -> Found | None:
        """Return whose packet it is, and know its SSRC from then on."""
        found = self.by_ssrc.get(header.ssrc)
        if found is None:
            found = self._discover(packet, header, places)
        return found

    def _discover(self, packet: bytes, header: RtpHeader, places: Places) -> Found | None:
        rid = self._text(RID, packet, places)
        repaired = self._text(REPAIRED_RID, packet, places)
        producer = self._producer_of(packet, header, places, rid or repaired)
        if producer is None:
            return None
        received = _stream_of(producer, rid or repaired)
        if received is None:
            return None
        if header.payload_type in received.payload_types:
            self._learn(header.ssrc, received.ssrc, producer, received)
            received.adopt(header.ssrc)
        elif header.payload_type == received.rtx_payload_type:
            self._learn(header.ssrc, received.rtx_ssrc, producer, received)
            received.rtx_ssrc = header.ssrc
        else:
            return None
        return producer, received

    def _learn(self, ssrc: int, before: int, producer: ReceivedProducer, received: ReceivedStream) -> None:
        """Take `ssrc` in the place of the stream's SSRC `before`."""
        self.by_ssrc.pop(before, None)
        self.by_ssrc[ssrc] = (producer, received)

    def _producer_of(
        self, packet: bytes, header: RtpHeader, places: Places, rid: str | None
    ) -> ReceivedProducer | None:
        mid = self._text(MID, packet, places)
        if mid is not None:
            return self._by_mid.get(mid)
        candidates = [
            producer
            for producer in self.producers
            for received in producer.received
            if header.payload_type in (*received.payload_types, received.rtx_payload_type)
            and (rid is None or received.rid == rid)
        ]
        return candidates[0] if len(set(candidates)) == 1 else None

    def _text(self, uri: str, packet: bytes, places: Places) -> str | None:
        place = places.get(self._ids.get(uri, 0))
        if place is None:
            return None
        return packet[place[0] : place[0] + place[1]].decode("ascii", "replace")

    def _collect_ids(self) -> None:
        """One bundle has one meaning per id (RFC 8843 9.1): later producers only add to it."""
        self._ids = {}
        for producer in self.producers:
            for uri, identifier in producer.extension_ids.items():
                self._ids.setdefault(uri, identifier)


def _stream_of(producer: ReceivedProducer, rid: str | None) -> ReceivedStream | None:
    if rid is not None:
        for received in producer.received:
            if received.rid == rid:
                return received
    return producer.received[0] if len(producer.received) == 1 else None
