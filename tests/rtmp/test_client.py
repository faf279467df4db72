"""The client against servers that misbehave; against ours it is tested in test_server.py."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from rtmp.client import RtmpClient
from rtmp.protocol.errors import ConnectionLostError, HandshakeError, LocalProtocolError
from tests.rtmp.certificates import self_signed
from tests.rtmp.conftest import RunningServer
from tests.rtmp.embedder import until

Serve = Callable[..., Awaitable[str]]


@pytest.fixture
async def serve_bytes() -> AsyncIterator[Serve]:
    """Start a server that answers every connection with fixed bytes and then waits; returns its address."""
    servers = []

    async def serve(answer: bytes) -> str:
        async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(answer)
            await reader.read()
            writer.close()

        server = await asyncio.start_server(answer_all, "127.0.0.1", 0)
        servers.append(server)
        return f"rtmp://127.0.0.1:{server.sockets[0].getsockname()[1]}/live/key"

    yield serve
    for server in servers:
        server.close()


async def test_a_mute_server(serve_bytes: Serve) -> None:
    with pytest.raises(ConnectionLostError, match=r"did nothing for 0\.1 s"):
        await RtmpClient.connect(await serve_bytes(b""), timeout=0.1)


async def test_a_web_server(serve_bytes: Serve) -> None:
    with pytest.raises(HandshakeError, match="version 72"):
        await RtmpClient.connect(await serve_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n"))


async def test_nobody_there(serve_bytes: Serve) -> None:
    with pytest.raises(OSError, match="onnect"):
        await RtmpClient.connect("rtmp://127.0.0.1:1/live/key")


async def test_not_an_address() -> None:
    with pytest.raises(ValueError, match="neither rtmp nor rtmps"):
        await RtmpClient.connect("http://127.0.0.1/live/key")


async def test_an_untrusted_certificate(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed(tmp_path))
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=context)
    with pytest.raises(ssl.SSLCertVerificationError):
        await RtmpClient.connect(f"rtmps://127.0.0.1:{server.sockets[0].getsockname()[1]}/live/key")
    server.close()


async def test_closing_twice_and_writing_afterwards(server: RunningServer) -> None:
    client = await RtmpClient.connect(f"{server.url}/key")
    await client.publish()
    await client.close()
    await client.close()
    with pytest.raises(ConnectionLostError):
        client.write_video(0, b"v")
    with pytest.raises(ConnectionLostError):
        await client.drain()


async def test_media_before_publish_is_our_own_fault(server: RunningServer) -> None:
    async with await RtmpClient.connect(f"{server.url}/key") as client:
        with pytest.raises(LocalProtocolError, match="idle cannot send media"):
            client.write_audio(0, b"a")


async def test_drain_waits_for_a_slow_server_but_not_for_ever(server: RunningServer) -> None:
    client = await RtmpClient.connect(f"{server.url}/key", idle_timeout=0.2)
    await client.publish()
    connection = server.embedder.publications[0].connection
    connection.transport.pause_reading()  # type: ignore[attr-defined]
    while not client._is_write_blocked:
        client.write_video(0, bytes(500_000))
    draining = asyncio.create_task(client.drain())
    connection.transport.resume_reading()  # type: ignore[attr-defined]
    await draining
    connection.transport.pause_reading()  # type: ignore[attr-defined]
    with pytest.raises(ConnectionLostError, match=r"did nothing for 0\.2 s"):
        while True:
            client.write_video(0, bytes(500_000))
            await client.drain()
    client.abort()


async def test_playing_a_silent_server_ends(server: RunningServer) -> None:
    client = await RtmpClient.connect(f"{server.url}/room", idle_timeout=0.2)
    with pytest.raises(ConnectionLostError, match="did nothing"):
        await anext(client.play())
    await client.close()


async def test_a_server_that_vanishes_while_playing(server: RunningServer) -> None:
    async with await RtmpClient.connect(f"{server.url}/room") as client:
        playing = asyncio.ensure_future(anext(client.play()))
        await until(lambda: server.embedder.players)
        server.embedder.players[0].connection.transport.abort()
        with pytest.raises(ConnectionLostError, match="connection is gone"):
            await playing
