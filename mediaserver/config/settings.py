"""The schema of the settings: every one has a default that works and a docstring for the reference.

Rules:

* Names end in their unit (``_seconds``, ``_ms``, ``_bytes``) unless the value is a plain count.
* A setting marked ``LIVE`` can change while the server runs; every other one needs a restart.
* Nothing is here that no code reads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    model_validator,
)
from pydantic.fields import FieldInfo

from mediaserver.config.service_settings import (
    ChatSettings,
    MoneySettings,
    RtcSettings,
    StripeSettings,
)
from mediaserver.config.values import (
    MIB,
    Count,
    Group,
    Host,
    Names,
    Networks,
    Port,
    PositiveSeconds,
    Seconds,
    check_database_url,
    check_objects_url,
    check_public_url,
    check_redis_url,
    check_secret,
    check_smtp_url,
    lower,
)


@dataclass(frozen=True, slots=True)
class Live:
    """Marks a setting that a reload applies without a restart."""


LIVE: Final = Live()


class LogFormat(Enum):
    CONSOLE = "console"
    JSON = "json"


class TokenAlgorithm(Enum):
    EDDSA = "EdDSA"
    HS256 = "HS256"


class LogLevel(Enum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class HttpSettings(Group):
    host: Host = "0.0.0.0"
    """Address the HTTP server listens on."""

    port: Port = 8080
    """Port of the HTTP server; 0 takes a free one."""

    trusted_proxies: Annotated[Networks, LIVE] = ()
    """Networks (CIDR) of reverse proxies. X-Forwarded-For counts only from these."""


class RtmpSettings(Group):
    host: Host = "0.0.0.0"
    """Address the RTMP server (and RTMPS, when on) listens on."""

    port: Port = 1935
    """Port of the RTMP server; 0 takes a free one."""

    handshake_timeout_seconds: Annotated[PositiveSeconds, LIVE] = 10
    """A peer that has not finished its handshake after this long is closed."""

    connect_timeout_seconds: Annotated[PositiveSeconds, LIVE] = 15
    """A peer that neither publishes nor plays this long after its handshake is closed."""

    idle_timeout_seconds: Annotated[PositiveSeconds, LIVE] = 30
    """A publisher that sends nothing for this long is closed, and so is a player that takes nothing."""

    max_message_bytes: Annotated[int, Field(ge=64 * 1024, le=256 * MIB), LIVE] = 10 * MIB
    """Longest RTMP message taken; a longer one closes the publisher."""

    max_chunk_bytes: Annotated[int, Field(ge=128, le=16_777_215), LIVE] = 16_777_215
    """Largest chunk size a peer may set."""

    max_connections: Annotated[Count, LIVE] = 10_000
    """RTMP connections at once, over all addresses."""

    max_connections_per_address: Annotated[Count, LIVE] = 1024
    """RTMP connections at once from one IP address."""

    publish_grace_seconds: Annotated[Seconds, LIVE] = 10
    """How long viewers are kept while a dropped publisher may come back; 0 ends the stream at once. One that
    comes back or takes over has as long, and 5 seconds at least, to send something."""


class RtmpsSettings(Group):
    port: Port | None = None
    """Port for RTMP over TLS (1936 is usual); unset leaves it off. Needs the certificate and the key."""

    certificate_file: Path | None = None
    """PEM file with the certificate chain."""

    key_file: Path | None = None
    """PEM file with the private key."""

    @model_validator(mode="after")
    def _needs_certificate(self) -> Self:
        if self.port is not None and (self.certificate_file is None or self.key_file is None):
            raise ValueError("rtmps.port needs rtmps.certificate_file and rtmps.key_file")
        return self


class BroadcastSettings(Group):
    merge_window_ms: Annotated[int, Field(ge=0, le=5000), LIVE] = 100
    """Packets of this many milliseconds go to viewers in one write; 0 writes every packet at once. Longer
    costs latency and saves CPU."""

    slow_viewer_seconds: Annotated[PositiveSeconds, LIVE] = 5
    """A viewer that is this many seconds of media behind is skipped to the next keyframe."""

    slow_viewer_bytes: Annotated[int, Field(ge=256 * 1024), LIVE] = 8 * MIB
    """A viewer with this many bytes unsent is skipped to the next keyframe, whatever the bitrate."""

    close_after_seconds: Annotated[PositiveSeconds, LIVE] = 10
    """A viewer that stays behind for this long is closed."""

    max_viewers: Annotated[Count, LIVE] = 20_000
    """Viewers at once over all rooms and protocols; further ones are answered 503."""


class GopCacheSettings(Group):
    enabled: bool = True
    """Keep the packets since the last keyframe, so that a new viewer sees a picture at once."""

    max_packets: Count = 4096
    """A group of pictures with more packets is not kept."""

    max_bytes: Count = 32 * MIB
    """A group of pictures with more bytes is not kept."""


class HlsSettings(Group):
    part_target_ms: Annotated[int, Field(ge=100, le=5000)] = 500
    """Longest LL-HLS part (PART-TARGET)."""

    segment_target_seconds: Annotated[PositiveSeconds, Field(ge=1, le=30)] = 2
    """A segment ends at the first keyframe after this long."""

    playlist_segments: Annotated[int, Field(ge=4, le=1000)] = 8
    """Segments a playlist lists and the server keeps in memory."""

    always: bool = False
    """Package every stream from its start. Otherwise packaging begins with the first request, which saves CPU
    and memory where nobody watches over HLS and costs the first viewer about one segment of waiting."""


class LogSettings(Group):
    format: Annotated[LogFormat, BeforeValidator(lower)] = LogFormat.CONSOLE
    """``console`` for people, ``json`` for machines."""

    level: Annotated[LogLevel, BeforeValidator(lower), LIVE] = LogLevel.INFO
    """Least severe level that is written."""


class MetricsSettings(Group):
    enabled: bool = True
    """Serve Prometheus metrics at /metrics."""


class DatabaseSettings(Group):
    pool_size: Annotated[int, Field(ge=2, le=200)] = 10
    """Connections to PostgreSQL this process holds at most."""

    acquire_timeout_seconds: PositiveSeconds = 5
    """Longest wait for a free connection."""

    command_timeout_seconds: PositiveSeconds = 10
    """Longest time one SQL command may take."""


class ApiSettings(Group):
    cors_origins: Names = ()
    """Origins such as https://app.example.com whose pages may call the API with cookies."""

    max_body_bytes: Annotated[int, Field(ge=64 * 1024, le=64 * MIB)] = MIB
    """Longest body of a request, but for uploads; a longer one is answered 413."""

    max_upload_bytes: Annotated[int, Field(ge=64 * 1024, le=10 * 1024 * MIB)] = 100 * MIB
    """Longest upload. Some have limits of their own below it, such as 5 MiB for a picture."""

    requests_per_window: Count = 300
    """Calls that one user, or one address without a user, may make in 15 minutes."""

    authentications_per_window: Count = 5
    """Attempts to sign in, register or reset a password per address and per account in 15 minutes."""

    uploads_per_hour: Count = 10
    """Pictures that one user may upload in an hour."""

    access_token_seconds: PositiveSeconds = 900
    """How long an access token is valid."""

    access_token_algorithm: TokenAlgorithm = TokenAlgorithm.EDDSA
    """How access tokens are signed: ``EdDSA`` with a key pair, or ``HS256`` with a shared secret."""

    playback_token_seconds: PositiveSeconds = 900
    """How long a playback token opens a room's doors; who is connected by then stays."""

    rooms_per_user: Count = 20
    """Rooms that one user may own."""

    webhooks_to_private_networks: bool = False
    """Let webhooks go to private and loopback addresses, over plain http, too: for closed networks."""


class PasswordSettings(Group):
    threads: Annotated[int, Field(ge=1, le=64)] = 2
    """Password hashes computed at once. Each takes 64 MiB of memory and one core for tens of milliseconds."""

    waiting: Annotated[int, Field(ge=0, le=1024)] = 16
    """Password hashes that may wait for a thread; further ones are answered 503."""


class SmtpSettings(Group):
    url: Annotated[SecretStr, AfterValidator(check_smtp_url)] | None = None
    """Mail server, such as smtp://user:password@host:587 or smtps://host:465. Unset: mails are written into
    the folder mail in data_dir."""

    sender: str = "mediaserver@localhost"
    """From address of the server's mails."""


class AuthorizationSettings(Group):
    cache_seconds: Annotated[Seconds, LIVE] = 5
    """How long the answer to a stream key or room is kept. Changes in the database are noticed at once."""

    negative_cache_seconds: Annotated[Seconds, LIVE] = 1
    """How long an unknown key or room is remembered as unknown."""

    stale_seconds: Annotated[Seconds, LIVE] = 300
    """While PostgreSQL cannot be reached, answers up to this old still count."""

    cache_entries: Count = 50_000
    """Answers kept at most; the oldest go first."""


class DrainSettings(Group):
    timeout_seconds: Annotated[Seconds, LIVE] = 10
    """After SIGTERM, publishers and viewers have this long to leave before they are closed."""


class Settings(Group):
    """All settings of one server process."""

    data_dir: Path = Path("data")
    """Folder for what the server keeps: embedded database, secrets. Made when missing; one server uses it."""

    public_url: Annotated[str, AfterValidator(check_public_url)] | None = None
    """Address under which browsers reach this server, such as https://live.example.com. Unset: localhost and
    the HTTP port."""

    database_url: Annotated[SecretStr, AfterValidator(check_database_url)] | None = None
    """PostgreSQL to use, such as postgresql://user:password@host/name. Unset: an embedded one in data_dir."""

    redis_url: Annotated[SecretStr, AfterValidator(check_redis_url)] | None = None
    """Redis for what several nodes share, such as redis://host:6379/0. Unset: kept in the process."""

    objects_url: Annotated[SecretStr, AfterValidator(check_objects_url)] | None = None
    """Where pictures are kept, such as s3://bucket/folder. Unset: the folder objects in data_dir."""

    secret_key: Annotated[SecretStr, AfterValidator(check_secret)] | None = None
    """Secret that tokens, stored secrets and the digests of stream keys depend on; changing it voids all of
    them. Unset: made once and kept in data_dir."""

    http: HttpSettings = HttpSettings()
    rtmp: RtmpSettings = RtmpSettings()
    rtmps: RtmpsSettings = RtmpsSettings()
    rtc: RtcSettings = RtcSettings()
    broadcast: BroadcastSettings = BroadcastSettings()
    gop_cache: GopCacheSettings = GopCacheSettings()
    hls: HlsSettings = HlsSettings()
    api: ApiSettings = ApiSettings()
    chat: ChatSettings = ChatSettings()
    money: MoneySettings = MoneySettings()
    stripe: StripeSettings = StripeSettings()
    passwords: PasswordSettings = PasswordSettings()
    smtp: SmtpSettings = SmtpSettings()
    authorization: AuthorizationSettings = AuthorizationSettings()
    database: DatabaseSettings = DatabaseSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    drain: DrainSettings = DrainSettings()


def setting_fields(model: type[Group] = Settings, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting as (dotted name, field), in the order of the schema."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Group):
            yield from setting_fields(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def setting_value(settings: Settings, name: str) -> Any:
    """The value of the setting with the dotted ``name``."""
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def is_live(field: FieldInfo) -> bool:
    """Whether a reload applies this setting without a restart."""
    return LIVE in field.metadata
