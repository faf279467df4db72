"""How a batch of container bytes is wrapped for one kind of connection.

A batch is framed once per kind and the same bytes object goes to every viewer of that kind, which is
possible because neither HTTP chunks nor unmasked server WebSocket frames hold anything of the receiver.
"""

from enum import Enum

WEBSOCKET_FINAL_BINARY = 0x82
WEBSOCKET_CLOSE_NORMAL = b"\x88\x02\x03\xe8"
"""Close frame with status 1000 (RFC 6455, 5.5.1)."""


class Framing(Enum):
    BARE = "bare"
    """As it is: HTTP/1.0, RTMP chunks."""
    HTTP_CHUNK = "http_chunk"
    """One chunk of chunked transfer coding (RFC 9112, 7.1)."""
    WEBSOCKET = "websocket"
    """One final binary frame from a server (RFC 6455, 5.2)."""


def frame(framing: Framing, data: bytes) -> bytes:
    """``data`` wrapped for ``framing``; empty stays empty, since an empty HTTP chunk would end the body."""
    if not data or framing is Framing.BARE:
        return data
    if framing is Framing.HTTP_CHUNK:
        return b"".join((b"%x\r\n" % len(data), data, b"\r\n"))
    return b"".join((_websocket_header(len(data)), data))


def _websocket_header(length: int) -> bytes:
    if length < 126:
        return bytes((WEBSOCKET_FINAL_BINARY, length))
    if length < 1 << 16:
        return bytes((WEBSOCKET_FINAL_BINARY, 126)) + length.to_bytes(2, "big")
    return bytes((WEBSOCKET_FINAL_BINARY, 127)) + length.to_bytes(8, "big")
