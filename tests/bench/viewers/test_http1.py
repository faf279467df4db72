import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.targets import parse_target
from bench.viewers.http1 import ChunkedBody, ResponseError, SizedBody, serialize_request, split_head

TARGET = parse_target("http://127.0.0.1:8080/live/x.flv", ("http",))


def test_request():
    request = serialize_request(TARGET, "/other", {"X": "y"})
    assert request.startswith(b"GET /other HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n")
    assert request.endswith(b"X: y\r\n\r\n")


def test_a_head_is_split_from_its_body():
    head, body = split_head(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: Chunked\r\n\r\nabc")
    assert (head.status, head.content_length, head.is_chunked, body) == (200, 3, True, b"abc")


def test_an_incomplete_head_waits():
    assert split_head(b"HTTP/1.1 200 OK\r\nA: b\r\n") is None


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"RTSP/1.0 200 OK\r\n\r\n", "not an HTTP/1.1 answer"),
        (b"HTTP/1.1 huh\r\n\r\n", "not an HTTP/1.1 answer"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "header without colon"),
        (b"x" * 40_000, "longer than"),
    ],
)
def test_what_is_no_http_is_refused(data, complaint):
    with pytest.raises(ResponseError, match=complaint):
        split_head(data)


def test_a_length_that_is_no_number_is_refused():
    head, _ = split_head(b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n")
    with pytest.raises(ResponseError, match="Content-Length"):
        _ = head.content_length


def feed_in_pieces(body, data: bytes, sizes: list[int]) -> bytes:
    received, position = b"", 0
    for size in [*sizes, len(data)]:
        piece = memoryview(data[position : position + size])
        received += b"".join(bytes(part) for part in body.feed(piece))
        position += size
    return received


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.lists(st.integers(1, 20), max_size=40))
def test_chunks_come_out_whole_however_they_are_cut(chunks, sizes):
    data = b"".join(b"%x;a=b\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    body = ChunkedBody()
    assert feed_in_pieces(body, data, sizes) == b"".join(chunks)
    assert body.is_finished


@pytest.mark.parametrize("line", [b"xyz\r\n", b"\r\n", b"1" * 400])
def test_a_broken_chunk_size_is_refused(line):
    with pytest.raises(ResponseError, match="chunk size"):
        list(ChunkedBody().feed(memoryview(line)))


def test_a_sized_body_ends():
    body = SizedBody(4)
    assert feed_in_pieces(body, b"abcd", [1, 2]) == b"abcd"
    assert body.is_finished
