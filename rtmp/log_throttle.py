"""One log line per address and interval: an encoder that retries a wrong key must not fill the disk."""

from collections import OrderedDict


class LogThrottle:
    """Remembers the addresses that were logged lately. ``interval`` is in seconds."""

    def __init__(self, interval: float = 10.0, max_addresses: int = 1_024) -> None:
        self._interval = interval
        self._max_addresses = max_addresses
        self._logged: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """Address -> (time of its last line, lines left out since)."""

    def admit(self, address: str, now: float) -> int | None:
        """Return how many lines were left out before this one, or None to leave this one out too."""
        logged_at, left_out = self._logged.get(address, (now - self._interval, 0))
        if now - logged_at < self._interval:
            self._logged[address] = (logged_at, left_out + 1)
            return None
        self._logged[address] = (now, 0)
        self._logged.move_to_end(address)
        if len(self._logged) > self._max_addresses:
            self._logged.popitem(last=False)
        return left_out
