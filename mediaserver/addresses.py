"""Where publishers and viewers reach this server, as printed and as given out by the commands."""

from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from mediaserver.config import Settings

_ANY_ADDRESS = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Addresses:
    """``base_url`` has no trailing slash. ``rtmp_url`` is what an encoder calls the server; no key in it."""

    base_url: str
    rtmp_url: str

    @classmethod
    def of(cls, settings: Settings, http_port: int | None = None, rtmp_port: int | None = None) -> Self:
        """By the settings; the ports are given where the server took free ones."""
        http = settings.http
        base_url = settings.public_url or f"http://{_name(http.host)}:{http_port or http.port}"
        if settings.public_url is not None:
            host = _bracketed(urlsplit(settings.public_url).hostname or "localhost")
        else:
            host = _name(settings.rtmp.host)
        return cls(base_url, f"rtmp://{host}:{rtmp_port or settings.rtmp.port}/live")

    def publish(self, stream_key: str) -> str:
        return f"{self.rtmp_url}/{stream_key}"

    def whip(self, room: str) -> str:
        return f"{self.base_url}/whip/{room}"

    def play_rtmp(self, room: str) -> str:
        return f"{self.rtmp_url}/{room}"

    def watch(self, room: str) -> str:
        return f"{self.base_url}/watch/{room}"

    def flv(self, room: str) -> str:
        return f"{self.base_url}/live/{room}.flv"

    def hls(self, room: str) -> str:
        return f"{self.base_url}/hls/{room}/index.m3u8"


def _name(host: str) -> str:
    return "localhost" if host in _ANY_ADDRESS else _bracketed(host)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
