"""Which server a run loads, and the rule that it is on this machine unless the user says otherwise."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from bench.errors import BenchError

DEFAULT_PORTS: Final = {"http": 80, "ws": 80, "rtmp": 1935}


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed URL. ``address`` is numeric, so that thousands of connections need no name look-up."""

    url: str
    scheme: str
    host: str
    port: int
    address: str
    path: str
    """Path and query, beginning with a slash."""

    @property
    def authority(self) -> str:
        """Host and port as they stand in a Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse_target(url: str, schemes: Sequence[str], allow_remote: bool = False) -> Target:
    """Take ``url`` apart. Raises BenchError for another scheme, no host, or a host not on this machine."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BenchError(f"{url}: {error}") from None
    if parts.scheme not in schemes:
        raise BenchError(f"{url}: must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    if not parts.hostname:
        raise BenchError(f"{url}: names no host")
    port = DEFAULT_PORTS[parts.scheme] if port is None else port
    address = _resolve(url, parts.hostname, port, allow_remote)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(url, parts.scheme, parts.hostname, port, address, path)


def _resolve(url: str, host: str, port: int, allow_remote: bool) -> str:
    if host == "localhost":
        return "127.0.0.1"
    try:
        if ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    if not allow_remote:
        raise BenchError(f"{url}: {host} is not a loopback address; --allow-remote loads other machines")
    try:
        return str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise BenchError(f"{url}: {host} cannot be resolved: {error.strerror}") from None
