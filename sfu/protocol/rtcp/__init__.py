"""RTCP (RFC 3550 6): `parse` a compound into events; every event has `serialize()`."""

from __future__ import annotations

from collections.abc import Callable

from sfu.protocol.errors import MalformedPacket
from sfu.protocol.rtcp import framing
from sfu.protocol.rtcp.cost import cost, is_transport_feedback
from sfu.protocol.rtcp.feedback import (
    APPLICATION_LAYER,
    FIR,
    MAX_NACK_NUMBERS,
    NACK,
    PLI,
    FullIntraRequest,
    Nack,
    PictureLossIndication,
    ReceiverEstimatedMaximumBitrate,
    nack,
    pli,
    read_feedback,
    read_fir,
    read_nack,
)
from sfu.protocol.rtcp.framing import MAX_COMPOUND_SIZE, PAYLOAD_FEEDBACK, RTP_FEEDBACK, join, split
from sfu.protocol.rtcp.reports import (
    MAX_NAME_SIZE,
    ExtendedReport,
    Goodbye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    sender_report,
)
from sfu.protocol.rtcp.transport_feedback import (
    MAX_STATUSES,
    TIME_PERIOD_US,
    TRANSPORT_FEEDBACK,
    TransportFeedback,
)

__all__ = [
    "FIR",
    "MAX_COMPOUND_SIZE",
    "MAX_NACK_NUMBERS",
    "MAX_NAME_SIZE",
    "MAX_STATUSES",
    "MAX_TRANSPORT_FEEDBACKS",
    "NACK",
    "PAYLOAD_FEEDBACK",
    "PLI",
    "RTP_FEEDBACK",
    "TIME_PERIOD_US",
    "TRANSPORT_FEEDBACK",
    "Event",
    "ExtendedReport",
    "FullIntraRequest",
    "Goodbye",
    "Nack",
    "PictureLossIndication",
    "ReceiverEstimatedMaximumBitrate",
    "ReceiverReport",
    "ReportBlock",
    "SenderReport",
    "SourceDescription",
    "TransportFeedback",
    "cost",
    "is_transport_feedback",
    "join",
    "nack",
    "parse",
    "pli",
    "read",
    "read_feedback",
    "read_fir",
    "read_nack",
    "sender_report",
    "split",
]

MAX_TRANSPORT_FEEDBACKS = 4
"""In one compound: each takes 24 bytes to speak of MAX_STATUSES packets."""

Feedback = (
    Nack | PictureLossIndication | FullIntraRequest | ReceiverEstimatedMaximumBitrate | TransportFeedback
)
Event = SenderReport | ReceiverReport | SourceDescription | Goodbye | ExtendedReport | Feedback


def parse(
    compound: bytes, is_wanted: Callable[[tuple[int, int, bytes]], bool] = lambda packet: True
) -> list[Event]:
    """Return what a compound says; packets of unknown types and formats are skipped (RFC 3550 6.1).

    So are packets of `split` that are not wanted; they are not read at all.
    """
    packets = split(compound)
    if sum(map(is_transport_feedback, packets)) > MAX_TRANSPORT_FEEDBACKS:
        raise MalformedPacket("RTCP of too many transport feedbacks")
    return [event for packet in packets if is_wanted(packet) and (event := read(packet)) is not None]


def read(packet: tuple[int, int, bytes]) -> Event | None:
    """Return what one packet of `split` says, or None where its type or format is unknown."""
    packet_type, count, body = packet
    if packet_type == framing.SENDER_REPORT:
        return SenderReport.read(count, body)
    if packet_type == framing.RECEIVER_REPORT:
        return ReceiverReport.read(count, body)
    if packet_type == framing.SOURCE_DESCRIPTION:
        return SourceDescription.read(count, body)
    if packet_type == framing.GOODBYE:
        return Goodbye.read(count, body)
    if packet_type == framing.EXTENDED_REPORT:
        return ExtendedReport.read(body)
    if packet_type in (RTP_FEEDBACK, PAYLOAD_FEEDBACK):
        return _read_feedback(packet_type, count, body)
    return None


def _read_feedback(packet_type: int, kind: int, body: bytes) -> Feedback | None:
    sender, media, information = read_feedback(body)
    if packet_type == RTP_FEEDBACK:
        if kind == NACK:
            return Nack(sender, media, tuple(read_nack(information)))
        if kind == TRANSPORT_FEEDBACK:
            return TransportFeedback.read(sender, media, information)
        return None
    if kind == PLI:
        return PictureLossIndication(sender, media)
    if kind == FIR:
        return FullIntraRequest(sender, tuple(read_fir(information)))
    if kind == APPLICATION_LAYER:
        return ReceiverEstimatedMaximumBitrate.read(sender, information)
    return None
