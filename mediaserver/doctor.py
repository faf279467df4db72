"""What the server needs from its machine, checked one by one, with advice for what is wrong.

A check never raises: whatever goes wrong is its result.
"""

import asyncio
import hashlib
import http.client
import resource
import shutil
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

import psutil

from mediaserver.config import Settings
from mediaserver.data_directory import DataDirectory
from mediaserver.errors import StartError
from mediaserver.payments import allows_test_payments, is_of_this_machine
from mediaserver.persistence import COMMAND_PATIENCE_SECONDS, connect, objects_of
from storage.database import Database
from storage.errors import StorageError
from storage.migrating import pending_migrations
from storage.objects import Objects
from storage.redis_state import RedisState

MIB: Final = 1024 * 1024
ENOUGH_DISK_BYTES: Final = 1024 * MIB
ENOUGH_MEMORY_BYTES: Final = 512 * MIB
ENOUGH_FILES: Final = 10_000
LARGEST_CLOCK_SKEW_SECONDS: Final = 2.0
EARLIEST_TIME: Final = 1_735_689_600
"""2025-01-01: a clock before this was never set."""

PROBE_TIMEOUT_SECONDS: Final = 2.0
DECODERS: Final = ("h264", "hevc", "av1", "vp9", "aac", "opus")
ENCODERS: Final = ("libx264", "aac", "libopus")


class Verdict(Enum):
    OK = "ok"
    WARNING = "warning"
    """The server runs, but something will not go as well as it could."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """``detail`` says what was found, ``advice`` what to do about it; empty when there is nothing to do."""

    name: str
    verdict: Verdict
    detail: str
    advice: str = ""


async def examine(settings: Settings) -> list[Check]:
    """All checks, in an order in which the cause stands before its consequences."""
    checks: list[Callable[[Settings], Awaitable[list[Check]]]] = [
        _check_data_directory,
        _check_database,
        _check_redis,
        _check_objects,
        _check_ports,
        _check_certificate,
        check_payments,
        _check_clock,
        _check_files,
        _check_memory,
        _check_codecs,
    ]
    return [result for check in checks for result in await check(settings)]


async def _check_data_directory(settings: Settings) -> list[Check]:
    try:
        path = DataDirectory(settings.data_dir).path
    except StartError as error:
        advice = "make it writable for this user or set another data_dir"
        return [Check("data directory", Verdict.FAILED, str(error), advice)]
    free = shutil.disk_usage(path).free
    checks = [Check("data directory", Verdict.OK, f"{path} can be written")]
    if free < ENOUGH_DISK_BYTES:
        checks.append(Check("disk", Verdict.WARNING, f"{free // MIB} MiB free", "make room: 1 GiB is little"))
    else:
        checks.append(Check("disk", Verdict.OK, f"{free // MIB} MiB free"))
    return checks


async def _check_database(settings: Settings) -> list[Check]:
    kind = "PostgreSQL at database_url" if settings.database_url else "embedded PostgreSQL"
    try:
        data = DataDirectory(settings.data_dir)
        async with connect(settings, data, COMMAND_PATIENCE_SECONDS) as database:
            return [await _check_schema(database, kind), await _check_skew(database)]
    except StartError:
        return [Check("database", Verdict.FAILED, "no data directory to keep it in", "see above")]
    except StorageError as error:
        advice = "start it, or correct database_url" if settings.database_url else "see the message"
        return [Check("database", Verdict.FAILED, str(error), advice)]


async def _check_schema(database: Database, kind: str) -> Check:
    version = await database.fetch_value("SHOW server_version")
    pending = await pending_migrations(database)
    if pending:
        detail = f"{kind} {version}; {len(pending)} migrations to apply"
        return Check(
            "database", Verdict.WARNING, detail, "the next start applies them, or: mediaserver migrate"
        )
    return Check("database", Verdict.OK, f"{kind} {version}, schema up to date")


async def _check_skew(database: Database) -> Check:
    skew = abs(
        await database.fetch_value("SELECT extract(epoch FROM clock_timestamp())::float8") - time.time()
    )
    if skew > LARGEST_CLOCK_SKEW_SECONDS:
        advice = "synchronise both clocks (chrony, systemd-timesyncd)"
        return Check("database clock", Verdict.WARNING, f"{skew:.1f} s away from this machine's", advice)
    return Check("database clock", Verdict.OK, "agrees with this machine's")


async def _check_redis(settings: Settings) -> list[Check]:
    if settings.redis_url is None:
        return [Check("redis", Verdict.OK, "not used: this is the only node")]
    state = RedisState(settings.redis_url.get_secret_value())
    try:
        await state.ping()
    except ConnectionError as error:
        return [Check("redis", Verdict.FAILED, str(error), "start it, or correct redis_url")]
    finally:
        await state.close()
    return [Check("redis", Verdict.OK, "Redis at redis_url answers")]


async def _check_objects(settings: Settings) -> list[Check]:
    """By an object that is written, read and deleted again: it takes rights to do each."""
    place = "objects_url" if settings.objects_url else "the data directory"
    try:
        wrong = await _probe(objects_of(settings, DataDirectory(settings.data_dir)))
    except (StartError, StorageError, OSError) as error:
        wrong = str(error)
    if wrong:
        advice = "correct objects_url and AWS_…" if settings.objects_url else "make it writable"
        return [Check("objects", Verdict.FAILED, wrong, advice)]
    return [Check("objects", Verdict.OK, f"{place} can be written and read")]


async def _probe(objects: Objects) -> str:
    """What goes wrong with an object; nothing if nothing does.

    It is removed also when it cannot be read, and when the doctor is interrupted. What a killed one leaves,
    the next one of this machine writes over and removes: the name is the same each time.
    """
    name = f"doctor/{hashlib.sha256(socket.gethostname().encode()).hexdigest()[:16]}"
    wrong = []
    try:
        await objects.put(name, b"doctor")
        if await objects.get(name) != b"doctor":
            wrong.append("what is written is not there to be read")
    except (StorageError, OSError) as error:
        wrong.append(str(error))
    finally:
        try:
            await objects.delete(name)
        except (StorageError, OSError) as error:
            wrong.append(f"{name} is not removed: {error}")
    return "; ".join(wrong)


async def _check_ports(settings: Settings) -> list[Check]:
    wanted = [("http.port", settings.http.host, settings.http.port)]
    wanted.append(("rtmp.port", settings.rtmp.host, settings.rtmp.port))
    if settings.rtmps.port is not None:
        wanted.append(("rtmps.port", settings.rtmp.host, settings.rtmps.port))
    is_running = await asyncio.to_thread(_is_running, settings)
    checks = [_check_port(name, host, port, is_running) for name, host, port in wanted]
    media = str(settings.rtc.hosts[0])
    udp = _check_port("rtc.port", media, settings.rtc.port, is_running, socket.SOCK_DGRAM)
    tcp = _check_port("rtc.port, TCP", media, settings.rtc.port, is_running)
    return [*checks, udp, tcp]


def _check_port(
    name: str, host: str, port: int, is_running: bool, kind: socket.SocketKind = socket.SOCK_STREAM
) -> Check:
    try:
        family = socket.getaddrinfo(host, port, type=kind)[0][0]
        with socket.socket(family, kind) as listener:
            if kind is socket.SOCK_STREAM:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            if kind is socket.SOCK_STREAM:
                listener.listen()
    except PermissionError:
        advice = f"use a port above 1023, or allow it: setcap or a systemd socket; set {name}"
        return Check(name, Verdict.FAILED, f"this user may not listen on {port}", advice)
    except OSError as error:
        if is_running:
            return Check(name, Verdict.OK, f"{port} is in use by the running server")
        return Check(name, Verdict.FAILED, f"{host}:{port}: {error.strerror}", f"free it or set {name}")
    return Check(name, Verdict.OK, f"{port} is free")


def _is_running(settings: Settings) -> bool:
    """Whether a mediaserver answers on our HTTP port."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.http.host, settings.http.host)
    connection = http.client.HTTPConnection(host, settings.http.port, timeout=PROBE_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().getheader("Server") == "mediaserver"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


async def _check_certificate(settings: Settings) -> list[Check]:
    rtmps = settings.rtmps
    if rtmps.port is None or rtmps.certificate_file is None:
        return []
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            rtmps.certificate_file, rtmps.key_file
        )
    except (OSError, ssl.SSLError) as error:
        advice = "correct rtmps.certificate_file and rtmps.key_file (PEM, belonging together, readable)"
        return [Check("certificate", Verdict.FAILED, f"{rtmps.certificate_file}: {error}", advice)]
    return [Check("certificate", Verdict.OK, f"{rtmps.certificate_file} fits its key")]


async def check_payments(settings: Settings) -> list[Check]:
    """Which payment provider there is, and whether that is as it should be."""
    secret = settings.stripe.secret_key
    if secret is not None:
        is_test = "_test_" in secret.get_secret_value()
        return [_check_stripe(settings, is_test)]
    if not allows_test_payments(settings):
        return [Check("payments", Verdict.OK, "not set up: nothing can be paid for (see docs/payments.md)")]
    if is_of_this_machine(settings):
        return [Check("payments", Verdict.OK, "the test checkout, for this machine alone; no money moves")]
    detail = "the test checkout, for whoever reaches this server: coins cost nothing"
    advice = "set money.test_payments to false where coins are worth money"
    return [Check("payments", Verdict.WARNING, detail, advice)]


def _check_stripe(settings: Settings, is_test: bool) -> Check:
    mode = "Stripe in test mode" if is_test else "Stripe"
    is_local = is_of_this_machine(settings)
    if settings.public_url is None and not is_local:
        advice = "set public_url: buyers are sent back there, and Stripe sends its events there"
        return Check("payments", Verdict.WARNING, f"{mode}, and no public_url", advice)
    if is_test and not is_local:
        detail = f"{mode} at {settings.public_url}: coins cost nothing"
        return Check("payments", Verdict.WARNING, detail, "set stripe.secret_key to the live key (sk_live_…)")
    address = settings.public_url or "this machine"
    return Check("payments", Verdict.OK, f"{mode}, whose events come to {address}")


async def _check_clock(_: Settings) -> list[Check]:
    if time.time() < EARLIEST_TIME:
        return [
            Check(
                "clock", Verdict.FAILED, time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "set the clock"
            )
        ]
    return [Check("clock", Verdict.OK, time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))]


async def _check_files(_: Settings) -> list[Check]:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < ENOUGH_FILES:
        advice = "each viewer takes one: raise it with ulimit -Hn 65536, or LimitNOFILE= in systemd"
        return [Check("open files", Verdict.WARNING, f"{hard} at most", advice)]
    return [
        Check("open files", Verdict.OK, "unlimited" if hard == resource.RLIM_INFINITY else f"{hard} at most")
    ]


async def _check_memory(_: Settings) -> list[Check]:
    available = psutil.virtual_memory().available
    if available < ENOUGH_MEMORY_BYTES:
        return [Check("memory", Verdict.WARNING, f"{available // MIB} MiB available", "512 MiB is little")]
    return [Check("memory", Verdict.OK, f"{available // MIB} MiB available")]


async def _check_codecs(_: Settings) -> list[Check]:
    missing = await asyncio.to_thread(_missing_codecs)
    if missing:
        advice = "install the av package from PyPI, whose FFmpeg has them"
        return [Check("codecs", Verdict.WARNING, f"PyAV lacks {', '.join(missing)}", advice)]
    return [Check("codecs", Verdict.OK, "PyAV has all that are used")]


def _missing_codecs() -> list[str]:
    from av.codec import Codec
    from av.codec.codec import UnknownCodecError

    def is_missing(name: str, mode: Literal["r", "w"]) -> bool:
        try:
            Codec(name, mode)
        except UnknownCodecError:
            return True
        return False

    decoders = [f"decoder {name}" for name in DECODERS if is_missing(name, "r")]
    return decoders + [f"encoder {name}" for name in ENCODERS if is_missing(name, "w")]
