"""Load on a chat: clients that only count, and accounts for them to write with."""
