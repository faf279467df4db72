"""Chat hub: rooms over WebSocket, ordered by a log, moderated, recoverable."""
