"""The server with our own client over loopback."""

import asyncio
import ssl
from pathlib import Path

import pytest
import structlog

from rtmp.client import RtmpClient
from rtmp.limits import RtmpLimits
from rtmp.ports import Refusal, RefusalReason
from rtmp.protocol.chunks import serialize_message
from rtmp.protocol.errors import ConnectionLostError, MessageError, RequestRefusedError
from rtmp.protocol.events import AudioReceived, MetadataReceived, VideoReceived
from rtmp.protocol.messages import ChunkStreamId, MessageType, serialize_metadata
from rtmp.protocol.session import OUTGOING_CHUNK_SIZE
from rtmp.server import RtmpServer
from tests.rtmp.certificates import self_signed
from tests.rtmp.conftest import RunningServer, StartServer
from tests.rtmp.embedder import Embedder, RecordedPlayer, until


async def publisher(server: RunningServer, name: str = "key") -> RtmpClient:
    client = await RtmpClient.connect(f"{server.url}/{name}")
    await client.publish()
    return client


async def test_publishes_what_was_written_in_order(server: RunningServer) -> None:
    written: list[tuple[str, int, object]] = [("metadata", 0, {"width": 640.0})]
    async with await RtmpClient.connect(f"{server.url}/key?token=a%20b") as client:
        await client.publish()
        client.write_metadata(0, {"width": 640})
        for i in range(200):
            written += [("video", 33 * i, bytes([i]) * 7000), ("audio", 33 * i, bytes([i]) * 300)]
            client.write_video(33 * i, bytes([i]) * 7000)
            client.write_audio(33 * i, bytes([i]) * 300)
            await client.drain()
    [publication] = server.embedder.publications
    await until(lambda: publication.ends)
    assert publication.messages == written
    assert publication.ends == [True]
    assert publication.room_id == "room-of-key"
    assert publication.connection.address == "127.0.0.1"
    assert "mediaserver" in publication.connection.encoder
    assert server.embedder.requests == [("publish", "live", "key", {"token": "a%20b"})]
    assert server.server.counters.publishers_accepted == 1


@pytest.mark.parametrize(
    ("reason", "publish_code", "play_code"),
    [
        (RefusalReason.BAD_NAME, "NetStream.Publish.BadName", "NetStream.Play.StreamNotFound"),
        (RefusalReason.REJECTED, "NetStream.Publish.Rejected", "NetStream.Play.Failed"),
        (RefusalReason.UNAVAILABLE, "NetStream.Publish.Denied", "NetStream.Play.Failed"),
    ],
)
async def test_refusals_are_a_status_and_the_end_of_the_connection(
    start_server: StartServer, reason: RefusalReason, publish_code: str, play_code: str
) -> None:
    async def refuse(name: str) -> Refusal:
        return Refusal(reason, "Not you.")

    server = await start_server(Embedder(decide=refuse))
    async with await RtmpClient.connect(f"{server.url}/key") as client:
        with pytest.raises(RequestRefusedError) as refused:
            await client.publish()
        assert (refused.value.code, refused.value.description) == (publish_code, "Not you.")
    async with await RtmpClient.connect(f"{server.url}/room") as client:
        with pytest.raises(RequestRefusedError) as refused:
            await anext(client.play())
        assert refused.value.code == play_code
    counters = server.server.counters
    assert (counters.publishers_refused, counters.players_refused) == (1, 1)
    await until(lambda: counters.open_connections == 0)


async def test_a_player_with_nothing_to_play_is_refused_before_it_starts(start_server: StartServer) -> None:
    embedder = Embedder(play_refusal=Refusal(RefusalReason.BAD_NAME, "Nobody publishes."))
    server = await start_server(embedder)
    async with await RtmpClient.connect(f"{server.url}/room") as client:
        with pytest.raises(RequestRefusedError) as refused:
            await anext(client.play())
    assert refused.value.code == "NetStream.Play.StreamNotFound"
    assert embedder.players == []
    assert (server.server.counters.players_accepted, server.server.counters.players_refused) == (0, 1)


async def test_wrong_keys_are_logged_once_per_address_without_the_key(server: RunningServer) -> None:
    with structlog.testing.capture_logs() as lines:
        for _ in range(5):
            async with await RtmpClient.connect(f"{server.url}/wrong-secret?pass=hush") as client:
                with pytest.raises(RequestRefusedError):
                    await client.publish()
    refusals = [line for line in lines if line["event"] == "rtmp_publish_refused"]
    assert len(refusals) == 1
    assert refusals[0]["address"] == "127.0.0.1"
    assert "secret" not in str(lines)
    assert "hush" not in str(lines)


async def test_media_waits_in_order_while_the_authorizer_decides(start_server: StartServer) -> None:
    decided = asyncio.Event()

    async def wait(name: str) -> None:
        await decided.wait()

    server = await start_server(Embedder(decide=wait))
    client = await RtmpClient.connect(f"{server.url}/key")
    publishing = asyncio.create_task(client.publish())
    await until(lambda: server.embedder.requests)
    # Sent blindly, as encoders do: the session would not let us, so the chunks are written by hand.
    for i in range(50):
        client._transport.write(serialize_message(6, i, 9, 1, bytes([i]) * 900, OUTGOING_CHUNK_SIZE))  # type: ignore[union-attr]
    assert server.embedder.publications == []
    decided.set()
    await publishing
    await client.close()
    [publication] = server.embedder.publications
    await until(lambda: publication.ends)
    assert publication.messages == [("video", i, bytes([i]) * 900) for i in range(50)]


@pytest.mark.parametrize("fault", ["raises", "never answers"])
async def test_an_authorizer_that_fails_is_a_refusal(start_server: StartServer, fault: str) -> None:
    async def fail(name: str) -> None:
        if fault == "raises":
            raise RuntimeError("database on fire")
        await asyncio.Event().wait()

    server = await start_server(Embedder(decide=fail), RtmpLimits(authorize_timeout=0.05))
    async with await RtmpClient.connect(f"{server.url}/key") as client:
        with pytest.raises(RequestRefusedError) as refused:
            await client.publish()
    assert refused.value.code == "NetStream.Publish.Denied"
    assert "fire" not in refused.value.description


async def test_a_publisher_that_leaves_during_the_decision_is_forgotten(start_server: StartServer) -> None:
    async def never(name: str) -> None:
        await asyncio.Event().wait()

    server = await start_server(Embedder(decide=never), RtmpLimits(authorize_timeout=0.2))
    client = await RtmpClient.connect(f"{server.url}/key")
    publishing = asyncio.create_task(client.publish())
    await until(lambda: server.embedder.requests)
    client.abort()
    with pytest.raises(ConnectionLostError):
        await publishing
    await until(lambda: server.server.counters.open_connections == 0)
    assert server.server._context.tasks == set()
    assert server.embedder.publications == []


async def test_a_killed_publisher_is_not_clean(server: RunningServer) -> None:
    client = await publisher(server)
    client.write_video(0, b"half of what was to come")
    await until(lambda: server.embedder.publications[0].messages)
    client.abort()
    await until(lambda: server.embedder.publications[0].ends)
    assert server.embedder.publications[0].ends == [False]


async def test_takeover_tells_the_old_publisher(server: RunningServer) -> None:
    old = await publisher(server)
    server.embedder.publications[0].connection.close("NetStream.Publish.BadName", "Taken over.")
    assert server.embedder.publications[0].ends == [False]
    with pytest.raises(RequestRefusedError, match=r"BadName: Taken over\."):
        while True:
            old.write_video(0, b"v")
            await old.drain()
            await asyncio.sleep(0)
    await old.close()
    new = await publisher(server)
    await new.close()
    assert len(server.embedder.publications) == 2


async def test_a_body_the_embedder_cannot_parse_ends_the_publisher_with_a_status(
    server: RunningServer,
) -> None:
    client = await publisher(server)
    server.embedder.publications[0].error = MessageError("codec 99 is not known")
    client.write_video(0, b"v")
    await until(lambda: server.embedder.publications[0].ends)
    with pytest.raises(RequestRefusedError, match="codec 99 is not known"):
        await client.drain()
        while True:
            client.write_video(0, b"v")
            await asyncio.sleep(0)
    await client.close()
    assert server.server.counters.protocol_errors == 1


@pytest.mark.parametrize("where", ["open", "message"])
async def test_a_bug_of_the_embedder_ends_only_its_own_connection(
    start_server: StartServer, where: str
) -> None:
    server = await start_server()
    healthy = await publisher(server, "healthy")
    if where == "open":
        server.embedder.open_error = RuntimeError("bug")
    with pytest.raises(RequestRefusedError, match=r"NetStream\.Failed: Internal error\."):
        async with await RtmpClient.connect(f"{server.url}/sick") as sick:
            await sick.publish()
            server.embedder.publications[1].error = RuntimeError("bug")
            while True:
                sick.write_video(0, b"v")
                await asyncio.sleep(0)
    healthy.write_video(0, b"still here")
    await until(lambda: server.embedder.publications[0].messages)
    assert server.server.counters.active_publishers == 1
    await healthy.close()


async def test_plays_bytes_cut_once_with_control_in_between(start_server: StartServer) -> None:
    sent = [(i * 40, bytes([i]) * 90_000) for i in range(20)]

    def on_play(player: RecordedPlayer) -> None:
        transport, stream_id = player.connection.transport, player.connection.message_stream_id
        data = serialize_message(
            ChunkStreamId.DATA,
            0,
            MessageType.DATA_AMF0,
            stream_id,
            serialize_metadata({"a": 1}),
            OUTGOING_CHUNK_SIZE,
        )
        transport.write(data)
        for timestamp, body in sent:
            transport.write(
                serialize_message(
                    ChunkStreamId.VIDEO, timestamp, MessageType.VIDEO, stream_id, body, OUTGOING_CHUNK_SIZE
                )
            )
        asyncio.get_running_loop().call_soon(player.connection.close, "NetStream.Play.Stop", "Over.")

    server = await start_server(Embedder(on_play=on_play))
    async with await RtmpClient.connect(f"{server.url}/room?token=t") as client:
        received = [message async for message in client.play()]
    assert received == [MetadataReceived(0, {"a": 1.0}), *(VideoReceived(t, body) for t, body in sent)]
    assert server.embedder.requests == [("play", "live", "room", {"token": "t"})]
    assert server.embedder.players[0].connection.address == "127.0.0.1"


async def test_a_player_that_reads_slowly_stops_our_reading_of_the_socket_not_the_messages(
    start_server: StartServer,
) -> None:
    bodies = [bytes([i]) * 100_000 for i in range(120)]

    def on_play(player: RecordedPlayer) -> None:
        for body in bodies:
            player.connection.transport.write(serialize_message(4, 0, 8, 1, body, OUTGOING_CHUNK_SIZE))
        player.connection.close("NetStream.Play.Stop", "Over.")

    server = await start_server(Embedder(on_play=on_play), RtmpLimits(linger_timeout=30))
    async with await RtmpClient.connect(f"{server.url}/room") as client:
        playing = client.play()
        first = await anext(playing)
        await until(lambda: client._is_read_paused)
        assert client._queued_bytes < 6 * 1024 * 1024
        rest = [message async for message in playing]
    assert [first, *rest] == [AudioReceived(0, body) for body in bodies]


async def test_drain_asks_publishers_to_reconnect_and_takes_no_more(server: RunningServer) -> None:
    client = await publisher(server)
    idle = await RtmpClient.connect(f"{server.url}/other")
    draining = asyncio.create_task(server.server.drain(20))
    await until(lambda: client.reconnect_request)
    assert not draining.done()
    with pytest.raises(RequestRefusedError, match=r"Publish\.Denied"):
        await idle.publish()
    with pytest.raises(OSError, match="onnect"):
        await RtmpClient.connect(f"{server.url}/late")
    client.write_video(0, b"until the next keyframe")
    await client.close()
    assert await draining == 0
    assert server.embedder.publications[0].ends == [True]
    await idle.close()


async def test_drain_says_who_is_left(server: RunningServer) -> None:
    client = await publisher(server)
    assert await server.server.drain(0.01) == 1
    await client.close()


async def test_close_ends_everyone_with_a_status(server: RunningServer) -> None:
    client = await publisher(server)
    waiting = await RtmpClient.connect(f"{server.url}/idle")
    await asyncio.gather(server.server.close(), client.close(), waiting.close())
    assert server.server.counters.open_connections == 0
    assert server.server._sweeper is None


async def test_rtmps_beside_rtmp(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    embedder = Embedder()
    server = RtmpServer(embedder, embedder, embedder)
    await server.start("127.0.0.1", 0)
    port = await server.start("127.0.0.1", 0, ssl=context)
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with await RtmpClient.connect(f"rtmps://localhost:{port}/live/key", ssl=trusting) as client:
        await client.publish()
        client.write_video(0, b"v" * 100_000)
    await until(lambda: embedder.publications[0].ends)
    assert embedder.publications[0].messages == [("video", 0, b"v" * 100_000)]
    assert embedder.publications[0].ends == [True]
    await server.close()
