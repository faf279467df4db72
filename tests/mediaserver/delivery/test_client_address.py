from ipaddress import ip_network

import pytest
from aiohttp.test_utils import make_mocked_request

from mediaserver.delivery.client_address import ClientAddress

PROXIES = (ip_network("10.0.0.0/8"), ip_network("::1/128"))


def request_from(remote: str, forwarded: str | None = None):
    headers = {"X-Forwarded-For": forwarded} if forwarded is not None else {}
    return make_mocked_request("GET", "/", headers=headers).clone(remote=remote)


@pytest.mark.parametrize(
    ("remote", "forwarded", "expected"),
    [
        ("203.0.113.9", None, "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # not from a proxy of ours: a claim, nothing more
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        (
            "10.0.0.1",
            "6.6.6.6, 198.51.100.1",
            "198.51.100.1",
        ),  # what stands further left is the client's word
        ("10.0.0.1", "198.51.100.1, 10.2.3.4", "198.51.100.1"),
        ("10.0.0.1", "garbage", "10.0.0.1"),
        ("10.0.0.1", "garbage, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:203.0.113.9", None, "203.0.113.9"),
        ("::ffff:10.0.0.1", "::ffff:198.51.100.1, ::ffff:10.2.3.4", "198.51.100.1"),
        ("::ffff:cb00:7109", None, "::ffff:cb00:7109"),
    ],
)
def test_address(remote, forwarded, expected):
    assert ClientAddress(PROXIES).of(request_from(remote, forwarded)) == expected
