"""The relay between nodes that share one Redis.

    Hub → RedisRelay → Outbox → one channel for all rooms → Peers → Hub
                     ↘ PresenceBoard: a hash for each node, with a time to live ↗

One channel serves all rooms: nodes are few, most rooms are quiet, and what many rooms say within a moment
goes in one message. A room that is not open on a node is skipped without decoding what was said in it, and
opening one needs no subscription, so there is no moment in which something could be missed.
"""

from chat.redis_relay.relay import RedisRelay, Timing

__all__ = ["RedisRelay", "Timing"]
