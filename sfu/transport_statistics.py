"""Figures of one transport in the manner of webrtc-stats (W3C)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.peer_link import PeerLink
from sfu.protocol.ice_lite import IceState
from sfu.receiving import Receiving
from sfu.sending import Sending

if TYPE_CHECKING:
    from sfu.transport import WebRtcTransport


def transport_statistics(
    transport: WebRtcTransport, link: PeerLink, receiving: Receiving, sending: Sending, now: float
) -> list[dict[str, object]]:
    """Return the transport's figures, then those of each producer and consumer."""
    found = [_transport(transport, link, receiving, sending, now), *_candidate_pair(transport, link)]
    for producer in transport.producers:
        found += producer.statistics()
    for consumer in transport.consumers:
        found += consumer.statistics()
    return found


def _transport(
    transport: WebRtcTransport, link: PeerLink, receiving: Receiving, sending: Sending, now: float
) -> dict[str, object]:
    return {
        "id": transport.id,
        "type": "transport",
        "state": transport.state.value,
        "dtlsState": link.dtls.state.value,
        "dtlsRole": link.role,
        "iceState": link.ice.state.value,
        "iceRole": link.ice.role,
        "srtpCipher": link.srtp.profile.name.decode() if link.srtp is not None else None,
        "bytesReceived": receiving.rate.total,
        "packetsReceived": receiving.rate.packets,
        "packetsDiscardedOnReceive": transport.discarded_packets,
        "incomingBitrate": receiving.rate.bitrate(now),
        "bytesSent": sum(path.octets for path in sending.paths),
        "packetsSent": sum(path.packets for path in sending.paths),
        "packetsDiscardedOnSend": sum(path.dropped for path in sending.paths),
        "availableOutgoingBitrate": sending.bandwidth.estimate if sending.bandwidth is not None else None,
        "roundTripTime": receiving.round_trip,
    }


def _candidate_pair(transport: WebRtcTransport, link: PeerLink) -> list[dict[str, object]]:
    selected = link.ice.selected
    if selected is None:
        return []
    return [
        {
            "id": f"{transport.id}-pair",
            "type": "candidate-pair",
            "transportId": transport.id,
            "protocol": selected.transport,
            "remoteAddress": selected.host,
            "remotePort": selected.port,
            "nominated": link.ice.state is IceState.COMPLETED,
        }
    ]
