"""Bad peers: none of them may cost another connection anything, leak a task or grow memory without bound."""

import asyncio

import pytest
import structlog

from rtmp.client import RtmpClient
from rtmp.limits import RtmpLimits
from rtmp.protocol.chunks import ChunkLimits, serialize_message
from rtmp.protocol.errors import ConnectionLostError, MessageError
from rtmp.protocol.session import SessionLimits
from tests.rtmp.conftest import RunningServer, StartServer
from tests.rtmp.embedder import Embedder, until
from tests.rtmp.protocol.dialogue import (
    CONNECT,
    CREATE_STREAM,
    HANDSHAKE,
    PLAY,
    PUBLISH,
    command_bytes,
    media_bytes,
)

BAD_PEERS = {
    "version 6": (b"\x06", "version 6 (RTMPE)"),
    "an HTTP request": (b"GET / HTTP/1.1\r\n\r\n", "version 71"),
    "publish without connect": (HANDSHAKE + PUBLISH, "command 'publish' before connect"),
    "a chunk without a header": (HANDSHAKE + b"\xc4", "type 3 chunk on chunk stream 4"),
    "a message over the limit": (
        HANDSHAKE + CONNECT + CREATE_STREAM + PUBLISH + bytes.fromhex("06 000000 a00001 09 01000000"),
        "message length 10485761 is over the limit",
    ),
    "a chunk size over the limit": (
        HANDSHAKE + CONNECT + bytes.fromhex("02 000000 000004 01 00000000 00ffffff"),
        "Set Chunk Size 16777215 is over the limit",
    ),
    "an AMF depth bomb": (
        HANDSHAKE + serialize_message(3, 0, 20, 0, b"\x03\x00\x01a" * 10_000, 128),
        "nested more than 32 deep",
    ),
    "an AMF lying length": (
        HANDSHAKE + serialize_message(3, 0, 20, 0, b"\x0c\xff\xff\xff\xff", 128),
        "long string of 4294967295 bytes",
    ),
    "a lying array count": (
        HANDSHAKE + serialize_message(3, 0, 20, 0, b"\x0a\xff\xff\xff\xff", 128),
        "strict array of 4294967295 values",
    ),
    "bytes without a publish": (
        HANDSHAKE + CONNECT + command_bytes("_checkbw") * 5000,
        "without a publish or play",
    ),
    "bad metadata": (
        HANDSHAKE + CONNECT + CREATE_STREAM + PUBLISH + serialize_message(5, 0, 18, 1, b"\x11", 128),
        "AVM+ (AMF3) value at byte 0",
    ),
}


@pytest.mark.parametrize("name", BAD_PEERS)
async def test_a_bad_peer_is_closed_with_one_log_line(start_server: StartServer, name: str) -> None:
    wire, reason = BAD_PEERS[name]
    server = await start_server(
        limits=RtmpLimits(session=SessionLimits(ChunkLimits(max_chunk_size=1_000_000)), linger_timeout=1)
    )
    async with await RtmpClient.connect(f"{server.url}/good") as good:
        await good.publish()
        with structlog.testing.capture_logs() as lines:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(wire)
            await asyncio.wait_for(reader.read(), 10)
            writer.close()
            await until(lambda: server.server.counters.open_connections == 1)
        [line] = [line for line in lines if line["log_level"] == "warning"]
        assert line["event"] == "rtmp_protocol_violated"
        assert reason in line["error"]
        good.write_video(0, b"undisturbed")
        await until(lambda: server.embedder.publications[0].messages)
    counters = server.server.counters
    assert (counters.handshakes_failed, counters.protocol_errors) == (
        (1, 0) if "version" in reason else (0, 1)
    )


@pytest.mark.parametrize(
    ("name", "wire", "waiting_for"),
    [
        ("nothing at all", b"", "handshake"),
        ("half a handshake", HANDSHAKE[:1000], "handshake"),
        ("no C2", HANDSHAKE[:1537], "handshake"),
        ("no connect", HANDSHAKE, "publish or play"),
        ("no publish", HANDSHAKE + CONNECT + CREATE_STREAM, "publish or play"),
        ("no media", HANDSHAKE + CONNECT + CREATE_STREAM + PUBLISH, "media"),
        ("a player that is gone", HANDSHAKE + CONNECT + CREATE_STREAM + PLAY, "media"),
        (
            "published and stayed",
            HANDSHAKE + CONNECT + CREATE_STREAM + PUBLISH + command_bytes("deleteStream", 0, 1),
            "publish or play",
        ),
    ],
)
async def test_those_who_stop_half_way_are_closed(
    start_server: StartServer, name: str, wire: bytes, waiting_for: str
) -> None:
    limits = RtmpLimits(handshake_timeout=0.2, request_timeout=0.2, idle_timeout=0.2, linger_timeout=0.2)
    server = await start_server(limits=limits)
    with structlog.testing.capture_logs() as lines:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(wire)
        try:
            await asyncio.wait_for(reader.read(), 10)
        except ConnectionResetError:
            assert waiting_for == "handshake"
        writer.close()
        await until(lambda: server.server.counters.open_connections == 0)
    [line] = [line for line in lines if line["log_level"] == "warning"]
    assert (line["event"], line["waiting_for"]) == ("rtmp_timed_out", waiting_for)
    assert server.server.counters.timeouts == 1
    assert server.server.counters.handshakes_failed == (
        1 if wire in (HANDSHAKE[:1000], HANDSHAKE[:1537]) else 0
    )


async def test_an_idle_client_that_answers_pings_stays(start_server: StartServer) -> None:
    server = await start_server(limits=RtmpLimits(idle_timeout=0.4))
    async with await RtmpClient.connect(f"{server.url}/room") as client:
        playing = asyncio.ensure_future(anext(client.play()))
        await until(lambda: server.server.counters.active_players)
        at_start = client.bytes_received
        ping_size = 18
        await until(lambda: client.bytes_received >= at_start + 5 * ping_size)
        assert server.server.counters.active_players == 1
        playing.cancel()


async def test_connections_are_limited_per_address(start_server: StartServer) -> None:
    server = await start_server(limits=RtmpLimits(max_connections_per_address=3))
    clients = [await RtmpClient.connect(f"{server.url}/{i}") for i in range(3)]
    with pytest.raises((ConnectionLostError, OSError)):
        await RtmpClient.connect(f"{server.url}/4")
    await clients.pop().close()
    await until(lambda: server.server.counters.open_connections == 2)
    clients.append(await RtmpClient.connect(f"{server.url}/5"))
    assert server.server.counters.connections_refused == 1
    for client in clients:
        await client.close()


async def test_connections_are_limited_in_total(start_server: StartServer) -> None:
    server = await start_server(limits=RtmpLimits(max_connections=1))
    client = await RtmpClient.connect(f"{server.url}/1")
    with pytest.raises((ConnectionLostError, OSError)):
        await RtmpClient.connect(f"{server.url}/2")
    await client.close()


async def test_hundreds_of_connects_without_a_request_disturb_no_publisher(start_server: StartServer) -> None:
    server = await start_server(limits=RtmpLimits(handshake_timeout=1.0))
    async with await RtmpClient.connect(f"{server.url}/key") as client:
        await client.publish()
        idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(300)]
        client.write_video(0, b"v")
        await until(lambda: server.embedder.publications[0].messages)
        await until(lambda: server.server.counters.open_connections == 1)
        assert server.server.counters.timeouts == 300
        for _, writer in idle:
            writer.close()


async def test_a_flood_of_requests_by_one_who_does_not_read_is_held_back(start_server: StartServer) -> None:
    server = await start_server(limits=RtmpLimits(idle_timeout=600))
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(HANDSHAKE + CONNECT + CREATE_STREAM + PUBLISH)
    await until(lambda: server.embedder.publications)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    [connection] = server.server._context.connections
    flood = command_bytes("createStream", 5) * 2000
    while not connection._is_write_blocked:  # type: ignore[attr-defined]
        writer.write(flood)
        await asyncio.sleep(0)
    received = server.server.counters.bytes_received
    writer.write(flood)
    for _ in range(50):
        await asyncio.sleep(0)
    assert server.server.counters.bytes_received == received
    assert connection.transport.get_write_buffer_size() < 4 * 1024 * 1024  # type: ignore[attr-defined]
    writer.transport.abort()


async def test_a_request_withdrawn_before_the_decision_opens_nothing(start_server: StartServer) -> None:
    decided = asyncio.Event()

    async def wait(name: str) -> None:
        await decided.wait()

    server = await start_server(Embedder(decide=wait))
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    withdrawn = command_bytes("closeStream", 0, message_stream_id=1)
    again = command_bytes("publish", 4, "second", message_stream_id=1)
    writer.write(HANDSHAKE + CONNECT + CREATE_STREAM + PUBLISH + media_bytes(9, 0, b"v") + withdrawn + again)
    await until(lambda: server.embedder.requests)
    decided.set()
    await until(lambda: server.embedder.publications)
    assert [name for _, _, name, _ in server.embedder.requests] == ["key", "second"]
    [publication] = server.embedder.publications
    assert (publication.room_id, publication.messages) == ("room-of-second", [])
    writer.close()


async def test_nothing_behind_a_fatal_message_is_looked_at(start_server: StartServer) -> None:
    server = await start_server(limits=RtmpLimits(linger_timeout=0.2))
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(HANDSHAKE + CONNECT + CREATE_STREAM + PUBLISH)
    await until(lambda: server.embedder.publications)
    server.embedder.publications[0].error = MessageError("not a codec")
    again = command_bytes("closeStream", 0, message_stream_id=1) + PUBLISH
    writer.write(media_bytes(9, 0, b"v") + again)
    await until(lambda: server.server.counters.open_connections == 0)
    assert len(server.embedder.requests) == 1
    assert server.embedder.publications[0].ends == [False]
    writer.close()


async def test_too_much_sent_while_the_authorizer_decides(start_server: StartServer) -> None:
    async def never(name: str) -> None:
        await asyncio.Event().wait()

    server = await start_server(Embedder(decide=never), RtmpLimits(max_pending_bytes=0, linger_timeout=0.2))
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(HANDSHAKE + CONNECT + CREATE_STREAM + PUBLISH + media_bytes(9, 0, bytes(500)))
    await until(lambda: server.embedder.requests)
    [connection] = server.server._context.connections
    # Paused reading holds the socket; a TLS layer may still hand over what it has decrypted.
    connection.data_received(media_bytes(9, 0, bytes(500)))  # type: ignore[attr-defined]
    assert server.server.counters.protocol_errors == 1
    await until(lambda: server.server.counters.open_connections == 0)
    writer.close()


async def test_server_keeps_running_after_all_of_it(server: RunningServer) -> None:
    for wire, _ in BAD_PEERS.values():
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(wire)
        writer.transport.abort()
    async with await RtmpClient.connect(f"{server.url}/key") as client:
        await client.publish()
    await until(lambda: server.server.counters.open_connections == 0)
    assert server.server._context.tasks == set()
    assert server.server._context.connections_by_address == {}
