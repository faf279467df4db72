"""The mux on a fake clock: who gets which datagram, and what strangers and bad peers cannot do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu import mux as mux_module
from sfu.mux import HELD_SECONDS, MAX_CHECKS_PER_SECOND, MAX_DATAGRAM_SIZE, Endpoint, Mux
from sfu.protocol import stun
from sfu.protocol.ice_lite import (
    CONSENT_TIMEOUT,
    Address,
    CheckResult,
    IceCredentials,
    IceEvent,
    IceLiteAgent,
    IceState,
    SelectedAddressChanged,
    StateChanged,
)
from tests.sfu.checks import (
    CONTROLLED,
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

RTP = b"\x80\x60" + bytes(20)
RTCP = b"\x80\xc9" + bytes(10)
DTLS = b"\x16" + bytes(20)
FORGED = IceCredentials(LOCAL.username_fragment, "x" * 22)


class Recorder:
    """An endpoint that notes what it gets, and fails when told to."""

    def __init__(self, credentials: IceCredentials = LOCAL, fails: bool = False) -> None:
        self.ice = IceLiteAgent(credentials, 0.0)
        self.fails = fails
        self.got: list[tuple[str, bytes, Address]] = []

    def _note(self, kind: str, data: bytes, address: Address) -> None:
        self.got.append((kind, data, address))
        if self.fails:
            raise RuntimeError("broken endpoint")

    def receive_dtls(self, data: bytes, address: Address) -> None:
        self._note("dtls", data, address)

    def receive_rtp(self, data: bytes, address: Address) -> None:
        self._note("rtp", data, address)

    def receive_rtcp(self, data: bytes, address: Address) -> None:
        self._note("rtcp", data, address)


def _bound(*endpoints: Recorder) -> Mux:
    mux = Mux()
    for number, endpoint in enumerate(endpoints):
        mux.add(endpoint)
        address = (HERE, THERE)[number]
        assert mux.receive(check(endpoint.ice.credentials, nominate=True), address, 1.0)
    return mux


def test_datagrams_are_told_apart_by_their_first_bytes() -> None:
    endpoint = Recorder()
    mux = _bound(endpoint)
    for data in (DTLS, RTP, RTCP):
        assert mux.receive(data, HERE, 1.0) == []
    assert endpoint.got == [("dtls", DTLS, HERE), ("rtp", RTP, HERE), ("rtcp", RTCP, HERE)]
    counters = mux.counters
    assert (counters.stun, counters.dtls, counters.rtp, counters.rtcp) == (1, 1, 1, 1)


@pytest.mark.parametrize(
    ("second", "kind"), [(0, "rtp"), (127, "rtp"), (191, "rtp"), (192, "rtcp"), (223, "rtcp"), (224, "rtp")]
)
def test_rtcp_is_what_rfc_5761_reserves(second: int, kind: str) -> None:
    endpoint = Recorder()
    _bound(endpoint).receive(bytes((0x80, second)) + bytes(30), HERE, 1.0)
    assert [found[0] for found in endpoint.got] == [kind]


def test_each_address_leads_to_its_own_endpoint() -> None:
    first, second = Recorder(LOCAL), Recorder(OTHER)
    mux = _bound(first, second)
    mux.receive(RTP, THERE, 1.0)
    mux.receive(DTLS, HERE, 1.0)
    assert [found[0] for found in first.got] == ["dtls"] and [found[0] for found in second.got] == ["rtp"]


def test_strangers_reach_nobody() -> None:
    endpoint = Recorder()
    mux = _bound(endpoint)
    for data in (RTP, RTCP, DTLS, check(IceCredentials("unknown", "u" * 22)), b"\x00", b"\x03" * 30):
        assert mux.receive(data, THERE, 1.0) == []
    assert endpoint.got == [] and not mux.is_bound(THERE)
    assert mux.counters.dropped_unbound == 3 and mux.counters.checks_wrong_username == 3


def test_the_transport_is_part_of_the_address() -> None:
    endpoint = Recorder()
    mux = _bound(endpoint)
    mux.receive(RTP, HERE._replace(transport="tcp"), 1.0)
    assert endpoint.got == [] and mux.counters.dropped_unbound == 1


@pytest.mark.parametrize("first", [4, 19, 64, 79, 127, 192, 255])
def test_first_bytes_of_no_protocol_are_dropped(first: int) -> None:
    endpoint = Recorder()
    mux = _bound(endpoint)
    mux.receive(bytes((first,)) + bytes(30), HERE, 1.0)
    assert endpoint.got == [] and mux.counters.dropped_unknown == 1


def test_too_long_and_too_short_datagrams_are_dropped() -> None:
    endpoint = Recorder()
    mux = _bound(endpoint)
    for data in (RTP[:11], RTCP[:7], DTLS[:12], b"\x80"):
        mux.receive(data, HERE, 1.0)
    mux.receive(b"", HERE, 1.0)
    mux.receive(RTP + bytes(MAX_DATAGRAM_SIZE), HERE, 1.0)
    mux.receive(check() + bytes(MAX_DATAGRAM_SIZE), HERE, 1.0)
    assert endpoint.got == []
    assert (mux.counters.dropped_short, mux.counters.dropped_oversized) == (4, 2)
    mux.receive(RTP.ljust(MAX_DATAGRAM_SIZE, b"\0"), HERE, 1.0)
    assert len(endpoint.got) == 1


@given(st.binary(max_size=40), st.booleans())
def test_no_bytes_break_the_mux(data: bytes, is_bound: bool) -> None:
    mux = _bound(Recorder())
    mux.receive(data, HERE if is_bound else THERE, 1.0)
    assert mux.counters.endpoint_errors == 0


def test_an_endpoint_that_raises_costs_nobody_else_a_packet() -> None:
    broken, sound = Recorder(LOCAL, fails=True), Recorder(OTHER)
    mux = _bound(broken, sound)
    for _ in range(3):
        mux.receive(RTP, HERE, 1.0)
        mux.receive(RTP, THERE, 1.0)
    assert mux.counters.endpoint_errors == 3 and len(sound.got) == 3


class BrokenAgent(IceLiteAgent):
    """An agent that fails at everything once its address is known."""

    def check(self, message: stun.Message, address: Address, now: float) -> CheckResult:
        if now > 1.0:
            raise RuntimeError("broken agent")
        return super().check(message, address, now)

    def tick(self, now: float) -> None:
        raise RuntimeError("broken agent")


def test_an_agent_that_raises_keeps_nobody_elses_consent() -> None:
    broken, sound = Recorder(LOCAL), Recorder(OTHER)
    broken.ice = BrokenAgent(LOCAL, 0.0)
    mux = _bound(broken, sound)
    assert mux.receive(check(), HERE, 2.0) == [] and mux.receive(check(OTHER), THERE, 2.0)
    mux.tick(2.0 + CONSENT_TIMEOUT)
    assert sound.ice.state is IceState.DISCONNECTED and mux.counters.endpoint_errors == 2


def test_an_address_in_use_is_not_taken_by_who_forges_it() -> None:
    first, second = Recorder(LOCAL), Recorder(OTHER)
    mux = _bound(first, second)
    now = 1.0
    for _ in range(20):
        now += HELD_SECONDS - 1
        assert mux.receive(check(LOCAL), HERE, now)
        assert mux.receive(check(OTHER), THERE, now)
        assert mux.receive(check(OTHER, nominate=True), HERE, now + 0.5) == []
        mux.receive(RTP, HERE, now + 0.5)
        mux.tick(now)
    assert (len(first.got), second.got) == (20, [])
    assert (first.ice.selected, second.ice.selected) == (HERE, THERE)
    assert mux.counters.checks_held == 20


def test_an_address_is_free_once_its_transport_has_ended() -> None:
    first, second = Recorder(LOCAL), Recorder(OTHER)
    mux = _bound(first, second)
    mux.remove(first)
    assert mux.receive(check(OTHER), HERE, 1.1)
    assert mux.is_bound(HERE)


def test_an_address_that_was_left_follows_who_proves_it_last() -> None:
    first, second = Recorder(LOCAL), Recorder(OTHER)
    mux = _bound(first, second)
    later = 1.0 + HELD_SECONDS
    assert mux.receive(check(OTHER), HERE, later)
    mux.receive(RTP, HERE, later)
    assert first.got == [] and len(second.got) == 1
    mux.remove(first)
    assert mux.is_bound(HERE)
    mux.remove(second)
    assert not mux.is_bound(HERE) and not mux.is_bound(THERE) and len(mux) == 0


def test_a_removed_endpoint_is_a_stranger_again() -> None:
    endpoint = Recorder()
    mux = _bound(endpoint)
    mux.remove(endpoint)
    mux.remove(endpoint)
    assert mux.receive(check(), HERE, 2.0) == [] and not mux.is_bound(HERE)
    mux.add(endpoint)


def test_a_fragment_is_had_once() -> None:
    mux = _bound(Recorder())
    with pytest.raises(ValueError, match="fragment"):
        mux.add(Recorder())
    second = Recorder(OTHER)
    mux.add(second)
    with pytest.raises(ValueError, match="fragment"):
        mux.restart(second, IceCredentials(LOCAL.username_fragment, "z" * 22), 1.0)


def test_consent_that_lapses_unbinds_and_is_told() -> None:
    told: list[tuple[Endpoint, IceEvent]] = []
    mux = Mux(on_ice_event=lambda endpoint, event: told.append((endpoint, event)))
    endpoint = Recorder()
    mux.add(endpoint)
    mux.receive(check(nominate=True), HERE, 1.0)
    assert told == [(endpoint, SelectedAddressChanged(HERE)), (endpoint, StateChanged(IceState.COMPLETED))]
    told.clear()
    mux.tick(1.0 + CONSENT_TIMEOUT)
    assert [event for _, event in told] == [
        SelectedAddressChanged(None),
        StateChanged(IceState.DISCONNECTED),
    ]
    mux.receive(RTP, HERE, 32.0)
    assert endpoint.got == [] and mux.receive(check(), HERE, 32.0) == []


def test_who_is_told_may_remove_and_may_fail() -> None:
    first, second = Recorder(LOCAL), Recorder(OTHER)

    def told(endpoint: Endpoint, event: IceEvent) -> None:
        if event == StateChanged(IceState.FAILED):
            mux.remove(first)
            mux.remove(second)
            raise RuntimeError("broken listener")

    mux = Mux(on_ice_event=told)
    mux.add(first)
    mux.add(second)
    mux.tick(CONSENT_TIMEOUT)
    assert len(mux) == 0 and mux.counters.endpoint_errors == 1


def test_an_address_that_is_given_up_is_no_longer_sent_to() -> None:
    endpoint = Recorder()
    mux = _bound(endpoint)
    mux.forget(HERE, 2.0)
    mux.forget(THERE, 2.0)
    assert not mux.is_bound(HERE) and endpoint.ice.selected is None


def test_a_restart_is_found_by_both_fragments_until_nominated() -> None:
    endpoint = Recorder()
    mux = _bound(endpoint)
    mux.restart(endpoint, OTHER, 2.0)
    assert mux.receive(check(), HERE, 3.0) and mux.receive(check(OTHER), THERE, 3.0)
    assert mux.receive(check(OTHER, nominate=True), THERE, 4.0)
    assert mux.receive(check(), HERE, 5.0) == [] and endpoint.ice.selected == THERE
    mux.receive(RTP, HERE, 5.0)
    mux.receive(RTP, THERE, 5.0)
    assert len(endpoint.got) == 2


def test_wrong_passwords_are_answered_seldom_and_limited_per_source() -> None:
    mux = _bound(Recorder(LOCAL))
    answers = [mux.receive(check(FORGED), THERE, 2.0) for _ in range(200)]
    sent = [answer for batch in answers for answer, _ in batch]
    assert len(sent) == mux_module.REFUSALS_BURST and all(error_code(answer) == 401 for answer in sent)
    counters = mux.counters
    assert counters.checks_unauthenticated == mux_module.FAILED_CHECKS_BURST
    assert counters.refusals_suppressed == mux_module.FAILED_CHECKS_BURST - mux_module.REFUSALS_BURST
    assert counters.checks_limited == 200 - mux_module.FAILED_CHECKS_BURST
    assert mux.receive(check(), HERE, 2.0) and not mux.is_bound(THERE)
    later = [mux.receive(check(FORGED), THERE, 3.0) for _ in range(20)]
    assert sum(map(len, later)) == mux_module.REFUSALS_PER_SECOND


def test_one_peers_failures_do_not_spend_its_neighbours_budget() -> None:
    mux = _bound(Recorder(LOCAL))
    second = Recorder(OTHER)
    mux.add(second)
    for port in range(200):
        mux.receive(check(FORGED), HERE._replace(port=10_000 + port), 2.0)
        mux.receive(check(IceCredentials("unknown", "u" * 22)), HERE._replace(port=10_000 + port), 2.0)
    neighbour = HERE._replace(port=9)
    assert mux.receive(check(OTHER), neighbour, 2.0) and mux.is_bound(neighbour)


def test_malformed_checks_are_counted_and_limited() -> None:
    mux = _bound(Recorder())
    broken = check()[:-1] + b"\0"
    for _ in range(100):
        assert mux.receive(broken, THERE, 2.0) == []
    assert mux.counters.checks_malformed == mux_module.FAILED_CHECKS_BURST
    assert mux.counters.checks_limited == 100 - mux_module.FAILED_CHECKS_BURST


def test_valid_checks_are_limited_too() -> None:
    mux = _bound(Recorder())
    answered = sum(len(mux.receive(check(), HERE, 5.0)) for _ in range(MAX_CHECKS_PER_SECOND + 50))
    assert answered == MAX_CHECKS_PER_SECOND and mux.counters.checks_limited == 50
    assert mux.receive(check(), HERE, 6.0)


def test_every_outcome_is_counted() -> None:
    mux = _bound(Recorder())
    fragment = username(LOCAL.username_fragment)
    unknown = check(LOCAL, fragment, PRIORITY, (0x7000, b""))
    indication = stun.serialize(stun.INDICATION, TRANSACTION, [fragment], LOCAL.password.encode())
    keepalive = stun.serialize(stun.INDICATION, TRANSACTION, [])
    for data in (unknown, check(LOCAL, fragment, PRIORITY, CONTROLLED), check(LOCAL, fragment), indication):
        mux.receive(data, HERE, 2.0)
    assert mux.receive(keepalive, HERE, 2.0) == []
    counters = mux.counters
    assert (counters.checks_unknown_attribute, counters.checks_role_conflict) == (1, 1)
    assert (counters.checks_bad_request, counters.checks_ignored, counters.checks_valid) == (1, 2, 1)
