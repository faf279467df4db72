"""AV1 temporal units out of RTP payloads."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.gateways.rtp_av1 import MAX_OBUS, Av1Format
from mediaserver.media.codecs.av1 import describe, split_obus
from mediaserver.media.packet import Codec
from sfu.protocol.errors import MalformedPacket
from tests.helpers.encoded import HEIGHT, WIDTH, encode

DELIMITER = b"\x10"
KEYFRAME = b"\x30\x10" + b"k" * 50
FRAME = b"\x30\x30" + b"f" * 50


def _leb128(value: int) -> bytes:
    return bytes((value,)) if value < 128 else bytes((value & 127 | 128, value >> 7))


def _packetize(obus: Sequence[bytes], size: int) -> Iterator[bytes]:
    """One stream of OBU elements cut into packets of about ``size`` bytes, with a length before each."""
    packet, is_continuation = b"", False
    for obu in obus:
        rest = obu
        while rest:
            part, rest = rest[: size - len(packet)], rest[size - len(packet) :]
            packet += _leb128(len(part)) + part
            if rest or len(packet) >= size:
                yield bytes((is_continuation << 7 | bool(rest) << 6,)) + packet
                packet, is_continuation = b"", bool(rest)
    if packet:
        yield bytes((is_continuation << 7,)) + packet


def _without_sizes(sample: bytes) -> list[bytes]:
    """The OBUs as RTP carries them."""
    stripped = []
    for _, obu in split_obus(sample):
        start = 2 if obu[0] & 4 else 1
        body = start
        while obu[body] & 0x80:
            body += 1
        stripped.append(bytes((obu[0] & ~2,)) + obu[1:start] + obu[body + 1 :])
    return stripped


@pytest.mark.parametrize("size", [100, 1200, 60_000])
def test_encoded_video_comes_back_with_its_configuration(size: int) -> None:
    encoded = encode(Codec.AV1, None)
    payload_format = Av1Format()
    for packet in encoded.packets[:12]:
        obus = [DELIMITER, *_without_sizes(packet.payload)]
        payloads = list(_packetize(obus, min(size, 16_000)))
        assert payload_format.starts_frame(payloads[0])
        sample, is_keyframe = payload_format.assemble(payloads)
        assert is_keyframe == packet.is_keyframe
        assert [kind for kind, _ in split_obus(sample)] == [kind for kind, _ in split_obus(packet.payload)]
        assert _without_sizes(sample) == _without_sizes(packet.payload)
    assert payload_format.config is not None
    description = describe(payload_format.config)
    assert description == describe(encoded.tracks[0].config)
    assert (description.width, description.height) == (WIDTH, HEIGHT)
    assert payload_format.config[:4] == encoded.tracks[0].config[:4]


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=6), st.integers(20, 500))
def test_fragments_come_together(bodies: list[bytes], size: int) -> None:
    payloads = list(_packetize([b"\x20" + body for body in bodies], size))
    sample, is_keyframe = Av1Format().assemble(payloads)
    assert not is_keyframe
    assert [obu[-len(body) :] for (_, obu), body in zip(split_obus(sample), bodies, strict=True)] == bodies


def test_the_last_one_of_counted_units_has_no_length() -> None:
    payload = b"\x20" + _leb128(len(DELIMITER)) + DELIMITER + FRAME
    assert Av1Format().assemble([payload]) == (b"\x32" + _leb128(len(FRAME) - 1) + FRAME[1:], False)


def test_sizes_and_extensions_are_kept() -> None:
    extended = b"\x34\x20" + FRAME[1:]
    sized = b"\x32\x03\x30ab"
    sample, _ = Av1Format().assemble([b"\x10" + extended, b"\x10" + sized])
    assert sample == b"\x36\x20" + _leb128(len(extended) - 2) + extended[2:] + sized


def test_a_keyframe_needs_a_sequence_header() -> None:
    payload_format = Av1Format()
    assert payload_format.assemble([b"\x10" + KEYFRAME])[1] is False
    assert payload_format.config is None


def test_nothing_stored_is_no_frame() -> None:
    assert Av1Format().assemble([b"\x10" + DELIMITER, b""]) == (b"", False)


@pytest.mark.parametrize(
    ("payloads", "text"),
    [
        ([b"\x00"], "without OBUs"),
        ([b"\x90\x30"], "without a beginning"),
        ([b"\x50\x30", b"\x10\x30"], "without a beginning"),
        ([b"\x50\x30"], "last fragment"),
        ([b"\x00\x05\x30"], "past the end"),
        ([b"\x00\x00"], "is empty"),
        ([b"\x00\xff\xff\xff\xff\x01"], "does not end"),
        ([b"\x30\x01\x30"], "1 OBUs of 3"),
        ([b"\x10\xb0"], "OBU header"),
        ([b"\x10\x34"], "OBU header"),
        ([b"\x10\x32\x05\x30"], "larger"),
        ([b"\x10\x08\x00"], "sequence header"),
        ([b"\x00" + b"\x01\x30" * (MAX_OBUS + 1)], "more than"),
    ],
)
def test_refuses_malformed_units(payloads: list[bytes], text: str) -> None:
    with pytest.raises(MalformedPacket, match=text):
        Av1Format().assemble(payloads)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6))
def test_whatever_comes_is_read_or_refused(payloads: list[bytes]) -> None:
    payload_format = Av1Format()
    payload_format.starts_frame(payloads[0])
    try:
        sample, _ = payload_format.assemble(payloads)
    except MalformedPacket:
        return
    split_obus(sample)


def test_a_fragment_does_not_start_a_frame() -> None:
    assert not Av1Format().starts_frame(b"\x90\x30\x10")
    assert not Av1Format().starts_frame(b"\x10")
    assert Av1Format().starts_frame(b"\x10\x30")
