"""A small FLV file as bytes: AVC and AAC sequence headers, then frames that only look like frames."""

AVCC = bytes.fromhex("01640028ffe1000467640028010004 68ee3c80".replace(" ", ""))
VIDEO_HEADER = b"\x17\x00\x00\x00\x00" + AVCC
AUDIO_HEADER = b"\xaf\x00\x11\x90"
FILE_HEADER = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"


def tag(kind: int, timestamp: int, body: bytes) -> bytes:
    stamp = (timestamp & 0xFFFFFF).to_bytes(3, "big") + bytes((timestamp >> 24 & 0xFF,))
    header = bytes((kind,)) + len(body).to_bytes(3, "big") + stamp + b"\x00\x00\x00"
    return header + body + (len(body) + 11).to_bytes(4, "big")


def video_body(is_keyframe: bool, size: int = 60) -> bytes:
    nal = bytes((0x65 if is_keyframe else 0x41,)) + b"\x55" * (size - 1)
    return bytes((0x17 if is_keyframe else 0x27, 1, 0, 0, 0)) + len(nal).to_bytes(4, "big") + nal


def audio_body(size: int = 20) -> bytes:
    return b"\xaf\x01" + b"\x33" * size


def configuration() -> bytes:
    return tag(9, 0, VIDEO_HEADER) + tag(8, 0, AUDIO_HEADER)


def flv(frames: int = 10, interval: int = 40) -> bytes:
    """``frames`` of video, the first a keyframe, each followed by audio 10 ms later."""
    parts = [FILE_HEADER, configuration()]
    for number in range(frames):
        parts.append(tag(9, number * interval, video_body(number == 0)))
        parts.append(tag(8, number * interval + 10, audio_body()))
    return b"".join(parts)
