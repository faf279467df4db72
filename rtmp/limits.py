"""Everything a peer could use up, with a number on it, and the counts of what happened."""

from dataclasses import dataclass

from rtmp.protocol.session import SessionLimits


@dataclass(frozen=True, slots=True)
class RtmpLimits:
    """Limits of one server. Times are in seconds."""

    session: SessionLimits = SessionLimits()  # noqa: RUF009  (frozen)
    """Sizes and counts on one connection."""
    handshake_timeout: float = 10.0
    """From the connection to the end of the handshake, and for TLS before it."""
    request_timeout: float = 15.0
    """From the end of the handshake, or of the last publish or play, to the next one."""
    authorize_timeout: float = 10.0
    """What the authorizer may take for an answer."""
    idle_timeout: float = 30.0
    """Without a byte from the peer; after half of it the peer is pinged."""
    linger_timeout: float = 3.0
    """From our last word to cutting the connection."""
    max_connections: int = 10_000
    max_connections_per_address: int = 1_024
    max_pending_bytes: int = 2 * 1024 * 1024
    """Bytes received while the authorizer decides."""


@dataclass(slots=True)
class RtmpCounters:
    """Counts since the start; ``open_connections`` and the two active ones go up and down."""

    connections_accepted: int = 0
    connections_refused: int = 0
    open_connections: int = 0
    handshakes_failed: int = 0
    publishers_accepted: int = 0
    publishers_refused: int = 0
    active_publishers: int = 0
    players_accepted: int = 0
    players_refused: int = 0
    active_players: int = 0
    protocol_errors: int = 0
    timeouts: int = 0
    reconnect_requests_sent: int = 0
    bytes_received: int = 0
