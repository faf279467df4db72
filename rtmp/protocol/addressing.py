"""Applications, stream names and their parameters, as they stand in tcUrl, app, stream names and URLs.

Encoders put what the user typed on the wire without URL encoding, so values are taken as they are: ``%20``
stays ``%20`` and a further ``=`` belongs to the value.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

DEFAULT_PORT: Final = 1935
DEFAULT_TLS_PORT: Final = 443
MAX_PARAMETERS: Final = 64
"""Parameters kept; the rest is ignored."""


def split_query(text: str) -> tuple[str, dict[str, str]]:
    """Split ``name?a=b&c`` into the name and its parameters; a parameter without ``=`` is empty."""
    name, _, query = text.partition("?")
    parameters: dict[str, str] = {}
    for pair in query.split("&", MAX_PARAMETERS)[:MAX_PARAMETERS]:
        key, _, value = pair.partition("=")
        if key:
            parameters[key] = value
    return name, parameters


def resolve_name(app: str, tc_url: str, stream_name: str) -> tuple[str, str, dict[str, str]]:
    """Return application, stream name and parameters; those of the stream name win over tcUrl's and app's.

    With an empty stream name the last path segment of the application is the name: that is what encoders send
    whose user put the whole address into the server field.
    """
    _, parameters = split_query(tc_url.strip("'"))
    app, app_parameters = split_query(app)
    name, name_parameters = split_query(stream_name)
    app = app.strip("/")
    if not name and "/" in app:
        app, _, name = app.rpartition("/")
    return app, name, {**parameters, **app_parameters, **name_parameters}


@dataclass(frozen=True, slots=True)
class RtmpUrl:
    """``rtmp[s]://host[:port]/app[/instance]/name[?query]``; ``stream_name`` includes the query."""

    host: str
    port: int
    is_tls: bool
    app: str
    stream_name: str

    @property
    def tc_url(self) -> str:
        scheme = "rtmps" if self.is_tls else "rtmp"
        default_port = DEFAULT_TLS_PORT if self.is_tls else DEFAULT_PORT
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == default_port else f":{self.port}"
        return f"{scheme}://{host}{port}/{self.app}"


def parse_url(url: str) -> RtmpUrl:
    """Take an RTMP address apart. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("rtmp", "rtmps"):
        raise ValueError(f"scheme {parts.scheme!r} is neither rtmp nor rtmps")
    if not parts.hostname:
        raise ValueError("no host in the address")
    is_tls = parts.scheme == "rtmps"
    app, _, name = parts.path.strip("/").rpartition("/")
    if not app:
        app, name = name, ""
    port = parts.port or (DEFAULT_TLS_PORT if is_tls else DEFAULT_PORT)
    stream_name = f"{name}?{parts.query}" if parts.query else name
    return RtmpUrl(parts.hostname, port, is_tls, app, stream_name)
