"""Errors of the chat.

ChatError
+-- Refusal        the person or program asked for something it may not have, or not now
+-- ProtocolError  the peer broke the protocol; the connection is closed with ``close_code``
"""


class ChatError(Exception):
    """Root of what this package raises."""


class Refusal(ChatError):
    """``code`` is for programs and listed in docs/chat-protocol.md, ``message`` for people.

    ``retry_after`` in seconds, where waiting helps.
    """

    def __init__(self, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retry_after = retry_after


class ProtocolError(ChatError):
    """``close_code`` is of RFC 6455 section 7.4.1 or of docs/chat-protocol.md."""

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(f"{close_code}: {reason}")
        self.close_code = close_code
        self.reason = reason
