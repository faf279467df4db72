"""Control API: identity, users, rooms, playback grants. Nothing here yet."""
