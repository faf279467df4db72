"""All transports behind one port: whose datagram is this, and of which protocol (RFC 7983)?

Nothing that a stranger sends reaches a transport, or is answered, before a STUN check with the transport's
user name fragment and password has bound the address that it came from.  Does no I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from sfu.protocol import stun
from sfu.protocol.errors import MalformedPacket
from sfu.protocol.ice_lite import Address, IceCredentials, IceEvent, IceLiteAgent, Outcome
from sfu.source_budget import SourceBudget, network_of

ETHERNET_MTU = 1500
DATAGRAM_HEADROOM = 100
MAX_DATAGRAM_SIZE = ETHERNET_MTU + DATAGRAM_HEADROOM
"""Longer ones are dropped: no path that a browser uses carries them."""
MIN_RTP_SIZE = 12
MIN_RTCP_SIZE = 8
MIN_DTLS_SIZE = 13

FAILED_CHECKS_PER_SECOND = 20.0
FAILED_CHECKS_BURST = 50.0
"""Per network and user name fragment, so that nobody uses up what belongs to others behind his address."""
REFUSALS_PER_SECOND = 5.0
REFUSALS_BURST = 10.0
"""Error answers per network to whom has not shown the password: we are nobody's reflector."""
MAX_CHECKS_PER_SECOND = 200
"""Valid ones, per transport: a full agent sends at most one in 50 ms per candidate (RFC 8445 14.2)."""
HELD_SECONDS = 7.0
"""So long an address stays with whom it last proved: browsers check every 2.5 to 6 s (RFC 7675 5.1)."""

_SECONDS_BETWEEN_LOGS = 1.0

Answers = list[tuple[bytes, Address]]

log = structlog.get_logger("mediaserver.sfu")


class Endpoint(Protocol):
    """What a transport is to the mux; what it raises is counted and goes no further."""

    @property
    def ice(self) -> IceLiteAgent:
        """The agent that says which addresses are the transport's; the same for all its life."""
        ...

    def receive_dtls(self, data: bytes, address: Address) -> None:
        """Take a DTLS record."""
        ...

    def receive_rtp(self, data: bytes, address: Address) -> None:
        """Take an SRTP packet, at least MIN_RTP_SIZE bytes."""
        ...

    def receive_rtcp(self, data: bytes, address: Address) -> None:
        """Take an SRTCP packet, at least MIN_RTCP_SIZE bytes."""
        ...


@dataclass(slots=True)
class MuxCounters:
    """Datagrams since the start: what they were, or why they were dropped."""

    stun: int = 0
    dtls: int = 0
    rtp: int = 0
    rtcp: int = 0
    dropped_unbound: int = 0
    """DTLS, RTP or RTCP from an address that no check has proven."""
    dropped_oversized: int = 0
    dropped_short: int = 0
    dropped_unknown: int = 0
    """The first byte belongs to none of the protocols."""
    checks_valid: int = 0
    checks_limited: int = 0
    checks_malformed: int = 0
    checks_ignored: int = 0
    checks_wrong_username: int = 0
    checks_bad_request: int = 0
    checks_unauthenticated: int = 0
    checks_unknown_attribute: int = 0
    checks_role_conflict: int = 0
    checks_held: int = 0
    """From an address that another transport's peer is still using: whoever can forge it must not take it."""
    refusals_suppressed: int = 0
    endpoint_errors: int = 0
    """Exceptions of transports."""


class _Entry:
    """One transport and what leads to it."""

    __slots__ = ("addresses", "checks", "endpoint", "fragments", "second")

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.fragments: set[bytes] = set()
        self.addresses: set[Address] = set()
        self.second = 0
        self.checks = 0

    def may_check(self, now: float) -> bool:
        """Return whether its peer has not yet used up what it may ask in this second."""
        second = int(now)
        if second != self.second:
            self.second, self.checks = second, 0
        return self.checks < MAX_CHECKS_PER_SECOND


class Mux:
    """Finds the transport of each datagram: by the check's user name fragment, else by the bound address.

    `on_ice_event` is told what happens to each transport's ICE, right after it happened; without it the
    events stay in the agents.
    """

    def __init__(self, on_ice_event: Callable[[Endpoint, IceEvent], None] | None = None) -> None:
        self.counters = MuxCounters()
        self._on_ice_event = on_ice_event
        self._entries: dict[int, _Entry] = {}
        self._by_fragment: dict[bytes, _Entry] = {}
        self._bound: dict[Address, _Entry] = {}
        self._failures = SourceBudget(FAILED_CHECKS_PER_SECOND, FAILED_CHECKS_BURST)
        self._refusals = SourceBudget(REFUSALS_PER_SECOND, REFUSALS_BURST)
        self._logged_at: float | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, endpoint: Endpoint) -> None:
        """Answer the checks for `endpoint`; raises ValueError where its fragment is taken."""
        if any(_key(fragment) in self._by_fragment for fragment in endpoint.ice.username_fragments):
            raise ValueError("another transport has this ICE user name fragment")
        entry = self._entries[id(endpoint)] = _Entry(endpoint)
        self._synchronize(entry)

    def remove(self, endpoint: Endpoint) -> None:
        """Forget `endpoint` and its addresses; one that is not there is not missed."""
        entry = self._entries.pop(id(endpoint), None)
        if entry is not None:
            for fragment in entry.fragments:
                self._by_fragment.pop(fragment, None)
            for address in entry.addresses:
                self._unbind(entry, address)

    def restart(self, endpoint: Endpoint, credentials: IceCredentials, now: float) -> None:
        """Restart the ICE of `endpoint`: the new credentials are answered from now on, too."""
        if _key(credentials.username_fragment) in self._by_fragment:
            raise ValueError("another transport has this ICE user name fragment")
        endpoint.ice.restart(credentials, now)
        self._settle(self._entries[id(endpoint)], now)

    def is_bound(self, address: Address) -> bool:
        """Return whether a valid check came from `address` and its consent has not lapsed."""
        return address in self._bound

    def forget(self, address: Address, now: float) -> None:
        """Give up an address from which nothing can come any more, as a closed TCP connection."""
        entry = self._bound.get(address)
        if entry is not None:
            entry.endpoint.ice.forget(address)
            self._settle(entry, now)

    def tick(self, now: float) -> None:
        """Let consent lapse; call it about once a second."""
        for entry in list(self._entries.values()):
            try:
                entry.endpoint.ice.tick(now)
                self._settle(entry, now)
            except Exception:
                self._note_error(now)

    def receive(self, data: bytes, address: Address, now: float) -> Answers:
        """Hand one datagram to its transport; return what is to be sent for it. Raises nothing."""
        size = len(data)
        if size > MAX_DATAGRAM_SIZE:
            self.counters.dropped_oversized += 1
            return []
        first = data[0] if size else -1
        try:
            if 0 <= first <= 3:
                return self._receive_stun(data, address, now)
            entry = self._bound.get(address)
            if entry is None:
                self.counters.dropped_unbound += 1
            else:
                self._dispatch(entry.endpoint, first, size, data, address)
        except Exception:
            self._note_error(now)
        return []

    def _dispatch(self, endpoint: Endpoint, first: int, size: int, data: bytes, address: Address) -> None:
        counters = self.counters
        if 128 <= first <= 191:
            # RFC 5761 4: with the marker bit, RTP payload types 64 to 95 are RTCP's packet types.
            if size >= MIN_RTP_SIZE and not 192 <= data[1] <= 223:
                counters.rtp += 1
                endpoint.receive_rtp(data, address)
            elif size >= MIN_RTCP_SIZE and 192 <= data[1] <= 223:
                counters.rtcp += 1
                endpoint.receive_rtcp(data, address)
            else:
                counters.dropped_short += 1
        elif not 20 <= first <= 63:
            counters.dropped_unknown += 1
        elif size < MIN_DTLS_SIZE:
            counters.dropped_short += 1
        else:
            counters.dtls += 1
            endpoint.receive_dtls(data, address)

    def _receive_stun(self, data: bytes, address: Address, now: float) -> Answers:
        counters = self.counters
        counters.stun += 1
        fragment = stun.peek_fragment(data)
        entry = self._bound.get(address) if fragment is None else self._by_fragment.get(fragment)
        if entry is None:
            counters.checks_wrong_username += 1
            return []
        source = (network_of(address.host), fragment)
        if not entry.may_check(now) or not self._failures.has_left(source, now):
            counters.checks_limited += 1
            return []
        if self._is_anothers(address, entry, now):
            counters.checks_held += 1
            return []
        try:
            outcome, answer = entry.endpoint.ice.check(stun.parse(data), address, now)
        except MalformedPacket:
            counters.checks_malformed += 1
            self._failures.spend(source, now)
            return []
        if outcome is Outcome.VALID:
            self._note_valid(entry, address, now)
        elif not self._may_refuse(outcome, source, now):
            return []
        return [] if answer is None else [(answer, address)]

    def _is_anothers(self, address: Address, entry: _Entry, now: float) -> bool:
        owner = self._bound.get(address)
        return (
            owner is not None
            and owner is not entry
            and owner.endpoint.ice.has_checked(address, now - HELD_SECONDS)
        )

    def _note_valid(self, entry: _Entry, address: Address, now: float) -> None:
        self.counters.checks_valid += 1
        entry.checks += 1
        entry.addresses.add(address)
        self._bound[address] = entry
        self._settle(entry, now)

    def _may_refuse(self, outcome: Outcome, source: tuple[object, bytes | None], now: float) -> bool:
        """Count a check that was not valid; return whether it may be answered."""
        counters = self.counters
        name = f"checks_{outcome.value}"
        setattr(counters, name, getattr(counters, name) + 1)
        self._failures.spend(source, now)
        if outcome is not Outcome.UNAUTHENTICATED and outcome is not Outcome.BAD_REQUEST:
            return True
        if self._refusals.spend(source[0], now):
            return True
        counters.refusals_suppressed += 1
        return False

    def _settle(self, entry: _Entry, now: float) -> None:
        """Look up as the agent says now, then tell its events."""
        if self._entries.get(id(entry.endpoint)) is not entry:
            return  # removed by what an earlier event called
        self._synchronize(entry)
        if self._on_ice_event is None:
            return
        for event in entry.endpoint.ice.poll_events():
            try:
                self._on_ice_event(entry.endpoint, event)
            except Exception:
                self._note_error(now)

    def _synchronize(self, entry: _Entry) -> None:
        agent = entry.endpoint.ice
        fragments = {_key(fragment) for fragment in agent.username_fragments}
        if fragments != entry.fragments:
            for fragment in entry.fragments - fragments:
                self._by_fragment.pop(fragment, None)
            for fragment in fragments:
                self._by_fragment[fragment] = entry
            entry.fragments = fragments
        for address in entry.addresses.difference(agent.addresses):
            entry.addresses.discard(address)
            self._unbind(entry, address)

    def _unbind(self, entry: _Entry, address: Address) -> None:
        """An address may since have been proven to another transport, which keeps it."""
        if self._bound.get(address) is entry:
            del self._bound[address]

    def _note_error(self, now: float) -> None:
        self.counters.endpoint_errors += 1
        if self._logged_at is None or now - self._logged_at >= _SECONDS_BETWEEN_LOGS:
            self._logged_at = now
            log.warning("sfu_endpoint_failed", errors=self.counters.endpoint_errors, exc_info=True)


def _key(fragment: str) -> bytes:
    return fragment.encode("ascii")
