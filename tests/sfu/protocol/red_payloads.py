"""Payloads of redundant audio (RFC 2198)."""

OPUS_NUMBER = 111


def block(age: int, copy: bytes, payload_type: int = OPUS_NUMBER) -> tuple[bytes, bytes]:
    """A copy's header and the copy; `age` is in ticks of the clock."""
    header = (0x80 | payload_type) << 24 | age << 10 | len(copy)
    return header.to_bytes(4, "big"), copy


def red_payload(frame: bytes, *copies: bytes, payload_type: int = OPUS_NUMBER) -> bytes:
    """What a browser sends for `frame`: copies of the frames before it, the oldest first."""
    blocks = [block(960 * (len(copies) - index), copy, payload_type) for index, copy in enumerate(copies)]
    headers = b"".join(header for header, _ in blocks) + bytes((payload_type,))
    return headers + b"".join(copy for _, copy in blocks) + frame
