"""How much work it is to read a packet: told from its lengths and counts, before anything is expanded."""

from __future__ import annotations

import struct
from typing import Final

from sfu.protocol.rtcp.feedback import FIR, NACK
from sfu.protocol.rtcp.framing import PAYLOAD_FEEDBACK, RTP_FEEDBACK
from sfu.protocol.rtcp.transport_feedback import TRANSPORT_FEEDBACK

_SOURCES_SIZE: Final = 8
_COUNT_AT: Final = _SOURCES_SIZE + 2
_COUNT: Final = struct.Struct("!H")
_FIR_ENTRY_SIZE: Final = 8


def is_transport_feedback(packet: tuple[int, int, bytes]) -> bool:
    """Return whether a packet of `split` is feedback of congestion control."""
    return packet[0] == RTP_FEEDBACK and packet[1] == TRANSPORT_FEEDBACK


def cost(packet: tuple[int, int, bytes]) -> int:
    """Return how many numbers, statuses or orders `read` would make of a packet of `split`, at least 1."""
    packet_type, kind, body = packet
    if packet_type == RTP_FEEDBACK and kind == NACK:
        information = body[_SOURCES_SIZE:]
        masks = information[2::4] + information[3::4]
        return max(1, len(information) // 4 + int.from_bytes(masks).bit_count())
    if is_transport_feedback(packet) and len(body) >= _COUNT_AT + _COUNT.size:
        return max(1, int(_COUNT.unpack_from(body, _COUNT_AT)[0]))
    if packet_type == PAYLOAD_FEEDBACK and kind == FIR:
        return max(1, (len(body) - _SOURCES_SIZE) // _FIR_ENTRY_SIZE)
    return 1
