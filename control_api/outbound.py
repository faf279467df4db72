"""Calls to addresses that users gave: webhooks, Web Push.

Such an address must not lead into the operator's own network (server-side request forgery). Rules:

* https to a few ports only, no user and password in the address, no redirect is followed.
* Names are resolved here, and every address is checked as it is connected to, so that DNS cannot change
  between the check and the connection.
* Only global unicast addresses. IPv6 forms that carry an IPv4 address (mapped, NAT64, 6to4, Teredo) are
  refused as a whole.
* The time of a call and the size of its answer are bounded.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final, Self, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

MAX_URL_LENGTH: Final = 2000
MAX_NAME_LENGTH: Final = 253
RESOLVER_THREADS: Final = 4
USER_AGENT: Final = "mediaserver"

_GLOBAL_IPV6: Final = IPv6Network("2000::/3")
# What ipaddress of Python 3.11 lets pass, or what reaches IPv4 by a detour.
_REFUSED_IPV6: Final = tuple(
    IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
_REFUSED_IPV4: Final = tuple(IPv4Network(text) for text in ("192.0.0.0/24", "192.88.99.0/24"))
_LOCAL_NAMES: Final = ("localhost", "local", "internal", "localdomain", "home.arpa", "lan", "onion")


class OutboundError(Exception):
    """A call that got no answer; the message is for the user who gave the address."""


class AddressRefused(OutboundError):
    """The address is one that must not be called."""


@dataclass(frozen=True, slots=True)
class OutboundOptions:
    """``is_private_allowed`` also allows http, private addresses and any port: for tests and closed networks.

    The certificate of an https address must be valid in any case.
    """

    is_private_allowed: bool = False
    ports: frozenset[int] = frozenset({443, 8443})
    total_seconds: float = 15.0
    connect_seconds: float = 5.0
    max_answer_bytes: int = 16 * 1024
    max_connections: int = 64


@dataclass(frozen=True, slots=True)
class Answer:
    """``body`` is cut off at OutboundOptions.max_answer_bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Lookup: TypeAlias = Callable[[str, int], list[ResolveResult]]
"""The addresses of a name, for a port; blocks. Raises OSError."""


def is_public(address: str) -> bool:
    """Whether ``address`` is global unicast."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if not parsed.is_global or parsed.is_multicast or parsed.is_reserved or parsed.is_unspecified:
        return False
    if isinstance(parsed, IPv4Address):
        return not any(parsed in network for network in _REFUSED_IPV4)
    return _is_public_ipv6(parsed)


def _is_public_ipv6(address: IPv6Address) -> bool:
    return address in _GLOBAL_IPV6 and not any(address in network for network in _REFUSED_IPV6)


class Outbound:
    """The only way out to addresses that users gave. An async context manager."""

    def __init__(self, options: OutboundOptions | None = None, lookup: Lookup | None = None) -> None:
        self._options = options or OutboundOptions()
        self._lookup = lookup or look_up
        self._session: aiohttp.ClientSession | None = None
        self._resolver: _Resolver | None = None

    async def __aenter__(self) -> Self:
        self._resolver = _Resolver(self._lookup)
        connector = aiohttp.TCPConnector(
            resolver=self._resolver,
            socket_factory=self._socket,
            use_dns_cache=False,
            force_close=True,
            limit=self._options.max_connections,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=self._options.total_seconds, sock_connect=self._options.connect_seconds
            ),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
        if self._resolver is not None:
            await self._resolver.close()

    def check_url(self, text: str) -> URL:
        """``text`` as an address that may be called, as far as one can tell without resolving its name.

        Raises AddressRefused.
        """
        url = _parsed(text)
        host = (url.host or "").rstrip(".").lower()
        if url.scheme != "https" and not (self._options.is_private_allowed and url.scheme == "http"):
            raise AddressRefused("must begin with https://")
        if not host or url.user is not None or url.password is not None:
            raise AddressRefused("must name a host, without user and password")
        if self._options.is_private_allowed:
            return url
        if url.port not in self._options.ports:
            allowed = ", ".join(str(port) for port in sorted(self._options.ports))
            raise AddressRefused(f"must use one of the ports {allowed}")
        if not _may_be_public(host):
            raise AddressRefused("must lead to a public address")
        return url

    async def post(self, address: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send ``body`` and return the answer, whatever its status is. Raises OutboundError."""
        if self._session is None:
            raise RuntimeError("Outbound must be entered first")
        url = self.check_url(address)
        try:
            # aiohttp's own total does not count what its resolver does.
            async with (
                asyncio.timeout(self._options.total_seconds),
                self._session.post(
                    url, data=body, headers=_without_breaks(headers), allow_redirects=False
                ) as response,
            ):
                content = await _read_some(response.content, self._options.max_answer_bytes)
                return Answer(response.status, dict(response.headers), content)
        except TimeoutError as error:
            raise OutboundError(f"did not answer within {self._options.total_seconds:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _explained(error) from error

    def _socket(self, candidate: tuple[Any, ...]) -> socket.socket:
        """A socket for what getaddrinfo said: the last look at an address before it is connected to."""
        family, kind, protocol, _, address = candidate
        if not self._options.is_private_allowed and not is_public(str(address[0])):
            raise _NotPublicError("must lead to a public address")
        return socket.socket(family=family, type=kind, proto=protocol)


class _NotPublicError(OSError):
    """An address that must not be connected to; as OSError it passes through aiohttp."""


class _Resolver(AbstractResolver):
    """Looks names up in few threads of its own: slow name servers must not use up everybody's."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS, "outbound-resolver")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._lookup, host, port)

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def look_up(host: str, port: int) -> list[ResolveResult]:
    """The system's answer for ``host``."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [
        ResolveResult(
            hostname=host,
            host=str(address[0]),
            port=port,
            family=family,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for family, _, protocol, _, address in found
    ]


def _parsed(text: str) -> URL:
    if len(text) > MAX_URL_LENGTH or not text.isprintable() or " " in text:
        raise AddressRefused("is no address")
    try:
        url = URL(text)
        # Both are parsed when they are first asked for.
        host, _port = url.raw_host, url.port
        text.encode()
    except ValueError as error:
        raise AddressRefused("is no address") from error
    if len(host or "") > MAX_NAME_LENGTH or len(str(url)) > MAX_URL_LENGTH:
        raise AddressRefused("is too long")
    return url.with_fragment(None)


def _may_be_public(host: str) -> bool:
    """Whether ``host`` is no private address, no local name, and no number in disguise (127.1)."""
    try:
        ip_address(host)
    except ValueError:
        pass
    else:
        return is_public(host)
    labels = host.split(".")
    if len(labels) < 2 or not all(labels) or labels[-1][0].isdigit():
        return False
    return not any(host == name or host.endswith(f".{name}") for name in _LOCAL_NAMES)


def _without_breaks(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value.replace("\r", "").replace("\n", "") for name, value in headers.items()}


async def _read_some(content: aiohttp.StreamReader, limit: int) -> bytes:
    parts = bytearray()
    async for chunk in content.iter_chunked(limit):
        parts += chunk
        if len(parts) >= limit:
            break
    return bytes(parts[:limit])


def _explained(error: Exception) -> OutboundError:
    """One message for each cause; a name without an address reads like one with a private address.

    Otherwise the message would tell which names exist in the operator's network.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, _NotPublicError | socket.gaierror):
            return AddressRefused("must lead to a public address")
        cause = cause.__cause__ or getattr(cause, "os_error", None)
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return OutboundError("has no valid TLS certificate")
    if isinstance(error, aiohttp.ClientConnectorError):
        return OutboundError("cannot be reached")
    return OutboundError("broke off the connection or answered no HTTP")
