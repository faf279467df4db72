import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmp.protocol.chunks import ChunkLimits, ChunkReader, serialize_message
from rtmp.protocol.errors import LimitExceededError, ProtocolError
from tests.rtmp.protocol.chunk_cases import CASES, LIMITS, MALFORMED, ChunkCase, MalformedCase, Message
from tests.rtmp.protocol.segments import segments


def read(pieces: list[bytes], limits: ChunkLimits = LIMITS) -> tuple[list[Message], ProtocolError | None]:
    """Feed ``pieces`` to a fresh reader; return what it delivered and what stopped it."""
    messages: list[Message] = []
    reader = ChunkReader(lambda *message: messages.append(message), limits)
    try:
        for piece in pieces:
            reader.receive(piece)
    except ProtocolError as error:
        return messages, error
    return messages, None


def one_by_one(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_reads(case: ChunkCase) -> None:
    assert read([case.wire]) == (list(case.messages), None)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_reads_byte_by_byte(case: ChunkCase) -> None:
    assert read(one_by_one(case.wire)) == (list(case.messages), None)


@pytest.mark.parametrize("case", [c for c in CASES if c.chunk_stream_id], ids=lambda case: case.name)
def test_writes(case: ChunkCase) -> None:
    [(type_id, timestamp, message_stream_id, payload)] = case.messages
    assert case.chunk_stream_id is not None
    written = serialize_message(case.chunk_stream_id, timestamp, type_id, message_stream_id, payload, 128)
    assert written == case.wire


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("case", MALFORMED, ids=lambda case: case.name)
def test_refuses(case: MalformedCase, cut: bool) -> None:
    messages, error = read(one_by_one(case.wire) if cut else [case.wire])
    assert type(error) is case.error
    assert case.text in str(error)
    assert len(messages) == case.messages_before


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_holds_nothing_when_all_is_delivered(case: ChunkCase) -> None:
    reader = ChunkReader(lambda *message: None, LIMITS)
    reader.receive(case.wire)
    assert reader.buffered_bytes == 0


def test_a_promised_length_costs_nothing() -> None:
    reader = ChunkReader(lambda *message: None)
    reader.receive(bytes.fromhex("04 000000 a00000 09 01000000") + b"only this")
    assert reader.buffered_bytes == len(b"only this")


def test_default_limits_take_ten_mebibytes_and_no_more() -> None:
    payload = bytes(10 * 1024 * 1024)
    messages, error = read([serialize_message(6, 0, 9, 1, payload, 128)], ChunkLimits())
    assert error is None
    assert messages == [(9, 0, 1, payload)]
    _, error = read([serialize_message(6, 0, 9, 1, payload + b"x", 128)], ChunkLimits())
    assert type(error) is LimitExceededError


def test_the_limit_on_unfinished_messages_does_not_depend_on_the_cut() -> None:
    wire = bytes.fromhex("02 000000 000004 01 00000000 00000ffe")
    wire += bytes.fromhex("04 000000 001000 08 01000000") + bytes(4094)
    wire += serialize_message(5, 0, 8, 1, bytes(4000), 4094)
    whole, by_byte = read([wire]), read(one_by_one(wire))
    assert type(whole[1]) is type(by_byte[1]) is LimitExceededError
    assert whole[0] == by_byte[0]


def test_the_largest_legal_chunk_size_means_the_largest_message() -> None:
    wire = bytes.fromhex("02 000000 000004 01 00000000 7fffffff")
    wire += serialize_message(6, 0, 9, 1, bytes(70_000), 0xFFFFFF)
    messages, error = read([wire], ChunkLimits())
    assert error is None
    assert messages[-1] == (9, 0, 1, bytes(70_000))


@pytest.mark.parametrize("chunk_stream_id", [-1, 0, 1, 65600])
def test_writer_refuses_chunk_stream_ids_out_of_range(chunk_stream_id: int) -> None:
    with pytest.raises(ValueError, match="not between 2 and 65599"):
        serialize_message(chunk_stream_id, 0, 9, 1, b"", 128)


messages_strategy = st.lists(
    st.tuples(
        st.sampled_from([2, 3, 63, 64]),
        st.sampled_from([0, 1, 0xFFFFFE, 0xFFFFFF, 0x1000000, 0xFFFFFFFF]) | st.integers(0, 2**32 - 1),
        st.sampled_from([8, 9, 18, 20]),
        st.integers(0, 2**32 - 1),
        st.binary(max_size=700),
    ),
    max_size=8,
)


@given(messages_strategy, st.integers(1, 700), st.data())
def test_reads_what_it_writes_however_cut(
    written: list[tuple[int, int, int, int, bytes]], chunk_size: int, data: st.DataObject
) -> None:
    wire = serialize_message(2, 0, 1, 0, chunk_size.to_bytes(4, "big"), 128)
    wire += b"".join(serialize_message(*message, chunk_size) for message in written)
    messages, error = read(data.draw(segments(wire)))
    assert error is None
    assert messages[1:] == [
        (type_id, timestamp, message_stream_id, payload)
        for _, timestamp, type_id, message_stream_id, payload in written
    ]


@given(st.data())
def test_any_bytes_give_the_same_however_cut(data: st.DataObject) -> None:
    wire = data.draw(
        st.lists(st.sampled_from([c.wire for c in CASES]) | st.binary(max_size=60)).map(b"".join)
    )
    expected, expected_error = read([wire])
    messages, error = read(data.draw(segments(wire)))
    assert messages == expected
    assert (type(error), str(error)) == (type(expected_error), str(expected_error))


@given(st.lists(st.integers(0, 1), min_size=2, max_size=30), st.binary(min_size=700, max_size=900))
def test_interleaving_in_any_order(order: list[int], payload: bytes) -> None:
    """Two messages whose chunks alternate in the order drawn arrive whole."""
    waiting = [_chunks(6, payload), _chunks(7, payload[::-1])]
    wire = [waiting[turn].pop(0) for turn in order if waiting[turn]]
    messages, error = read([b"".join(wire + waiting[0] + waiting[1])])
    assert error is None
    assert sorted(messages) == sorted([(9, 0, 1, payload), (9, 0, 1, payload[::-1])])


def _chunks(chunk_stream_id: int, payload: bytes) -> list[bytes]:
    wire = serialize_message(chunk_stream_id, 0, 9, 1, payload, 128)
    first = 12 + 128
    return [wire[:first]] + [wire[i : i + 129] for i in range(first, len(wire), 129)]
