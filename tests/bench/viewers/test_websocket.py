import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.viewers.http1 import ResponseError, ResponseHead
from bench.viewers.websocket import WebSocketFrames, check_accept
from mediaserver.delivery.framing import Framing, frame


def feed_in_pieces(frames: WebSocketFrames, data: bytes, sizes: list[int]) -> bytes:
    received, position = b"", 0
    for size in [*sizes, len(data)]:
        received += b"".join(bytes(p) for p in frames.feed(memoryview(data[position : position + size])))
        position += size
    return received


@pytest.mark.parametrize("length", [1, 125, 126, 65_535, 65_536])
def test_frames_of_every_length_form(length):
    payload = bytes(length)
    assert feed_in_pieces(WebSocketFrames(), frame(Framing.WEBSOCKET, payload), [3, 2]) == payload


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=6), st.lists(st.integers(1, 50), max_size=40))
def test_payload_comes_out_whole_however_it_is_cut(payloads, sizes):
    data = b"".join(frame(Framing.WEBSOCKET, payload) + b"\x89\x01p" for payload in payloads)
    frames = WebSocketFrames()
    assert feed_in_pieces(frames, data, sizes) == b"".join(payloads)
    assert frames.take_reply() == b"\x8a\x81\x00\x00\x00\x00p" * len(payloads)
    assert frames.take_reply() == b""


def test_an_empty_ping_is_answered_and_a_close_ends():
    frames = WebSocketFrames()
    assert feed_in_pieces(frames, b"\x89\x00\x88\x02\x03\xe8\x82\x01x", []) == b""
    assert frames.take_reply() == b"\x8a\x80\x00\x00\x00\x00"
    assert frames.is_closed


@pytest.mark.parametrize(
    ("data", "complaint"),
    [(b"\x82\x81\x00\x00\x00\x00x", "masked"), (b"\x83\x01x", "opcode 3"), (b"\x89\x7e\x01\x00", "control")],
)
def test_broken_frames_are_refused(data, complaint):
    with pytest.raises(ResponseError, match=complaint):
        list(WebSocketFrames().feed(memoryview(data)))


def test_the_accept_key_of_the_standard():
    key = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, 1.3
    check_accept(ResponseHead(101, {"sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}), key)
    with pytest.raises(ResponseError, match="Accept"):
        check_accept(ResponseHead(101, {}), key)
