"""Which addresses browsers are told."""

from ipaddress import ip_address

import pytest

from mediaserver.rtc_addresses import announced_addresses


def test_what_is_configured_counts_alone() -> None:
    assert announced_addresses(("203.0.113.7", "2001:db8::7"), ("0.0.0.0",)) == ("203.0.113.7", "2001:db8::7")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_single_address_is_told_as_it_is(host: str) -> None:
    assert announced_addresses((), (host,)) == (host,)


def test_any_address_stands_for_one_of_this_machine() -> None:
    found = [ip_address(text) for text in announced_addresses((), ("0.0.0.0", "::"))]
    assert found
    assert not any(address.is_unspecified or address.is_multicast for address in found)
    assert len(set(found)) == len(found)


def test_any_ipv4_address_is_ipv4() -> None:
    assert {ip_address(text).version for text in announced_addresses((), ("0.0.0.0",))} == {4}
