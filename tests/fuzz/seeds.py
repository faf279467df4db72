"""Writes the committed corpus from the tables of cases; run it after changing one.

Run: python -m tests.fuzz.seeds
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from mediaserver.media.packet import Codec
from tests.chat.protocol import frame_cases, websocket_cases
from tests.mediaserver.media.codecs import vectors
from tests.rtmp.protocol import amf0_cases, chunk_cases, flv_tag_cases
from tests.rtmp.protocol.dialogue import (
    CONNECT,
    CREATE_STREAM,
    HANDSHAKE,
    PLAY,
    PUBLISH,
    command_bytes,
    media_bytes,
)

CORPUS = Path(__file__).parent / "corpus"
MAX_SEED_SIZE = 8192

CONVERSATIONS = (
    HANDSHAKE + CONNECT,
    HANDSHAKE[:2000],
    CONNECT + CREATE_STREAM + PUBLISH + media_bytes(9, 5, bytes(300)) + command_bytes("deleteStream", 4, 1),
    CONNECT + CREATE_STREAM + PLAY + command_bytes("pause", 4, True, message_stream_id=1),
    CONNECT + command_bytes("FCPublish", 2, "key") + command_bytes("FCUnpublish", 3, "key", amf3=True),
)


def amf0_seeds() -> Iterable[bytes]:
    for case in (*amf0_cases.CASES, *amf0_cases.MALFORMED):
        yield case.wire


def rtmp_chunks_seeds() -> Iterable[bytes]:
    for wire in (case.wire for case in (*chunk_cases.CASES, *chunk_cases.MALFORMED)):
        yield b"\x01\x06" + wire
        yield b"\x02\x06" + wire
    for wire in CONVERSATIONS:
        yield (b"\x00\x63" if wire.startswith(b"\x03\x00") else b"\x01\x09") + wire


def flv_tags_seeds() -> Iterable[bytes]:
    for video in (*flv_tag_cases.VIDEO_CASES, *flv_tag_cases.MALFORMED_VIDEO):
        yield b"\x00" + video.wire
    for audio in (*flv_tag_cases.AUDIO_CASES, *flv_tag_cases.MALFORMED_AUDIO):
        yield b"\x01" + audio.wire


def media_seeds() -> Iterable[bytes]:
    for codec, config, frame in vectors.STREAMS:
        yield bytes((list(Codec).index(codec),)) + len(config).to_bytes(2, "big") + config + frame


def chat_websocket_seeds() -> Iterable[bytes]:
    cases = (*websocket_cases.CASES, *websocket_cases.INCOMPLETE, *websocket_cases.MALFORMED)
    for case in cases:
        yield b"\x06" + case.wire


def chat_frames_seeds() -> Iterable[bytes]:
    for frame in (*frame_cases.CLIENT_FRAMES, *frame_cases.BAD_FRAMES):
        yield b"\x00" + msgspec.msgpack.encode(frame)
        yield b"\x01" + msgspec.json.encode(frame)
    for wire in frame_cases.BAD_JSON:
        yield b"\x01" + wire
    for wire in frame_cases.BAD_MSGPACK:
        yield b"\x00" + wire


def write(name: str, seeds: Iterable[bytes]) -> None:
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        if len(seed) <= MAX_SEED_SIZE:
            (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)


if __name__ == "__main__":
    write("amf0", amf0_seeds())
    write("rtmp_chunks", rtmp_chunks_seeds())
    write("flv_tags", flv_tags_seeds())
    write("media", media_seeds())
    write("chat_websocket", chat_websocket_seeds())
    write("chat_frames", chat_frames_seeds())
