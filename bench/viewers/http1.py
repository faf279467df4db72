"""Just enough HTTP/1.1 for a viewer (RFC 9112): request heads, response heads, and skipping chunk framing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from bench.errors import BenchError
from bench.targets import Target

MAX_HEAD_BYTES: Final = 32 * 1024
MAX_CHUNK_LINE_BYTES: Final = 256
HEAD_END: Final = b"\r\n\r\n"
USER_AGENT: Final = "mediaserver-bench"


class ResponseError(BenchError):
    """What the server sent is not HTTP, or not the answer asked for."""


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """Status and headers; names in lower case, the last of equal names wins."""

    status: int
    headers: Mapping[str, str]

    @property
    def is_chunked(self) -> bool:
        return self.headers.get("transfer-encoding", "").lower().endswith("chunked")

    @property
    def content_length(self) -> int | None:
        text = self.headers.get("content-length")
        if text is None:
            return None
        if not text.isdecimal():
            raise ResponseError(f"Content-Length: {text!r}")
        return int(text)


def serialize_request(
    target: Target, path: str | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """A GET of ``path`` (the target's own by default)."""
    lines = [f"GET {path or target.path} HTTP/1.1", f"Host: {target.authority}", f"User-Agent: {USER_AGENT}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def parse_head(data: bytes) -> ResponseHead:
    """Parse a head without its empty line. Raises ResponseError naming the line at fault."""
    status_line, *lines = data.decode("latin-1").split("\r\n")
    version, _, rest = status_line.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
        raise ResponseError(f"not an HTTP/1.1 answer: {status_line[:80]!r}")
    headers = {}
    for line in lines:
        name, separator, value = line.partition(":")
        if not separator:
            raise ResponseError(f"header without colon: {line[:80]!r}")
        headers[name.lower()] = value.strip()
    return ResponseHead(int(rest[:3]), headers)


def split_head(data: bytes) -> tuple[ResponseHead, bytes] | None:
    """The head at the beginning of ``data`` and what follows; None while it is incomplete."""
    end = data.find(HEAD_END)
    if end < 0:
        if len(data) > MAX_HEAD_BYTES:
            raise ResponseError(f"response head longer than {MAX_HEAD_BYTES} bytes")
        return None
    return parse_head(data[:end]), data[end + len(HEAD_END) :]


class Unframer(Protocol):
    """Takes a transport's framing off a body."""

    def feed(self, data: memoryview) -> Iterator[memoryview]:
        """Payload pieces within ``data``, which stay valid as long as ``data`` does."""

    def take_reply(self) -> bytes:
        """What must be sent back to the server, if anything."""


class Bare:
    """A body without framing."""

    def feed(self, data: memoryview) -> Iterator[memoryview]:
        yield data

    def take_reply(self) -> bytes:
        return b""


class SizedBody:
    """A body of known length. ``is_finished`` after its last byte."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def is_finished(self) -> bool:
        return self._left == 0

    def feed(self, data: memoryview) -> Iterator[memoryview]:
        piece = data[: self._left]
        self._left -= len(piece)
        yield piece

    def take_reply(self) -> bytes:
        return b""


class ChunkedBody:
    """Chunked transfer coding (RFC 9112, 7.1). ``is_finished`` after the last chunk and trailers."""

    __slots__ = ("_left", "_line", "is_finished")

    def __init__(self) -> None:
        self._line = b""
        self._left = 0  # bytes of the current chunk still to come, its final CRLF included
        self.is_finished = False

    def feed(self, data: memoryview) -> Iterator[memoryview]:
        position, end = 0, len(data)
        while position < end and not self.is_finished:
            if not self._left:
                position = self._read_line(data, position)
                continue
            piece = data[position : position + self._left]
            payload = min(len(piece), self._left - 2)
            if payload > 0:
                yield piece[:payload]
            self._left -= len(piece)
            position += len(piece)

    def take_reply(self) -> bytes:
        return b""

    def _read_line(self, data: memoryview, position: int) -> int:
        """Take the size line (or the rest of one) at ``position``; return where the chunk's data begins."""
        window = bytes(data[position : position + MAX_CHUNK_LINE_BYTES])
        line = self._line + window
        end = line.find(b"\r\n")
        if end < 0:
            if len(line) >= MAX_CHUNK_LINE_BYTES:
                raise ResponseError(f"chunk size line longer than {MAX_CHUNK_LINE_BYTES} bytes")
            self._line = line
            return position + len(window)
        size = _chunk_size(line[:end])
        consumed = end + 2 - len(self._line)
        self._line = b""
        self._left = size + 2
        self.is_finished = size == 0
        return position + consumed


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        raise ResponseError(f"chunk size: {line[:40]!r}") from None
