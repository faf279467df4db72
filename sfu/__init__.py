"""WebRTC: selective forwarding, WHIP and WHEP, rooms and their signalling."""
