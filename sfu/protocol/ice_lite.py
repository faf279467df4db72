"""The lite, and therefore controlled, side of ICE (RFC 8445 2.5): answers checks, never sends one.

The peer proves by MESSAGE-INTEGRITY that it knows our password, by the answer's arrival that it is where it
says, and by repeating both that it still wants what we send (consent, RFC 7675).
"""

from __future__ import annotations

import enum
import secrets
from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

from sfu.protocol import stun

CONSENT_TIMEOUT = 30.0
"""Seconds without a valid check after which nothing may be sent any more (RFC 7675 5.1)."""
MAX_ADDRESSES = 8
"""Addresses one peer may have proven at a time; the one not heard of for longest makes room."""
MAX_PENDING_EVENTS = 64
MIN_USERNAME_FRAGMENT = 4
MIN_PASSWORD = 22
MAX_CREDENTIAL = 256
_ICE_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


class Address(NamedTuple):
    """Where a peer is reached; compares and hashes like the plain tuple."""

    transport: Literal["udp", "tcp"]
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class IceCredentials:
    """The user name fragment and the password of one side (RFC 8445 5.3)."""

    username_fragment: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        _check_credential(self.username_fragment, MIN_USERNAME_FRAGMENT)
        _check_credential(self.password, MIN_PASSWORD)

    @classmethod
    def generate(cls) -> IceCredentials:
        """Return new ones: 64 bits nobody guesses for the fragment, 128 for the password."""
        return cls(secrets.token_hex(8), secrets.token_hex(16))


class IceState(enum.Enum):
    """mediasoup's IceState, and `FAILED` where no check ever succeeded."""

    NEW = "new"
    CONNECTED = "connected"
    COMPLETED = "completed"
    DISCONNECTED = "disconnected"
    FAILED = "failed"


class Outcome(enum.Enum):
    """What became of one STUN message."""

    VALID = "valid"
    IGNORED = "ignored"
    WRONG_USERNAME = "wrong_username"
    BAD_REQUEST = "bad_request"
    UNAUTHENTICATED = "unauthenticated"
    UNKNOWN_ATTRIBUTE = "unknown_attribute"
    ROLE_CONFLICT = "role_conflict"


@dataclass(frozen=True, slots=True)
class SelectedAddressChanged:
    """Media goes to another address from now on, or nowhere."""

    address: Address | None


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The agent is in another state."""

    state: IceState


IceEvent = SelectedAddressChanged | StateChanged
CheckResult = tuple[Outcome, bytes | None]


class IceLiteAgent:
    """One transport's ICE: which addresses its peer has proven, and which of them is selected.

    `DISCONNECTED` and `FAILED` end only by `restart`, since credentials must not be used again after consent
    was lost (RFC 7675 5.1).
    """

    role: ClassVar[Literal["controlled"]] = "controlled"
    is_lite: ClassVar[bool] = True

    __slots__ = (
        "_addresses",
        "_alive_since",
        "_events",
        "_keys",
        "_pending",
        "credentials",
        "selected",
        "state",
    )

    def __init__(self, local: IceCredentials, now: float) -> None:
        """The peer has CONSENT_TIMEOUT from `now`, which may be infinite until `expect` is called."""
        self.credentials = local
        self.selected: Address | None = None
        self.state = IceState.NEW
        self._pending: IceCredentials | None = None
        self._keys = {local.username_fragment: local.password.encode()}
        self._addresses: dict[Address, float] = {}
        self._alive_since = now
        self._events: deque[IceEvent] = deque(maxlen=MAX_PENDING_EVENTS)

    @property
    def newest_credentials(self) -> IceCredentials:
        """Those of the last restart, though the peer may not use them yet."""
        return self._pending or self.credentials

    @property
    def username_fragments(self) -> tuple[str, ...]:
        """The fragments whose checks are answered: one, or two during a restart."""
        return tuple(self._keys)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """What the peer has proven and not let lapse; nothing else may be listened to."""
        return tuple(self._addresses)

    def has_checked(self, address: Address, since: float) -> bool:
        """Return whether the peer has shown after `since` that it is at `address`."""
        checked_at = self._addresses.get(address)
        return checked_at is not None and checked_at > since

    def receive(self, data: bytes, address: Address, now: float) -> list[tuple[bytes, Address]]:
        """Return the answers to one datagram; raises MalformedPacket where it is no STUN message."""
        _, answer = self.check(stun.parse(data), address, now)
        return [] if answer is None else [(answer, address)]

    def check(self, message: stun.Message, address: Address, now: float) -> CheckResult:
        """Return what one message is to us, and the answer to it (RFC 8489 6.3, 9.1.3; RFC 8445 7.3)."""
        if message.method != stun.BINDING or message.message_class != stun.REQUEST or self._is_over():
            return Outcome.IGNORED, None
        transaction_id = message.transaction_id
        username = message.username
        if username is None or not message.is_signed:
            return Outcome.BAD_REQUEST, stun.error(transaction_id, stun.BAD_REQUEST)
        fragment = username.partition(":")[0]
        key = self._keys.get(fragment)
        if key is None:
            return Outcome.WRONG_USERNAME, None
        if not message.has_integrity(key):
            return Outcome.UNAUTHENTICATED, stun.error(transaction_id, stun.UNAUTHENTICATED)
        return self._refuse(message, key) or self._accept(message, fragment, key, address, now)

    def restart(self, credentials: IceCredentials, now: float) -> None:
        """Accept `credentials` too, and alone once a candidate is nominated with them (RFC 8445 9)."""
        if credentials.username_fragment in self._keys:
            raise ValueError("an ICE restart needs another user name fragment")
        if self._is_over():
            self._keys.clear()
            self.credentials = credentials
            self._pending = None
            self._alive_since = now
            self._enter(IceState.NEW)
        else:
            if self._pending is not None:
                del self._keys[self._pending.username_fragment]
            self._pending = credentials
        self._keys[credentials.username_fragment] = credentials.password.encode()

    def expect(self, now: float) -> None:
        """Wait for the peer from now on, who was told where to send checks."""
        self._alive_since = now

    def tick(self, now: float) -> None:
        """Let consent lapse; call it about once a second."""
        oldest = now - CONSENT_TIMEOUT
        lapsed = [address for address, checked in self._addresses.items() if checked <= oldest]
        for address in lapsed:
            self.forget(address)
        if not self._addresses and self._alive_since <= oldest and not self._is_over():
            self._enter(IceState.FAILED if self.state is IceState.NEW else IceState.DISCONNECTED)

    def forget(self, address: Address) -> None:
        """Give up an address, as when its TCP connection is gone; the latest other one is selected."""
        self._addresses.pop(address, None)
        if address == self.selected:
            self._select(max(self._addresses, key=lambda other: self._addresses[other], default=None))

    def poll_events(self) -> list[IceEvent]:
        """Return what has happened since the last call; only the latest MAX_PENDING_EVENTS are kept."""
        events = list(self._events)
        self._events.clear()
        return events

    def _refuse(self, message: stun.Message, key: bytes) -> CheckResult | None:
        transaction_id = message.transaction_id
        unknown = message.unknown_attributes()
        if unknown:
            return Outcome.UNKNOWN_ATTRIBUTE, stun.error(transaction_id, stun.UNKNOWN_ATTRIBUTE, key, unknown)
        if stun.PRIORITY not in message.attributes:
            return Outcome.BAD_REQUEST, stun.error(transaction_id, stun.BAD_REQUEST, key)
        if stun.ICE_CONTROLLED in message.attributes:
            # A lite agent is controlled whatever the tie-breakers are (RFC 8445 6.1.1): the peer must switch.
            return Outcome.ROLE_CONFLICT, stun.error(transaction_id, stun.ROLE_CONFLICT, key)
        return None

    def _accept(
        self, message: stun.Message, fragment: str, key: bytes, address: Address, now: float
    ) -> CheckResult:
        is_nominated = stun.USE_CANDIDATE in message.attributes
        if address not in self._addresses and len(self._addresses) >= MAX_ADDRESSES:
            self._make_room()
        self._addresses[address] = self._alive_since = now
        if is_nominated and self._pending is not None and fragment == self._pending.username_fragment:
            del self._keys[self.credentials.username_fragment]
            self.credentials, self._pending = self._pending, None
        if is_nominated or self.selected is None:
            self._select(address)
        if is_nominated:
            self._enter(IceState.COMPLETED)
        elif self.state is IceState.NEW:
            self._enter(IceState.CONNECTED)
        return Outcome.VALID, stun.success(message.transaction_id, address.host, address.port, key)

    def _make_room(self) -> None:
        others = [address for address in self._addresses if address != self.selected]
        self.forget(min(others, key=lambda address: self._addresses[address]))

    def _is_over(self) -> bool:
        return self.state is IceState.DISCONNECTED or self.state is IceState.FAILED

    def _select(self, address: Address | None) -> None:
        if address != self.selected:
            self.selected = address
            self._events.append(SelectedAddressChanged(address))

    def _enter(self, state: IceState) -> None:
        if state is not self.state:
            self.state = state
            self._events.append(StateChanged(state))


def _check_credential(value: str, shortest: int) -> None:
    if not shortest <= len(value) <= MAX_CREDENTIAL or not _ICE_CHARACTERS.issuperset(value):
        raise ValueError(f"an ICE credential is {shortest} to {MAX_CREDENTIAL} letters, digits, + or /")
