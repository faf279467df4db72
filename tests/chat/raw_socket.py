"""A WebSocket client that may send what no library would."""

import asyncio
import base64
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PATIENCE_SECONDS: Final = 15.0
MASK: Final = b"\x01\x02\x03\x04"


def frame(opcode: int, payload: bytes = b"", *, is_final: bool = True, is_masked: bool = True) -> bytes:
    """``opcode`` may carry reserved bits."""
    length = len(payload)
    short = length if length < 126 else 126 if length < 65536 else 127
    header = bytes([opcode | (0x80 if is_final else 0), short | (0x80 if is_masked else 0)])
    header += b"" if length < 126 else length.to_bytes(2 if length < 65536 else 8, "big")
    if not is_masked:
        return header + payload
    masked = bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))
    return header + MASK + masked


class RawSocket:
    """Get it from ``raw_socket``."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, *pieces: bytes) -> None:
        """The server may have closed already."""
        with suppress(ConnectionError):
            self._writer.write(b"".join(pieces))
            await self._writer.drain()

    async def receive(self) -> tuple[int, bytes] | None:
        """Opcode and payload of one frame; None at the end of the stream."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                first, second = await self._reader.readexactly(2)
                length = second & 0x7F
                if length >= 126:
                    more = await self._reader.readexactly(2 if length == 126 else 8)
                    length = int.from_bytes(more, "big")
                return first & 0x0F, await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def close_code(self) -> int | None:
        """Of the close frame that comes; None if the stream ends without one."""
        while (received := await self.receive()) is not None:
            opcode, payload = received
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big") if payload else 1005
        return None


@asynccontextmanager
async def raw_socket(
    url: str, headers: Mapping[str, str], subprotocol: str, receive_bytes: int | None = None
) -> AsyncIterator[RawSocket]:
    """Past the handshake. ``receive_bytes`` bounds what the kernel takes for one that does not read."""
    address = urlsplit(url)
    plain = socket.socket()
    if receive_bytes is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, (address.hostname, address.port))
    reader, writer = await asyncio.open_connection(sock=plain, limit=receive_bytes or 2**16)
    lines = [
        f"GET {address.path} HTTP/1.1",
        f"Host: {address.netloc}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        f"Sec-WebSocket-Protocol: {subprotocol}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    try:
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in answer, answer
        yield RawSocket(reader, writer)
    finally:
        writer.transport.abort()
