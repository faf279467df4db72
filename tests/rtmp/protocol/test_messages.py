import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmp.protocol import amf0
from rtmp.protocol.amf0 import EcmaArray
from rtmp.protocol.errors import LimitExceededError, MessageError
from rtmp.protocol.messages import (
    BandwidthLimit,
    Command,
    UserControlType,
    parse_command,
    parse_metadata,
    parse_set_peer_bandwidth,
    parse_user_control,
    parse_word,
    serialize_command,
    serialize_metadata,
    serialize_set_data_frame,
    serialize_set_peer_bandwidth,
    serialize_user_control,
    serialize_word,
    split_aggregate,
    strip_amf3_format,
)


def aggregated(type_id: int, timestamp: int, body: bytes) -> bytes:
    """One message of an aggregate: an FLV tag with the size of the tag behind it."""
    header = bytes((type_id,)) + len(body).to_bytes(3, "big") + (timestamp & 0xFFFFFF).to_bytes(3, "big")
    header += bytes((timestamp >> 24,)) + bytes(3)
    return header + body + (len(header) + len(body)).to_bytes(4, "big")


def test_words() -> None:
    assert parse_word("Acknowledgement", b"\x00\x00\x01\x00") == 256
    assert serialize_word(2**32 + 5) == b"\x00\x00\x00\x05"
    with pytest.raises(MessageError, match="Acknowledgement of 3 bytes"):
        parse_word("Acknowledgement", b"\x00\x00\x01")


def test_set_peer_bandwidth() -> None:
    wire = serialize_set_peer_bandwidth(2_500_000, BandwidthLimit.DYNAMIC)
    assert wire == bytes.fromhex("002625a0 02")
    assert parse_set_peer_bandwidth(wire) == 2_500_000
    with pytest.raises(MessageError, match="4 bytes instead of 5"):
        parse_set_peer_bandwidth(wire[:4])


def test_user_control() -> None:
    wire = serialize_user_control(UserControlType.PING_REQUEST, 7)
    assert wire == bytes.fromhex("0006 00000007")
    assert parse_user_control(wire) == (UserControlType.PING_REQUEST, b"\x00\x00\x00\x07")
    assert parse_user_control(b"\x00\x63") == (99, b"")
    for malformed in (b"", b"\x00", b"\x00\x06\x00\x00\x00"):
        with pytest.raises(MessageError, match="user control"):
            parse_user_control(malformed)


@pytest.mark.parametrize(
    "command",
    [
        Command("connect", 1.0, {"app": "live"}),
        Command("publish", 5.0, None, ("key", "live")),
        Command("onStatus", 0.0, None, ({"code": "x"},)),
    ],
)
def test_commands(command: Command) -> None:
    assert parse_command(serialize_command(command)) == command


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((), "without a name"),
        ((1.0, 2.0), "without a name"),
        (("connect",), "without a transaction id"),
        (("connect", "1"), "without a transaction id"),
    ],
)
def test_malformed_commands(values: tuple[object, ...], text: str) -> None:
    with pytest.raises(MessageError, match=text):
        parse_command(amf0.encode(*values))


def test_metadata_with_and_without_set_data_frame() -> None:
    properties = EcmaArray(width=1280.0)
    assert parse_metadata(serialize_metadata(properties)) == properties
    assert parse_metadata(serialize_set_data_frame(properties)) == properties
    assert parse_metadata(amf0.encode("onMetaData", {"width": 1.0})) == {"width": 1.0}


def test_other_data_is_not_metadata() -> None:
    assert parse_metadata(amf0.encode("onCuePoint", {"name": "x"})) is None
    assert parse_metadata(amf0.encode("@setDataFrame", "onTextData", {})) is None
    assert parse_metadata(b"") is None


def test_metadata_without_properties() -> None:
    for values in (("onMetaData",), ("onMetaData", None), ("@setDataFrame", "onMetaData", [1.0])):
        with pytest.raises(MessageError, match="without an object"):
            parse_metadata(amf0.encode(*values))


def test_amf3_messages_begin_with_a_format_byte() -> None:
    assert strip_amf3_format(b"\x00\x05") == b"\x05"
    for malformed in (b"", b"\x03"):
        with pytest.raises(MessageError, match="format byte 0"):
            strip_amf3_format(malformed)


def test_aggregates_keep_distances_to_their_own_timestamp() -> None:
    payload = aggregated(9, 0x01000010, b"video") + aggregated(8, 0x01000020, b"") + aggregated(8, 5, b"a")
    assert list(split_aggregate(1000, payload)) == [
        (9, 1000, b"video"),
        (8, 1016, b""),
        (8, (1000 - 0x01000010 + 5) % 2**32, b"a"),
    ]
    assert list(split_aggregate(0, b"")) == []


@pytest.mark.parametrize("end", range(1, len(aggregated(9, 0, b"video"))))
def test_aggregates_cut_off(end: int) -> None:
    with pytest.raises(MessageError, match="aggregate cut off"):
        list(split_aggregate(0, aggregated(9, 0, b"video")[:end]))


def test_aggregate_with_a_lying_length() -> None:
    with pytest.raises(MessageError, match="cut off in the message at byte 11"):
        list(split_aggregate(0, bytes.fromhex("09 ffffff 000000 00 000000") + bytes(100)))


def test_too_many_messages_in_an_aggregate() -> None:
    assert len(list(split_aggregate(0, aggregated(8, 0, b"") * 4096))) == 4096
    with pytest.raises(LimitExceededError, match="more than 4096"):
        list(split_aggregate(0, aggregated(8, 0, b"") * 4097))


@given(
    st.lists(
        st.tuples(st.sampled_from([8, 9, 18]), st.integers(0, 2**32 - 1), st.binary(max_size=40)), max_size=9
    )
)
def test_aggregates_round_trip(messages: list[tuple[int, int, bytes]]) -> None:
    payload = b"".join(aggregated(*message) for message in messages)
    first = messages[0][1] if messages else 0
    assert list(split_aggregate(first, payload)) == messages
