"""The lite agent on a fake clock: checks, nomination, consent, restart, conflicts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol import ice_lite, stun
from sfu.protocol.errors import MalformedPacket
from sfu.protocol.ice_lite import (
    CONSENT_TIMEOUT,
    MAX_ADDRESSES,
    Address,
    IceCredentials,
    IceLiteAgent,
    IceState,
    Outcome,
    SelectedAddressChanged,
    StateChanged,
)
from tests.sfu.checks import (
    CONTROLLED,
    CONTROLLING,
    HERE,
    LOCAL,
    OTHER,
    PRIORITY,
    THERE,
    TRANSACTION,
    check,
    error_code,
    username,
)

MORE = Address("tcp", "192.0.2.9", 9)


def _agent() -> IceLiteAgent:
    return IceLiteAgent(LOCAL, 0.0)


def _outcome(agent: IceLiteAgent, data: bytes, address: Address = HERE, now: float = 1.0) -> Outcome:
    return agent.check(stun.parse(data), address, now)[0]


def test_a_valid_check_is_answered_and_selects_its_address() -> None:
    agent = _agent()
    [(answer, to)] = agent.receive(check(), HERE, 1.0)
    seen = stun.parse(answer)
    assert to == HERE and seen.message_class == stun.SUCCESS and seen.transaction_id == TRANSACTION
    assert seen.mapped_address() == (HERE.host, HERE.port) and seen.has_integrity(LOCAL.password.encode())
    assert (agent.selected, agent.state, agent.addresses) == (HERE, IceState.CONNECTED, (HERE,))
    assert agent.poll_events() == [SelectedAddressChanged(HERE), StateChanged(IceState.CONNECTED)]
    assert agent.poll_events() == []


def test_nomination_completes_and_moves() -> None:
    agent = _agent()
    agent.receive(check(nominate=True), HERE, 1.0)
    assert (agent.selected, agent.state) == (HERE, IceState.COMPLETED)
    agent.receive(check(), THERE, 2.0)
    assert agent.selected == HERE
    agent.poll_events()
    agent.receive(check(nominate=True), THERE, 3.0)
    assert (agent.selected, agent.state) == (THERE, IceState.COMPLETED)
    assert agent.poll_events() == [SelectedAddressChanged(THERE)]


def test_a_wrong_fragment_is_dropped_without_an_answer() -> None:
    agent = _agent()
    assert agent.receive(check(OTHER), HERE, 1.0) == []
    assert _outcome(agent, check(OTHER)) is Outcome.WRONG_USERNAME
    assert agent.addresses == () and agent.state is IceState.NEW


def test_a_wrong_password_is_answered_401_and_proves_nothing() -> None:
    agent = _agent()
    forged = IceCredentials(LOCAL.username_fragment, "x" * 22)
    [(answer, _)] = agent.receive(check(forged, nominate=False), HERE, 1.0)
    assert error_code(answer) == 401 and not stun.parse(answer).is_signed
    assert agent.addresses == () and agent.poll_events() == []


@pytest.mark.parametrize(
    "wire",
    [
        stun.serialize(stun.REQUEST, TRANSACTION, [username(LOCAL.username_fragment), PRIORITY]),
        check(LOCAL, PRIORITY, CONTROLLING),
        check(LOCAL, username(LOCAL.username_fragment), CONTROLLING),
    ],
    ids=["no integrity", "no username", "no priority"],
)
def test_an_incomplete_check_is_answered_400(wire: bytes) -> None:
    agent = _agent()
    [(answer, _)] = agent.receive(wire, HERE, 1.0)
    assert error_code(answer) == 400
    assert agent.addresses == ()


def test_a_peer_that_is_controlled_too_is_told_so() -> None:
    agent = _agent()
    [(answer, _)] = agent.receive(
        check(LOCAL, username(LOCAL.username_fragment), PRIORITY, CONTROLLED), HERE, 1.0
    )
    assert error_code(answer) == 487 and stun.parse(answer).has_integrity(LOCAL.password.encode())
    assert agent.addresses == () and (agent.role, agent.is_lite) == ("controlled", True)


def test_an_attribute_that_must_be_understood_is_answered_420() -> None:
    agent = _agent()
    unknown = (0x7ABC, b"what")
    wire = check(LOCAL, username(LOCAL.username_fragment), PRIORITY, CONTROLLING, unknown)
    [(answer, _)] = agent.receive(wire, HERE, 1.0)
    assert error_code(answer) == 420
    assert stun.parse(answer).attributes[stun.UNKNOWN_ATTRIBUTES] == b"\x7a\xbc"
    assert agent.addresses == ()


@pytest.mark.parametrize("message_class", [stun.INDICATION, stun.SUCCESS, stun.ERROR])
def test_what_is_no_request_is_ignored(message_class: int) -> None:
    attributes = [username(LOCAL.username_fragment), PRIORITY]
    wire = stun.serialize(message_class, TRANSACTION, attributes, LOCAL.password.encode())
    agent = _agent()
    assert _outcome(agent, wire) is Outcome.IGNORED and agent.addresses == ()


def test_bytes_that_are_no_stun_raise() -> None:
    with pytest.raises(MalformedPacket):
        _agent().receive(b"\x80" + bytes(30), HERE, 1.0)


def test_consent_lapses_after_thirty_seconds_and_checks_renew_it() -> None:
    agent = _agent()
    agent.receive(check(nominate=True), HERE, 1.0)
    agent.receive(check(), HERE, 20.0)
    agent.tick(20.0 + CONSENT_TIMEOUT - 0.01)
    assert agent.state is IceState.COMPLETED
    agent.poll_events()
    agent.tick(20.0 + CONSENT_TIMEOUT)
    assert (agent.state, agent.selected, agent.addresses) == (IceState.DISCONNECTED, None, ())
    assert agent.poll_events() == [SelectedAddressChanged(None), StateChanged(IceState.DISCONNECTED)]


def test_an_agent_nobody_ever_reaches_fails() -> None:
    agent = _agent()
    agent.tick(CONSENT_TIMEOUT - 0.01)
    assert agent.state is IceState.NEW
    agent.tick(CONSENT_TIMEOUT)
    agent.tick(CONSENT_TIMEOUT + 1)
    assert agent.poll_events() == [StateChanged(IceState.FAILED)]


def test_lost_consent_is_not_regained_with_the_same_credentials() -> None:
    agent = _agent()
    agent.receive(check(), HERE, 1.0)
    agent.tick(31.0)
    assert agent.receive(check(), HERE, 32.0) == []
    agent.restart(OTHER, 33.0)
    assert (agent.state, agent.username_fragments) == (IceState.NEW, (OTHER.username_fragment,))
    agent.tick(33.0 + CONSENT_TIMEOUT - 0.01)
    assert agent.receive(check(OTHER, nominate=True), HERE, 62.0)
    assert (agent.state, agent.selected, agent.credentials) == (IceState.COMPLETED, HERE, OTHER)


def test_when_the_selected_address_falls_silent_the_latest_other_is_used() -> None:
    agent = _agent()
    agent.receive(check(nominate=True), HERE, 1.0)
    agent.receive(check(), MORE, 10.0)
    agent.receive(check(), THERE, 20.0)
    agent.tick(31.0)
    assert (agent.selected, agent.state) == (THERE, IceState.COMPLETED)
    assert set(agent.addresses) == {THERE, MORE}


def test_a_forgotten_address_is_not_sent_to() -> None:
    agent = _agent()
    agent.receive(check(nominate=True), MORE, 1.0)
    agent.forget(MORE)
    agent.forget(THERE)
    assert (agent.selected, agent.addresses) == (None, ())
    agent.receive(check(), HERE, 2.0)
    assert agent.selected == HERE


def test_a_restart_keeps_the_old_credentials_until_the_new_are_nominated() -> None:
    agent = _agent()
    agent.receive(check(nominate=True), HERE, 1.0)
    agent.restart(OTHER, 2.0)
    assert agent.newest_credentials == OTHER and agent.credentials == LOCAL
    assert agent.receive(check(), HERE, 3.0) and agent.receive(check(OTHER), THERE, 3.0)
    assert agent.selected == HERE and len(agent.username_fragments) == 2
    assert agent.receive(check(nominate=True), HERE, 3.5) and len(agent.username_fragments) == 2
    [(answer, _)] = agent.receive(check(OTHER, nominate=True), THERE, 4.0)
    assert stun.parse(answer).has_integrity(OTHER.password.encode())
    assert (agent.selected, agent.credentials) == (THERE, OTHER)
    assert agent.username_fragments == (OTHER.username_fragment,)
    assert agent.receive(check(), HERE, 5.0) == []


def test_a_second_restart_replaces_the_first() -> None:
    agent = _agent()
    third = IceCredentials.generate()
    agent.restart(OTHER, 1.0)
    agent.restart(third, 2.0)
    assert agent.username_fragments == (LOCAL.username_fragment, third.username_fragment)
    assert agent.receive(check(OTHER), HERE, 3.0) == []
    assert agent.receive(check(third, nominate=True), HERE, 3.0)
    with pytest.raises(ValueError, match="restart"):
        agent.restart(third, 4.0)


def test_addresses_are_bounded_and_the_selected_one_stays() -> None:
    agent = _agent()
    agent.receive(check(nominate=True), HERE, 0.5)
    for number in range(2 * MAX_ADDRESSES):
        agent.receive(check(), Address("udp", "192.0.2.2", 1000 + number), 1.0 + number)
    assert len(agent.addresses) == MAX_ADDRESSES and agent.selected == HERE
    assert Address("udp", "192.0.2.2", 1000) not in agent.addresses


def test_events_nobody_polls_are_bounded() -> None:
    agent = _agent()
    for number in range(200):
        agent.receive(check(nominate=True), (HERE, THERE)[number % 2], 1.0)
    assert len(agent.poll_events()) == ice_lite.MAX_PENDING_EVENTS


def test_credentials_are_checked_generated_and_never_shown() -> None:
    made = IceCredentials.generate()
    assert made != IceCredentials.generate() and made.password not in repr(made)
    for fragment, password in (
        ("abc", "p" * 22),
        ("abcd", "p" * 21),
        ("ab:d", "p" * 22),
        ("a" * 257, "p" * 22),
    ):
        with pytest.raises(ValueError, match="credential"):
            IceCredentials(fragment, password)


STEPS = st.one_of(
    st.tuples(st.just("check"), st.sampled_from([HERE, THERE, MORE]), st.booleans(), st.booleans()),
    st.tuples(st.just("tick"), st.integers(0, 40)),
    st.tuples(st.just("forget"), st.sampled_from([HERE, THERE, MORE])),
    st.tuples(st.just("restart")),
)


@given(st.lists(STEPS, max_size=40))
def test_what_is_selected_has_always_been_proven(steps: list[tuple[str, object]]) -> None:
    agent, now, credentials = _agent(), 0.0, [LOCAL]
    for name, *details in steps:
        match name, details:
            case "check", [Address() as address, bool() as nominate, bool() as newest]:
                agent.receive(check(credentials[-1 if newest else 0], nominate=nominate), address, now)
            case "tick", [int() as passed]:
                now += passed
                agent.tick(now)
            case "forget", [Address() as address]:
                agent.forget(address)
            case "restart", []:
                credentials.append(IceCredentials.generate())
                agent.restart(credentials[-1], now)
        assert agent.selected is None or agent.selected in agent.addresses
        assert 1 <= len(agent.username_fragments) <= 2
        assert credentials[-1] == agent.newest_credentials
        is_over = agent.state in (IceState.DISCONNECTED, IceState.FAILED)
        assert not (is_over and agent.addresses)
