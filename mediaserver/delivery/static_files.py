"""The pages' files, read once and answered from memory.

Rules:

* The address of a file holds a fingerprint of all files: `/static/{fingerprint}/{path}`. It never changes its
  content, so browsers and caches keep it for ever; and a page never mixes modules of two versions, because
  relative imports stay under its fingerprint.
* A page that is older than the server asks with an old fingerprint. It gets what there is now, uncached.
* Only what was found at the start can be asked for; a path is looked up, never opened.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

FINGERPRINT_LENGTH: Final = 12
FOR_EVER: Final = "public, max-age=31536000, immutable"
MINIMUM_GZIP_BYTES: Final = 512

CONTENT_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """``compressed`` is the body in gzip, None where that gains nothing."""

    content_type: str
    body: bytes
    compressed: bytes | None


class StaticFiles:
    """All files under ``folder`` whose type is known."""

    def __init__(self, folder: Path) -> None:
        paths = sorted(path for path in folder.rglob("*") if path.suffix in CONTENT_TYPES)
        self._files = {path.relative_to(folder).as_posix(): _read(path) for path in paths}
        digest = hashlib.sha256()
        for name, file in self._files.items():
            digest.update(name.encode() + b"\0" + hashlib.sha256(file.body).digest())
        self._fingerprint = digest.hexdigest()[:FINGERPRINT_LENGTH]

    @property
    def prefix(self) -> str:
        """What stands before a file's path in its address."""
        return f"/static/{self._fingerprint}"

    async def serve(self, request: web.Request) -> web.Response:
        """Answer `/static/{fingerprint}/{path}`, or 404."""
        file = self._files.get(request.match_info["path"])
        if file is None:
            raise web.HTTPNotFound(text="no such file", headers={hdrs.CACHE_CONTROL: "no-store"})
        is_current = request.match_info["fingerprint"] == self._fingerprint
        headers = {hdrs.CACHE_CONTROL: FOR_EVER if is_current else "no-store", hdrs.VARY: "Accept-Encoding"}
        headers[hdrs.CONTENT_TYPE] = file.content_type
        body = file.body
        if file.compressed is not None and "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            body = file.compressed
            headers[hdrs.CONTENT_ENCODING] = "gzip"
        return web.Response(body=body, headers=headers)


def add_static_routes(app: web.Application, files: StaticFiles) -> None:
    app.router.add_get("/static/{fingerprint}/{path:.+}", files.serve)


def _read(path: Path) -> StaticFile:
    body = path.read_bytes()
    compressed = gzip.compress(body, mtime=0) if len(body) >= MINIMUM_GZIP_BYTES else None
    return StaticFile(CONTENT_TYPES[path.suffix], body, compressed)
