"""What rooms and their signalling refuse."""

from __future__ import annotations


class Refusal(Exception):
    """A participant asked for what it may not have, or not now; nothing has changed.

    `code` is for programs and listed in docs/rtc-protocol.md, `message` for people. `retry_after` in seconds,
    where waiting helps.
    """

    def __init__(self, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after
