"""The sessions that WHIP and WHEP open: one transport each, known by an address that nobody guesses.

Rules:

* A session lives as long as its transport; whichever ends first ends the other.
* A transport that is not connected for `connect_seconds`, at first or after it lost its peer, is closed.
* Beyond HURRIED_AFTER sessions of one address that wait for their peers, further ones have less time.
* The entity tag names the session's ICE credentials: a restart makes another one (RFC 9725 4.3.1).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Final

import structlog
from msgspec.structs import replace

from sfu.protocol.parameters import IceParameters
from sfu.protocol.sdp import Endpoint as SdpEndpoint
from sfu.protocol.sdp import Fragment, Offer, SectionAnswer, answer, serialize_fragment
from sfu.transport import TransportState, WebRtcTransport

if TYPE_CHECKING:
    from sfu.consumer import Consumer

logger = structlog.get_logger("mediaserver.sfu.http")

CONNECT_SECONDS: Final = 30.0
MAX_SESSIONS: Final = 5_000
HURRIED_AFTER: Final = 50
HURRIED_SECONDS: Final = 4.0
"""An audience behind one address, which starts all at once, gets through in so long."""

_ID_BYTES: Final = 24
_TAG_BYTES: Final = 12
_MAX_SESSION_ID: Final = 2**62


class HttpSession:
    """One publisher or viewer; listens to its transport. `room_id` is the id, however it was asked for."""

    def __init__(self, room_id: str, bearer: str | None, connect_seconds: float = CONNECT_SECONDS) -> None:
        self.id = secrets.token_urlsafe(_ID_BYTES)
        self.room_id: Final = room_id
        self.entity_tag = _new_tag()
        self.is_closed = False
        self.was_connected = False
        """Whether the peer has come, be it gone again."""
        self.opened_at = 0.0
        self._on_connected: list[Callable[[], None]] = []
        self._on_end: list[Callable[[], None]] = []
        self._bearer = _digest(bearer)
        self._connect_seconds = connect_seconds
        self._transport: WebRtcTransport | None = None
        self._offer: Offer | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def transport(self) -> WebRtcTransport:
        """The transport; there is one as soon as the session can be found by its id."""
        if self._transport is None:
            raise RuntimeError("the session has no transport yet")
        return self._transport

    def attach(
        self, transport: WebRtcTransport, offer: Offer, on_connected: Callable[[], None] | None = None
    ) -> None:
        """Live with `transport`, which is to be connected to the peer of `offer`.

        `on_connected` is called when the peer has come for the first time, before any of its media.
        """
        self._transport = transport
        self._offer = offer
        if on_connected is not None:
            self._on_connected.append(on_connected)
        self._wait_for_peer()

    def is_bearer(self, bearer: str | None) -> bool:
        """Return whether the session was opened with the same token, or without one as now."""
        return hmac.compare_digest(self._bearer, _digest(bearer))

    def answer(self, sections: Sequence[SectionAnswer]) -> str:
        """Return the answer to the session's offer."""
        transport, offer = self.transport, self._known_offer()
        endpoint = SdpEndpoint(
            ice=transport.ice_parameters,
            dtls=replace(transport.dtls_parameters, role=offer.answer_role),
            candidates=transport.ice_candidates,
        )
        return answer(offer, sections, endpoint, session_id=secrets.randbelow(_MAX_SESSION_ID))

    def names(self, mids: Sequence[str]) -> bool:
        """Return whether the offer has sections of all of these names."""
        return set(mids) <= {section.mid for section in self._known_offer().sections}

    def is_restart(self, ice: IceParameters | None) -> bool:
        """Return whether these are other credentials of the peer than those in use."""
        known = self._known_offer().ice
        return ice is not None and (ice.username_fragment, ice.password) != (
            known.username_fragment,
            known.password,
        )

    def restart_ice(self, ice: IceParameters) -> str:
        """Take the peer's new credentials; return the fragment that says the server's."""
        offer = self._known_offer()
        credentials = self.transport.restart_ice()
        self._offer = replace(offer, ice=ice)
        self.entity_tag = _new_tag()
        fragment = Fragment(
            ice=credentials,
            mids=tuple(section.mid for section in offer.sections if section.is_usable),
            candidates=self.transport.ice_candidates,
            has_ended_candidates=True,
        )
        # RFC 9725 4.3.3: the options of the answer stay
        options = "a=ice-options:trickle\r\n" if offer.is_trickle else ""
        return options + serialize_fragment(fragment)

    def close(self) -> None:
        """End the session and its transport; does nothing a second time."""
        if self.is_closed:
            return
        self.is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close()
        for callback in self._on_end:
            self._call(callback)
        self._on_end.clear()

    def close_soon(self) -> None:
        """End the session when the core has told all of its listeners what it is telling them."""
        asyncio.get_running_loop().call_soon(self.close)

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call `callback` once when the session is over, at once if it is."""
        if self.is_closed:
            self._call(callback)
        else:
            self._on_end.append(callback)

    def on_connected(self, callback: Callable[[], None]) -> None:
        """Call `callback` once when the peer has come for the first time."""
        self._on_connected.append(callback)

    def hurry(self, seconds: float) -> None:
        """Wait no longer than so for a peer that has not come yet."""
        if self._timer is not None and seconds < self._connect_seconds:
            self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(seconds, self._give_up)

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception:
            logger.exception("session_callback_failed", room_id=self.room_id)

    def on_transport_state(self, transport: WebRtcTransport, state: TransportState) -> None:
        """Wait for the peer while it is not connected; give up when it failed."""
        if state is TransportState.FAILED:
            self.close_soon()
        elif state is TransportState.DISCONNECTED:
            self._wait_for_peer()
        elif state is TransportState.CONNECTED:
            self._peer_came()

    def on_transport_closed(self, transport: WebRtcTransport) -> None:
        """End with the transport."""
        self.close()

    def on_consumer_closed(self, consumer: Consumer) -> None:
        """End with what is watched: there is no renegotiation over HTTP, so the player is to come again."""
        self.close_soon()

    def on_consumer_paused(self, consumer: Consumer) -> None:
        """Nothing can be told to the peer."""

    def on_consumer_layers(self, consumer: Consumer) -> None:
        """Nothing can be told to the peer."""

    def _known_offer(self) -> Offer:
        if self._offer is None:
            raise RuntimeError("the session has no offer yet")
        return self._offer

    def _wait_for_peer(self) -> None:
        if self._timer is None and not self.is_closed:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._connect_seconds, self._give_up)

    def _give_up(self) -> None:
        logger.info("peer_not_connected", room_id=self.room_id, seconds=self._connect_seconds)
        self.close()

    def _peer_came(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        callbacks, self._on_connected = self._on_connected, []
        self.was_connected = True
        for callback in callbacks:
            self._call(callback)


class HttpSessions:
    """The sessions of one protocol, by id and by room."""

    def __init__(self, most: int = MAX_SESSIONS) -> None:
        self.most = most
        self._sessions: dict[str, HttpSession] = {}
        self._rooms: dict[str, dict[str, HttpSession]] = {}
        self._unconnected: dict[str, HttpSession] = {}
        self._waiting: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return len(self._sessions)

    def add(self, session: HttpSession, source: Hashable) -> int:
        """Make a session findable until it ends; return how many of `source` wait for their peers."""
        session.opened_at = asyncio.get_running_loop().time()
        self._sessions[session.id] = self._unconnected[session.id] = session
        self._rooms.setdefault(session.room_id, {})[session.id] = session
        self._waiting[source] += 1
        session.on_connected(lambda: self._note_waited(session, source))
        session.on_end(lambda: self._note_waited(session, source))
        session.on_end(lambda: self._remove(session))
        return self._waiting[source]

    def make_room(self, waited_seconds: float, room_id: str | None = None) -> bool:
        """End the session, of a room or of all, that waits longest for its peer; False if none so long."""
        waiting = self._unconnected.values() if room_id is None else self.of_room(room_id)
        oldest = next((session for session in waiting if not session.was_connected), None)
        if oldest is None or asyncio.get_running_loop().time() - oldest.opened_at < waited_seconds:
            return False
        oldest.close()
        return True

    def connected(self, room_id: str) -> int:
        """Return how many of a room's sessions have had their peers."""
        return sum(session.was_connected for session in self.of_room(room_id))

    def find(self, session_id: str) -> HttpSession | None:
        """Return the session of an id."""
        return self._sessions.get(session_id)

    def all(self) -> list[HttpSession]:
        """Return every session, the oldest first."""
        return list(self._sessions.values())

    def of_room(self, room_id: str) -> list[HttpSession]:
        """Return a room's sessions, the oldest first."""
        return list(self._rooms.get(room_id, {}).values())

    def close_room(self, room_id: str) -> None:
        """End a room's sessions."""
        for session in self.of_room(room_id):
            session.close()

    def close(self) -> None:
        """End all sessions."""
        for session in self.all():
            session.close()

    def _note_waited(self, session: HttpSession, source: Hashable) -> None:
        if self._unconnected.pop(session.id, None) is not None:
            self._waiting[source] -= 1
            if not self._waiting[source]:
                del self._waiting[source]

    def _remove(self, session: HttpSession) -> None:
        self._sessions.pop(session.id, None)
        sessions = self._rooms.get(session.room_id, {})
        sessions.pop(session.id, None)
        if not sessions:
            self._rooms.pop(session.room_id, None)


def _digest(bearer: str | None) -> bytes:
    """Keys are not kept: what is compared later is enough."""
    return hashlib.sha256((bearer or "").encode("utf-8", "surrogateescape")).digest()


def _new_tag() -> str:
    return f'"{secrets.token_urlsafe(_TAG_BYTES)}"'
