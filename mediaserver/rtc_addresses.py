"""Where browsers are told to send their media when the operator has not said it."""

import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_ELSEWHERE: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses of documentation (RFC 5737, RFC 3849): nothing is sent to them, only the route is looked up."""


def announced_addresses(configured: Sequence[str], hosts: Sequence[str]) -> tuple[str, ...]:
    """Those configured; else those listened on, where "any" stands for what this machine sends from.

    Behind NAT and in a container that is an address that nobody outside can reach: configure it there.
    """
    if configured:
        return tuple(configured)
    found = [address for host in hosts for address in _addresses_of(host)]
    return tuple(dict.fromkeys(found)) or (LOOPBACK,)


def _addresses_of(host: str) -> list[str]:
    address = ip_address(host)
    if not address.is_unspecified:
        return [host]
    return [
        own
        for family, elsewhere in _ELSEWHERE
        if (family is socket.AF_INET6) == (address.version == 6) and (own := _own_address(family, elsewhere))
    ]


def _own_address(family: socket.AddressFamily, elsewhere: str) -> str | None:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return None
