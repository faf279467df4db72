"""Whose request this is: the socket's address, unless a proxy we trust says otherwise."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from aiohttp import web

Network = IPv4Network | IPv6Network

MAX_FORWARDED_LENGTH = 512
MAPPED_PREFIX = "::ffff:"
"""Before an IPv4 address where one socket listens for both (RFC 4291, 2.5.5.2)."""


class ClientAddress:
    """Reads X-Forwarded-For from the right, past every trusted proxy, to the first address that is none."""

    def __init__(self, trusted_proxies: Sequence[Network] = ()) -> None:
        self.trusted_proxies = tuple(trusted_proxies)

    def of(self, request: web.Request) -> str:
        """The client's IP address, or an empty string when the peer is gone or has none."""
        address = _plain(request.remote or "")
        if not self._is_trusted(address):
            return address
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", ()))[-MAX_FORWARDED_LENGTH:]
        for hop in reversed([_plain(part.strip()) for part in forwarded.split(",") if part.strip()]):
            if not _is_address(hop):
                return address
            address = hop
            if not self._is_trusted(hop):
                return hop
        return address

    def _is_trusted(self, address: str) -> bool:
        if not self.trusted_proxies or not _is_address(address):
            return False
        parsed = ip_address(address)
        return any(parsed in network for network in self.trusted_proxies)


def _plain(address: str) -> str:
    """An IPv4 address is the same one, whichever way it came."""
    mapped = address.removeprefix(MAPPED_PREFIX)
    return mapped if "." in mapped else address


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
