"""Budgets of requests: who pays from which, and what the headers say."""

from http import HTTPStatus

import pytest

from control_api.errors import ApiError
from control_api.principal import ANONYMOUS, Principal
from control_api.rate_limits import Budget, RateLimitOptions, RateLimits, address_group
from control_api.routing import Limit
from storage.ids import new_id
from storage.repositories import Role
from storage.shared_state import LocalState

SMALL = RateLimitOptions(Budget(3, 900), Budget(2, 900), Budget(1, 3600))


def somebody() -> Principal:
    return Principal(new_id(), Role.USER)


@pytest.fixture
def limits() -> RateLimits:
    return RateLimits(LocalState(), SMALL)


async def refused(limits: RateLimits, limit: Limit, principal: Principal, address: str) -> ApiError:
    with pytest.raises(ApiError) as raised:
        await limits.check(limit, principal, address)
    return raised.value


async def test_headers_count_down(limits: RateLimits) -> None:
    answers = [await limits.check(Limit.GENERAL, ANONYMOUS, "192.0.2.1") for _ in range(3)]
    assert [answer["RateLimit-Remaining"] for answer in answers] == ["2", "1", "0"]
    assert {answer["RateLimit-Limit"] for answer in answers} == {"3"}
    assert all(1 <= int(answer["RateLimit-Reset"]) <= 900 for answer in answers)


async def test_refusal_says_when_to_come_back(limits: RateLimits) -> None:
    for _ in range(3):
        await limits.check(Limit.GENERAL, ANONYMOUS, "192.0.2.1")
    error = await refused(limits, Limit.GENERAL, ANONYMOUS, "192.0.2.1")
    assert (error.status, error.code) == (HTTPStatus.TOO_MANY_REQUESTS, "rate_limited")
    assert error.headers["Retry-After"] == error.headers["RateLimit-Reset"]
    assert error.headers["RateLimit-Remaining"] == "0"


async def test_users_behind_one_address_have_budgets_of_their_own(limits: RateLimits) -> None:
    first, second = somebody(), somebody()
    for _ in range(3):
        await limits.check(Limit.GENERAL, first, "192.0.2.1")
    await limits.check(Limit.GENERAL, second, "192.0.2.1")
    await limits.check(Limit.GENERAL, ANONYMOUS, "192.0.2.1")
    await refused(limits, Limit.GENERAL, first, "198.51.100.9")


async def test_authentication_is_paid_by_the_address_even_when_signed_in(limits: RateLimits) -> None:
    for _ in range(2):
        await limits.check(Limit.AUTHENTICATION, somebody(), "192.0.2.1")
    await refused(limits, Limit.AUTHENTICATION, somebody(), "192.0.2.1")
    await limits.check(Limit.AUTHENTICATION, somebody(), "192.0.2.2")


async def test_budgets_do_not_mix(limits: RateLimits) -> None:
    user = somebody()
    await limits.check(Limit.UPLOAD, user, "192.0.2.1")
    await refused(limits, Limit.UPLOAD, user, "192.0.2.1")
    await limits.check(Limit.GENERAL, user, "192.0.2.1")


async def test_ipv6_neighbours_share_a_budget(limits: RateLimits) -> None:
    for number in range(2):
        await limits.check(Limit.AUTHENTICATION, ANONYMOUS, f"2001:db8:0:1::{number}")
    await refused(limits, Limit.AUTHENTICATION, ANONYMOUS, "2001:db8:0:1:ffff::9")
    await limits.check(Limit.AUTHENTICATION, ANONYMOUS, "2001:db8:0:2::1")


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("x" * 1000, "x" * 64),
    ],
)
def test_who_counts_as_one(address: str, group: str) -> None:
    assert address_group(address) == group


async def test_default_figures() -> None:
    options = RateLimitOptions()
    assert (options.general, options.authentication, options.upload) == (
        Budget(300, 900),
        Budget(5, 900),
        Budget(10, 3600),
    )
