"""Taking a transport stream apart, strictly (ISO 13818-1, 2.4)."""

import re
from dataclasses import dataclass
from typing import NamedTuple

SYNC_BYTE = 0x47
PACKET_SIZE = 188


class TsPacket(NamedTuple):
    pid: int
    is_start: bool
    continuity: int
    is_random_access: bool
    clock: int | None
    """Program clock reference in ticks of 90 kHz."""
    payload: bytes


@dataclass(frozen=True)
class Pes:
    stream_id: int
    pts: int
    dts: int
    data: bytes


def read_packets(data: bytes) -> list[TsPacket]:
    assert len(data) % PACKET_SIZE == 0
    return [_read_packet(data[at : at + PACKET_SIZE]) for at in range(0, len(data), PACKET_SIZE)]


def read_pes(packets: list[TsPacket], pid: int) -> list[Pes]:
    """The PES packets on ``pid``, which begins with the start of one."""
    units: list[bytes] = []
    for packet in packets:
        if packet.pid != pid:
            continue
        if packet.is_start:
            units.append(packet.payload)
        else:
            units[-1] += packet.payload
    return [_read_pes(unit) for unit in units]


def split_byte_stream(data: bytes) -> list[bytes]:
    """The NAL units of an Annex B byte stream."""
    return re.split(rb"\x00{2,3}\x01", data)[1:]


def _read_packet(packet: bytes) -> TsPacket:
    assert packet[0] == SYNC_BYTE
    pid = int.from_bytes(packet[1:3], "big") & 0x1FFF
    position, is_random_access, clock = 4, False, None
    if packet[3] & 0x20:
        length = packet[4]
        position = 5 + length
        if length:
            is_random_access = bool(packet[5] & 0x40)
        if length and packet[5] & 0x10:
            clock = int.from_bytes(packet[6:12], "big") >> 15
    assert packet[3] & 0x10, "payload"
    return TsPacket(pid, bool(packet[1] & 0x40), packet[3] & 0x0F, is_random_access, clock, packet[position:])


def _read_pes(unit: bytes) -> Pes:
    assert unit[:3] == b"\x00\x00\x01"
    length = int.from_bytes(unit[4:6], "big")
    assert length in (0, len(unit) - 6)
    assert unit[6] & 0xC0 == 0x80
    pts = _timestamp(unit[9:14])
    dts = _timestamp(unit[14:19]) if unit[7] & 0x40 else pts
    return Pes(unit[3], pts, dts, unit[9 + unit[8] :])


def _timestamp(field: bytes) -> int:
    assert field[0] & field[2] & field[4] & 1, "marker bits"
    return (field[0] >> 1 & 7) << 30 | (field[1] << 7 | field[2] >> 1) << 15 | field[3] << 7 | field[4] >> 1
