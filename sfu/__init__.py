"""WebRTC: selective forwarding, WHIP and WHEP. Nothing here yet."""
