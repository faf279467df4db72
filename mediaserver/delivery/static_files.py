"""The pages' files, read once and answered from memory.

Only what was found at the start can be asked for: a path is looked up, never opened. Browsers keep the files
and ask each time whether they are still the same, which costs a few bytes.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

MINIMUM_GZIP_BYTES: Final = 512

CONTENT_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """``compressed`` is the body in gzip, None where that gains nothing."""

    content_type: str
    body: bytes
    compressed: bytes | None
    entity_tag: str


class StaticFiles:
    """All files under ``folder`` whose type is known."""

    def __init__(self, folder: Path) -> None:
        paths = (path for path in folder.rglob("*") if path.suffix in CONTENT_TYPES)
        self._files = {path.relative_to(folder).as_posix(): _read(path) for path in paths}

    async def serve(self, request: web.Request) -> web.Response:
        """Answer `/assets/{path}`: the file, 304 for a browser that has it, or 404."""
        file = self._files.get(request.match_info["path"])
        if file is None:
            raise web.HTTPNotFound(text="no such file")
        headers = {
            hdrs.CONTENT_TYPE: file.content_type,
            hdrs.CACHE_CONTROL: "no-cache",
            hdrs.ETAG: file.entity_tag,
            hdrs.VARY: hdrs.ACCEPT_ENCODING,
        }
        if is_known(request, file.entity_tag):
            return web.Response(status=304, headers=headers)
        if file.compressed is None or "gzip" not in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            return web.Response(body=file.body, headers=headers)
        return web.Response(body=file.compressed, headers={**headers, hdrs.CONTENT_ENCODING: "gzip"})


def add_static_routes(app: web.Application, files: StaticFiles) -> None:
    app.router.add_get("/assets/{path:.+}", files.serve)


def entity_tag(body: bytes) -> str:
    """A weak one, since it is the same for the plain and for the compressed body (RFC 9110, 8.8.1)."""
    return f'W/"{hashlib.sha256(body).hexdigest()[:16]}"'


def is_known(request: web.Request, tag: str) -> bool:
    """Whether the browser has what ``tag`` stands for (RFC 9110, 13.1.2)."""
    return tag in [known.strip() for known in request.headers.get(hdrs.IF_NONE_MATCH, "").split(",")]


def _read(path: Path) -> StaticFile:
    body = path.read_bytes()
    compressed = gzip.compress(body, mtime=0) if len(body) >= MINIMUM_GZIP_BYTES else None
    return StaticFile(CONTENT_TYPES[path.suffix], body, compressed, entity_tag(body))
