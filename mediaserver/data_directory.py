"""The folder for everything the server keeps, and the small secrets in it.

A secret is made once, under a temporary name, and linked into place: processes that start at the same time
all end up with the same one, and a crash leaves no half-written file.
"""

import errno
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from control_api.services.web_push import new_vapid_key
from mediaserver.config import Settings
from mediaserver.errors import StartError

SECRET_BYTES: Final = 32
MAX_SECRET_FILE_BYTES: Final = 1024


class DataDirectory:
    """Made when missing. Raises StartError when it cannot be made or written."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path.absolute()
        try:
            # As root, the embedded PostgreSQL runs as another user and must get through.
            self.path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StartError(f"data_dir {self.path}: {error.strerror}") from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise StartError(f"data_dir {self.path}: cannot be written by this user")

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Keep other servers away for as long as the block runs; commands beside it are welcome.

        Two servers here would be one node to the others, and each would end the other's broadcasts. The
        kernel gives the lock back however the process ends. Raises StartError.
        """
        path = self.path / "server.lock"
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StartError(f"{path}: {error.strerror}") from error
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno == errno.EWOULDBLOCK:
                    raise self._is_taken(file) from None
                # A file system without locks has nobody to keep away.
            with suppress(OSError):  # a full disk: whose lock it is, is then not said
                os.ftruncate(file, 0)
                os.write(file, str(os.getpid()).encode())
            yield
        finally:
            os.close(file)

    def _is_taken(self, file: int) -> StartError:
        process = os.read(file, MAX_SECRET_FILE_BYTES).decode(errors="replace").strip() or "unknown"
        return StartError(
            f"data_dir {self.path}: another server (process {process}) uses it; "
            "stop that one, or give this one a data_dir of its own"
        )

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    def secret_key(self, settings: Settings) -> bytes:
        """The installation's secret: as set, or made once and kept in ``secret-key``."""
        if settings.secret_key is not None:
            return settings.secret_key.get_secret_value().encode()
        return self._keep("secret-key", _random_secret).encode()

    def vapid_key(self) -> str:
        """The key that Web Push knows the installation by, in PEM; browsers' subscriptions depend on it."""
        return self._keep("vapid-key.pem", new_vapid_key)

    def node_id(self) -> str:
        """The name under which this node is known to the others; it survives a restart."""
        return self._keep("node-id", _random_secret)

    def _keep(self, name: str, make: Callable[[], str]) -> str:
        path = self.path / name
        try:
            if not path.exists():
                self._write(path, make())
            with path.open() as file:
                text = file.read(MAX_SECRET_FILE_BYTES).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise StartError(f"{path}: {error}") from error
        if len(text) < SECRET_BYTES:
            raise StartError(f"{path}: is damaged; put the old one back, or remove it to get a new one")
        return text

    @staticmethod
    def _write(path: Path, text: str) -> None:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(file, "w") as writer:
                writer.write(text + "\n")
                writer.flush()
                os.fsync(writer.fileno())
            os.link(temporary, path)
        except FileExistsError:
            # Somebody else was faster; theirs counts.
            return
        finally:
            temporary.unlink()


def _random_secret() -> str:
    return secrets.token_hex(SECRET_BYTES)
