"""RTP headers and header extensions: round trips, aiortc's view of them, and bytes that lie."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from aiortc.rtp import RtpPacket
from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol import rtp
from sfu.protocol.errors import MalformedPacket
from tests.sfu.protocol.packets import values_of

FIXED = struct.pack("!BBHLL", 0x90, 0xE0, 7, 90_000, 0xDECAFBAD)
EXTENSION_LISTS = st.dictionaries(st.integers(1, 255), st.binary(max_size=40), max_size=8).map(
    lambda found: list(found.items())
)


def _plain(payload: bytes = b"payload") -> bytes:
    return b"\x80" + FIXED[1:] + payload


def test_the_header_is_read_as_aiortc_writes_it() -> None:
    sent = RtpPacket(96, 1, 65535, 0xFFFFFFFF, 42, b"abc")
    sent.csrc = [1, 2]
    sent.padding_size = 5
    header = rtp.parse(sent.serialize())
    assert (header.payload_type, header.marker, header.sequence_number) == (96, True, 65535)
    assert (header.timestamp, header.ssrc, header.csrc_count) == (0xFFFFFFFF, 42, 2)
    assert (header.payload_offset, header.padding, header.extension_profile) == (20, 5, 0)


@given(EXTENSION_LISTS, st.binary(max_size=50))
def test_extensions_survive_a_round_trip(values: list[tuple[int, bytes]], payload: bytes) -> None:
    packet = _plain(payload)
    written = rtp.replace_extensions(packet, rtp.parse(packet), values)
    header = rtp.parse(written)
    found = rtp.extensions(written, header)
    assert {key: bytes(written[at : at + length]) for key, (at, length) in found.items()} == dict(values)
    assert written[header.payload_offset :] == payload
    assert rtp.replace_extensions(written, header, []) == packet


def test_one_byte_form_is_used_where_it_fits() -> None:
    assert rtp.serialize_extensions([(1, b"0")]) == b"\xbe\xde\x00\x01\x100\x00\x00"
    assert rtp.serialize_extensions([(15, b"0")])[:2] == b"\x10\x00"


def test_id_15_ends_a_one_byte_list() -> None:
    packet = FIXED + b"\xbe\xde\x00\x01\x10\x07\xf0\x20"
    assert rtp.extensions(packet, rtp.parse(packet)) == {1: (17, 1)}


def test_an_unknown_profile_has_no_extensions() -> None:
    packet = FIXED + b"\x12\x34\x00\x01abcd"
    assert rtp.extensions(packet, rtp.parse(packet)) == {}


def test_the_header_is_rewritten_in_place() -> None:
    packet = bytearray(_plain())
    rtp.rewrite_header(packet, 100, 1, 2, 3)
    header = rtp.parse(packet)
    assert (header.payload_type, header.sequence_number, header.timestamp, header.ssrc) == (100, 1, 2, 3)
    assert header.marker
    assert packet[12:] == b"payload"


def test_values_are_overwritten_and_read() -> None:
    packet = bytearray(8)
    rtp.write_transport_sequence(packet, 4, 65537)
    assert rtp.read_transport_sequence(packet, 4, 2) == 1
    assert rtp.read_audio_level(b"\x85", 0, 1) == (5, True)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        FIXED[:11],
        b"\x40" + FIXED[1:],
        bytes(rtp.MAX_PACKET_SIZE + 1),
        b"\x8f" + FIXED[1:],
        FIXED,
        FIXED + b"\xbe\xde\x00\x02abcd",
        FIXED + b"\xbe\xde\xff\xff" + bytes(1500),
        b"\xa0" + FIXED[1:] + b"\x00",
        b"\xa0" + FIXED[1:] + b"\x02",
    ],
)
def test_a_lying_header_is_refused(packet: bytes) -> None:
    with pytest.raises(MalformedPacket):
        rtp.parse(packet)


@pytest.mark.parametrize(
    "block", [b"\xbe\xde\x00\x01\x1fabc", b"\x10\x00\x00\x01\x01\x09ab", b"\x10\x00\x00\x01abc\x01"]
)
def test_a_lying_extension_is_refused(block: bytes) -> None:
    packet = FIXED + block
    with pytest.raises(MalformedPacket):
        rtp.extensions(packet, rtp.parse(packet))


@pytest.mark.parametrize("read", [rtp.read_transport_sequence, rtp.read_audio_level])
def test_an_empty_value_is_refused(read: object) -> None:
    assert callable(read)
    with pytest.raises(MalformedPacket):
        read(b"", 0, 0)


def test_a_repeated_extension_counts_as_its_last() -> None:
    assert values_of(FIXED + b"\xbe\xde\x00\x01\x10a\x10b") == {1: b"b"}


@pytest.mark.parametrize("value", [(0, b"a"), (256, b"a"), (1, bytes(256))])
def test_what_cannot_be_written_is_refused(value: tuple[int, bytes]) -> None:
    with pytest.raises(ValueError, match="header extension"):
        rtp.serialize_extensions([value])


@given(st.binary(max_size=120))
def test_any_bytes_are_read_or_refused(tail: bytes) -> None:
    for packet in (tail, FIXED + tail, FIXED + b"\xbe\xde" + tail, FIXED + b"\x10\x00" + tail):
        with suppress(MalformedPacket):
            rtp.extensions(packet, rtp.parse(packet))
