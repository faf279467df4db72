"""The hub: streams by room, each with one publisher and many outputs."""
