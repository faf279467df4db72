import asyncio

import aiohttp
import pytest
from aiohttp import web

from mediaserver.delivery.http_app import create_http_app
from mediaserver.delivery.http_server import HttpServer
from tests.helpers.waiting import eventually


async def hello(_request: web.Request) -> web.Response:
    return web.Response(text="hello")


async def test_silent_connections_are_swept_and_speaking_ones_stay():
    app = create_http_app()
    app.router.add_get("/", hello)
    server = HttpServer(app, first_request_seconds=10, shutdown_seconds=0)
    port = await server.start("127.0.0.1", 0)
    try:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
        async with aiohttp.ClientSession() as session:
            assert await (await session.get(f"http://127.0.0.1:{port}/")).text() == "hello"
            await eventually(lambda: server.connection_count == 201)
            assert server.sweep(now=0) == 0
            assert server.sweep(now=9) == 0
            assert server.sweep(now=11) == 200
            await eventually(lambda: server.connection_count == 1)
            assert await (await session.get(f"http://127.0.0.1:{port}/")).text() == "hello"
        for _, writer in silent:
            writer.close()
    finally:
        await server.close()


async def test_a_draining_server_answers_and_closes():
    app = create_http_app()
    app.router.add_get("/", hello)
    server = HttpServer(app, shutdown_seconds=0)
    port = await server.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession() as session:
            first = await session.get(f"http://127.0.0.1:{port}/")
            assert await first.text() == "hello"
            await server.stop_listening()
            last = await session.get(f"http://127.0.0.1:{port}/")
            assert await last.text() == "hello"
            assert last.headers["Connection"] == "close"
            await eventually(lambda: server.connection_count == 0)
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.get(f"http://127.0.0.1:{port}/")
    finally:
        await server.close()


async def test_an_unexpected_error_is_answered_without_a_traceback(aiohttp_client):
    async def broken(_request: web.Request) -> web.Response:
        raise ValueError("secret detail")

    app = create_http_app()
    app.router.add_get("/broken", broken)
    client = await aiohttp_client(app)
    response = await client.get("/broken", headers={"X-Request-Id": "abc-123"})
    assert response.status == 500
    assert response.headers["X-Request-Id"] == "abc-123"
    assert "secret" not in await response.text()


async def test_a_request_id_that_could_forge_a_log_line_is_replaced(aiohttp_client):
    app = create_http_app()
    app.router.add_get("/", hello)
    client = await aiohttp_client(app)
    for bad in ("x" * 65, "a b", "ünïcode"):
        response = await client.get("/", headers={"X-Request-Id": bad})
        assert response.headers["X-Request-Id"] != bad


async def test_media_answers_any_origin_and_preflight(aiohttp_client):
    app = create_http_app()
    app.router.add_get("/live/x.flv", hello)
    client = await aiohttp_client(app)
    preflight = await client.options("/live/x.flv", headers={"Origin": "https://elsewhere.example"})
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    missing = await client.get("/live/missing", headers={"Origin": "https://elsewhere.example"})
    assert missing.status == 404
    assert missing.headers["Access-Control-Allow-Origin"] == "*"


async def answer_to(port: int, request: bytes) -> tuple[int, bytes]:
    """The status and all that comes until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(20):
            answer = await reader.read()
    finally:
        writer.close()
    return int(answer.split()[1]), answer


@pytest.mark.parametrize("path", [b"/", b"/live/missing"])
@pytest.mark.parametrize("expected", [b"\xff\xfe", b"100-continue\xff", "ünïcode".encode(), b"miracles"])
async def test_an_expectation_that_cannot_be_met_is_refused(path: bytes, expected: bytes):
    app = create_http_app()
    app.router.add_get("/", hello)
    server = HttpServer(app, shutdown_seconds=0)
    port = await server.start("127.0.0.1", 0)
    try:
        head = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: %s\r\n\r\n" % (path, expected)
        status, answer = await answer_to(port, head)
    finally:
        await server.close()
    assert status == 417
    assert b"Expect:" in answer.partition(b"\r\n\r\n")[2]
    assert b"Server: mediaserver\r\n" in answer
    assert b"aiohttp" not in answer


async def test_an_expectation_that_is_known_is_met():
    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    app = create_http_app()
    app.router.add_post("/", echo)
    server = HttpServer(app, shutdown_seconds=0)
    port = await server.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession() as session:
            answer = await session.post(f"http://127.0.0.1:{port}/", data=b"body", expect100=True)
            assert (answer.status, await answer.read()) == (200, b"body")
    finally:
        await server.close()
