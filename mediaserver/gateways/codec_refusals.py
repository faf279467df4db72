"""What a publisher sends in vain: codecs that nobody here carries."""

from typing import Final

MAX_REMEMBERED: Final = 16
"""Codecs named in the log; a publisher that makes up more is not given more lines."""
MAX_SECONDS: Final = 1
MAX_BODIES: Final = 512
"""Bounds on the patience with a publisher that has nothing else, in its own time and in tag bodies."""

_HALF_WRAP: Final = 1 << 31


class CodecRefusals:
    """Remembers what was refused, so that it is said once, and judges when there is no hope for more."""

    def __init__(self) -> None:
        self._codecs: set[str] = set()
        self._bodies = 0
        self._began_at: int | None = None
        self._milliseconds = 0

    def add(self, codec: str, timestamp: int) -> bool:
        """Take note of a body at ``timestamp`` (32-bit ms); say whether ``codec`` is worth a log line."""
        if self._began_at is None:
            self._began_at = timestamp
        self._bodies += 1
        self._milliseconds = (timestamp - self._began_at + _HALF_WRAP) % (2 * _HALF_WRAP) - _HALF_WRAP
        if codec in self._codecs or len(self._codecs) >= MAX_REMEMBERED:
            return False
        self._codecs.add(codec)
        return True

    @property
    def is_hopeless(self) -> bool:
        """Whether a publisher that sent nothing but this has had the time to send something else."""
        return self._bodies >= MAX_BODIES or self._milliseconds >= MAX_SECONDS * 1000

    def __str__(self) -> str:
        return ", ".join(sorted(self._codecs))
