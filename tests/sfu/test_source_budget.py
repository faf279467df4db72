"""Budgets per source: burst, refill, independence of keys, bounded memory."""

from __future__ import annotations

from sfu.source_budget import SourceBudget, network_of


def test_a_burst_is_spent_and_refills_with_time() -> None:
    budget = SourceBudget(rate=2.0, burst=3.0)
    assert [budget.spend("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert not budget.has_left("a", 0.4) and budget.has_left("a", 0.5)
    assert budget.spend("a", 0.5) and not budget.spend("a", 0.5)
    assert [budget.spend("a", 100.0) for _ in range(4)] == [True, True, True, False]


def test_a_key_does_not_spend_what_is_anothers() -> None:
    budget = SourceBudget(rate=1.0, burst=1.0)
    assert budget.spend("a", 0.0) and not budget.spend("a", 0.0)
    assert budget.spend("b", 0.0)


def test_keys_are_bounded_and_the_one_unused_for_longest_goes() -> None:
    budget = SourceBudget(rate=1.0, burst=1.0, max_keys=2)
    for key in "abc":
        budget.spend(key, 0.0)
    assert len(budget) == 2
    assert budget.has_left("a", 0.0) and not budget.has_left("b", 0.0)


def test_the_addresses_of_one_ipv6_network_are_one_source() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("192.0.2.1") != network_of("192.0.2.2")
    assert network_of("fe80::1%2") == network_of("fe80::2")
