"""Chat hub: msgpack over WebSocket. Nothing here yet."""
