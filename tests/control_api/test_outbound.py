"""Calls to addresses that users gave: what is refused, before and while connecting; bounds of answers."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import ResolveResult
from aiohttp.test_utils import TestServer

from control_api.outbound import AddressRefused, Outbound, OutboundError, OutboundOptions, is_public
from tests.rtmp.certificates import self_signed

PRIVATE = OutboundOptions(is_private_allowed=True, total_seconds=5)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a receiver; its address."""
    servers: list[TestServer] = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", handler)
        server = TestServer(app, host="127.0.0.1")
        servers.append(server)
        await server.start_server()
        return str(server.make_url("/hook"))

    yield start
    for server in servers:
        await server.close()


def leads_to(address: str) -> Callable[[str, int], list[ResolveResult]]:
    """A name service that knows one address for every name."""

    def lookup(host: str, port: int) -> list[ResolveResult]:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [ResolveResult(hostname=host, host=address, port=port, family=family, proto=6, flags=0)]

    return lookup


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001::1",
        "2001:db8::1",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "nonsense",
    ],
)
def test_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001::1"])
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nonsense",
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "//example.com/",
        "https://",
        "https:///path",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://example.com:22/",
        "https://example.com:99999/",
        "https://example.com:0/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://a.localhost/",
        "https://redis/",
        "https://metadata.google.internal/",
        "https://printer.local/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:7f00:1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://①②⑦.0.0.1/",
        "https://example..com/",
        "https://exa mple.com/",
        "https://example.com/\r\nX-Header: 1",
        "https://example.com/\x00",
        "https://\ud800.com/",
        "https://example.com/" + "x" * 3000,
        "https://" + "a" * 300 + ".com/",
        "https://[::1/",
    ],
)
def test_refuses_before_resolving(address: str) -> None:
    with pytest.raises(AddressRefused):
        Outbound().check_url(address)


@pytest.mark.parametrize(
    "address",
    ["https://example.com/hook?a=1", "https://example.com:8443/", "https://8.8.8.8/", "https://münchen.de/"],
)
def test_accepts(address: str) -> None:
    Outbound().check_url(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254"])
async def test_refuses_a_name_that_leads_inside(address: str) -> None:
    async with Outbound(lookup=leads_to(address)) as outbound:
        with pytest.raises(AddressRefused):
            await outbound.post("https://innocent.example.com/", b"", {})


async def test_resolves_once_and_connects_to_what_was_checked(serve: Serve) -> None:
    """A name that leads elsewhere when it is looked up again gains nothing: it is not looked up again."""
    lookups: list[str] = []

    def lookup(host: str, port: int) -> list[ResolveResult]:
        lookups.append(host)
        return leads_to("127.0.0.1")(host, port)

    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=request.host)

    url = (await serve(handler)).replace("127.0.0.1", "changing.example.com")
    async with Outbound(PRIVATE, lookup) as outbound:
        answer = await outbound.post(url, b"", {})
    assert answer.body.startswith(b"changing.example.com")
    assert lookups == ["changing.example.com"]


async def test_one_private_address_among_public_ones_is_not_connected_to() -> None:
    def lookup(host: str, port: int) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=6, flags=0)
            for address in ("127.0.0.1", "10.0.0.1")
        ]

    async with Outbound(lookup=lookup) as outbound:
        with pytest.raises(AddressRefused):
            await outbound.post("https://example.com/", b"", {})


async def test_name_that_does_not_exist_reads_like_a_private_one() -> None:
    def lookup(host: str, port: int) -> list[ResolveResult]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    async with Outbound(lookup=lookup) as outbound:
        with pytest.raises(AddressRefused, match="must lead to a public address"):
            await outbound.post("https://example.com/", b"", {})


async def test_sends_body_and_headers(serve: Serve) -> None:
    seen: list[tuple[bytes, str | None]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((await request.read(), request.headers.get("webhook-id")))
        return web.Response(status=202, text="thanks", headers={"X-Answer": "1"})

    url = await serve(handler)
    async with Outbound(PRIVATE) as outbound:
        answer = await outbound.post(url, b"body", {"webhook-id": "a\r\nb"})
    assert seen == [(b"body", "ab")]
    assert (answer.status, answer.body, answer.headers["X-Answer"]) == (202, b"thanks", "1")


async def test_follows_no_redirect(serve: Serve) -> None:
    paths: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    url = await serve(handler)
    async with Outbound(PRIVATE) as outbound:
        assert (await outbound.post(url, b"", {})).status == 307
    assert paths == ["/hook"]


async def test_huge_answer_is_cut_off(serve: Serve) -> None:
    sent = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 1 << 30:
            await response.write(b"x" * 65536)
            sent += 65536
        return response

    url = await serve(handler)
    async with Outbound(PRIVATE) as outbound:
        assert len((await outbound.post(url, b"", {})).body) == PRIVATE.max_answer_bytes
    assert sent < 1 << 28


async def test_compressed_answer_is_not_unpacked(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=b"no gzip at all", headers={"Content-Encoding": "gzip"})

    url = await serve(handler)
    async with Outbound(PRIVATE) as outbound:
        assert (await outbound.post(url, b"", {})).body == b"no gzip at all"


async def test_hanging_receiver_is_given_up(serve: Serve) -> None:
    release = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    url = await serve(handler)
    async with Outbound(OutboundOptions(is_private_allowed=True, total_seconds=0.2)) as outbound:
        with pytest.raises(OutboundError, match="did not answer"):
            await outbound.post(url, b"", {})
    release.set()


async def test_answer_drop_by_drop_is_given_up(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.02)

    url = await serve(handler)
    async with Outbound(OutboundOptions(is_private_allowed=True, total_seconds=0.3)) as outbound:
        with pytest.raises(OutboundError, match="did not answer"):
            await outbound.post(url, b"", {})


async def test_receiver_that_is_none(unused_tcp_port: int) -> None:
    async with Outbound(PRIVATE) as outbound:
        with pytest.raises(OutboundError, match="cannot be reached"):
            await outbound.post(f"http://127.0.0.1:{unused_tcp_port}/", b"", {})


async def test_receiver_that_talks_no_http() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Outbound(PRIVATE) as outbound:
        for scheme in ("http", "https"):
            with pytest.raises(OutboundError):
                await outbound.post(f"{scheme}://127.0.0.1:{port}/", b"", {})
    server.close()


async def test_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    reached: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        reached.append(request.path)
        return web.Response()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*self_signed(tmp_path))
    app = web.Application()
    app.router.add_post("/hook", handler)
    server = TestServer(app, host="127.0.0.1", scheme="https")
    await server.start_server(ssl=context)
    async with Outbound(PRIVATE) as outbound:
        with pytest.raises(OutboundError, match="certificate"):
            await outbound.post(str(server.make_url("/hook")), b"", {})
    await server.close()
    assert reached == []
