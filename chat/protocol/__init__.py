"""The chat's wire: WebSocket framing and the frames of ``chat.v1``. No I/O, no clock."""
