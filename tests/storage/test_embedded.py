"""The embedded PostgreSQL: shared, taken over after a kill -9, and gone with its last user."""

import asyncio
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil
import pytest

from storage.embedded import MAX_SOCKET_PATH_BYTES, SOCKET_NAME, EmbeddedPostgres
from storage.errors import EmbeddedPostgresError

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]

USE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from storage.embedded import EmbeddedPostgres
EmbeddedPostgres(Path(sys.argv[1])).join()
os.kill(os.getpid(), signal.SIGKILL)
"""

USE_AND_LEAVE = """
import os, sys
from pathlib import Path
from storage.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.join()
print(os.geteuid(), os.path.exists(Path(sys.argv[1]) / "postmaster.pid"))
server.leave()
"""


def postmaster(cluster: Path) -> psutil.Process:
    return psutil.Process(int((cluster / "postmaster.pid").read_text().splitlines()[0]))


def is_stopped(cluster: Path) -> bool:
    return not (cluster / "postmaster.pid").exists()


def answer(server: EmbeddedPostgres, sql: str = "SELECT 1") -> object:
    async def ask() -> object:
        connection = await asyncpg.connect(server.url, timeout=10)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(ask())


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    return tmp_path / "data" / "postgres"


def test_starts_answers_and_stops_with_its_only_user(cluster: Path) -> None:
    server = EmbeddedPostgres(cluster)
    server.join()
    process = postmaster(cluster)
    assert answer(server) == 1
    server.leave()
    assert is_stopped(cluster)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_listens_on_a_private_socket_only(cluster: Path) -> None:
    server = EmbeddedPostgres(cluster)
    server.join()
    try:
        assert answer(server, "SHOW listen_addresses") == ""
        assert stat.S_IMODE(cluster.stat().st_mode) == 0o700
        assert not [c for c in postmaster(cluster).net_connections("inet") if c.status == psutil.CONN_LISTEN]
    finally:
        server.leave()


def test_two_users_share_one_server_and_the_last_one_stops_it(cluster: Path) -> None:
    first, second = EmbeddedPostgres(cluster), EmbeddedPostgres(cluster)
    first.join()
    process = postmaster(cluster)
    second.join()
    assert postmaster(cluster).pid == process.pid
    first.leave()
    assert answer(second) == 1
    second.leave()
    assert is_stopped(cluster)


def test_leaving_twice_or_without_joining_does_nothing(cluster: Path) -> None:
    server = EmbeddedPostgres(cluster)
    server.leave()
    server.join()
    server.leave()
    server.leave()
    assert is_stopped(cluster)


def test_many_join_at_once(cluster: Path) -> None:
    programs = [
        subprocess.Popen((sys.executable, "-c", USE_AND_LEAVE, str(cluster)), cwd=PROJECT) for _ in range(4)
    ]
    assert [program.wait(60) for program in programs] == [0, 0, 0, 0]
    assert is_stopped(cluster)


def test_a_server_left_by_a_killed_process_is_taken_over(cluster: Path) -> None:
    killed = subprocess.run((sys.executable, "-c", USE_AND_DIE, str(cluster)), cwd=PROJECT, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    process = postmaster(cluster)
    assert process.is_running()

    server = EmbeddedPostgres(cluster)
    server.join()
    assert postmaster(cluster).pid == process.pid
    assert answer(server) == 1
    server.leave()
    assert is_stopped(cluster)


def test_a_killed_server_is_started_again_and_keeps_what_was_committed(cluster: Path) -> None:
    server = EmbeddedPostgres(cluster)
    server.join()
    answer(server, "CREATE TABLE kept AS SELECT 42 AS value")
    process = postmaster(cluster)
    process.kill()
    process.wait(10)

    server.join()
    assert postmaster(cluster).pid != process.pid
    assert answer(server, "SELECT value FROM kept") == 42
    server.leave()


def test_the_last_user_may_leave_after_the_server_was_killed(cluster: Path) -> None:
    server = EmbeddedPostgres(cluster)
    server.join()
    process = postmaster(cluster)
    process.kill()
    process.wait(10)
    server.leave()
    server.join()
    assert answer(server) == 1
    server.leave()
    assert is_stopped(cluster)


def test_a_symbolic_link_leads_to_the_same_server(tmp_path: Path) -> None:
    name = "long " * 30
    (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / name)
    direct, by_link = (EmbeddedPostgres(tmp_path / folder / "postgres") for folder in (name, "link"))
    direct.join()
    by_link.join()
    direct.leave()
    assert answer(by_link) == 1
    by_link.leave()


def test_a_pid_file_whose_number_is_somebody_elses_is_no_server(cluster: Path) -> None:
    server = EmbeddedPostgres(cluster)
    server.join()
    lines = (cluster / "postmaster.pid").read_text().splitlines()
    server.leave()
    for name in ("postmaster.pid", f"{SOCKET_NAME}.lock"):
        (cluster / name).write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")

    server.join()
    assert answer(server) == 1
    server.leave()


@pytest.mark.parametrize("content", ["", "nonsense\n", "-1\n", "99999999\n"])
def test_a_damaged_pid_file_does_not_matter(cluster: Path, content: str) -> None:
    server = EmbeddedPostgres(cluster)
    server.join()
    server.leave()
    (cluster / "postmaster.pid").write_text(content)
    server.join()
    assert answer(server) == 1
    server.leave()


def test_a_server_whose_socket_was_deleted_is_replaced(cluster: Path) -> None:
    server = EmbeddedPostgres(cluster)
    server.join()
    old = postmaster(cluster)
    (cluster / SOCKET_NAME).unlink()
    server.join()
    assert postmaster(cluster).pid != old.pid
    assert answer(server) == 1
    server.leave()


def test_an_interrupted_first_start_is_begun_anew(cluster: Path) -> None:
    unfinished = cluster.with_name("postgres.new")
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(cluster)
    server.join()
    assert answer(server) == 1
    server.leave()
    assert not unfinished.exists()


def test_a_path_too_long_for_a_socket_works(tmp_path: Path) -> None:
    cluster = tmp_path / ("long " * 30) / "it's" / "postgres"
    assert len(os.fsencode(cluster)) > MAX_SOCKET_PATH_BYTES
    server = EmbeddedPostgres(cluster)
    server.join()
    assert answer(server) == 1
    server.leave()
    assert is_stopped(cluster)


def test_a_short_socket_folder_made_by_another_user_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a folder for somebody else")
    cluster = tmp_path / ("long " * 30) / "postgres"
    server = EmbeddedPostgres(cluster)
    folder = Path(parse_qs(urlsplit(server.url).query)["host"][0])
    folder.mkdir()
    os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
    try:
        with pytest.raises(EmbeddedPostgresError, match="another user's"):
            server.join()
    finally:
        folder.rmdir()


def test_a_cluster_of_an_unknown_version_is_refused_by_name(cluster: Path) -> None:
    cluster.mkdir(parents=True, mode=0o700)
    (cluster / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedPostgresError, match="made by PostgreSQL 9"):
        EmbeddedPostgres(cluster).join()


def test_a_server_that_cannot_start_says_why(cluster: Path) -> None:
    server = EmbeddedPostgres(cluster)
    server.join()
    server.leave()
    with pytest.raises(EmbeddedPostgresError, match="no_such_setting"):
        EmbeddedPostgres(cluster, {"no_such_setting": "1"}).join()


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(EmbeddedPostgresError, match=r"File exists|Not a directory"):
        EmbeddedPostgres(tmp_path / "data" / "postgres").join()


def test_the_environment_does_not_steer_it_elsewhere(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "6000")
    monkeypatch.setenv("PGDATA", "/nonexistent")
    server = EmbeddedPostgres(cluster)
    server.join()
    assert answer(server) == 1
    server.leave()


def test_works_for_an_ordinary_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    """As root, run it as nobody; otherwise every test here shows it already."""
    if os.geteuid() != 0:
        pytest.skip("the other tests run as an ordinary user")
    nobody = pwd.getpwnam("nobody")
    as_user = ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")
    folder = Path("/tmp") / f"mediaserver-test-{os.getpid()}"
    folder.mkdir()
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    cluster = folder / "data" / "postgres"
    try:
        done = subprocess.run(
            (*as_user, sys.executable, "-c", USE_AND_LEAVE, str(cluster)),
            cwd=PROJECT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.stdout == f"{nobody.pw_uid} True\n", done.stderr
        assert cluster.stat().st_uid == nobody.pw_uid

        # Root joins later, as with an admin command beside a service: PostgreSQL stays with its owner.
        server = EmbeddedPostgres(cluster)
        server.join()
        assert postmaster(cluster).uids().effective == nobody.pw_uid
        assert answer(server) == 1
        server.leave()
    finally:
        subprocess.run(("rm", "-rf", str(folder)), check=True)


def test_nobody_is_served_by_a_stale_socket(cluster: Path) -> None:
    server = EmbeddedPostgres(cluster)
    server.join()
    server.leave()
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(cluster / SOCKET_NAME))
    server.join()
    assert answer(server) == 1
    server.leave()
