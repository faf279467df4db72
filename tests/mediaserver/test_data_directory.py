"""The data directory and its secrets."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from mediaserver.config import Settings
from mediaserver.data_directory import DataDirectory
from mediaserver.errors import StartError


def test_is_made_with_its_parents_and_for_its_user_alone(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "a" / "b")
    assert data.path.is_dir()
    assert not stat.S_IMODE(data.path.stat().st_mode) & 0o066


def test_a_secret_is_made_once_and_kept_private(tmp_path: Path) -> None:
    first = DataDirectory(tmp_path).secret_key(Settings())
    assert DataDirectory(tmp_path).secret_key(Settings()) == first
    assert len(first) >= 32
    assert stat.S_IMODE((tmp_path / "secret-key").stat().st_mode) == 0o600
    assert DataDirectory(tmp_path).node_id() != first.decode()


def test_a_secret_that_is_set_is_used_and_none_is_made(tmp_path: Path) -> None:
    settings = Settings(secret_key=SecretStr("s" * 32))
    assert DataDirectory(tmp_path).secret_key(settings) == b"s" * 32
    assert not (tmp_path / "secret-key").exists()


def test_all_who_start_at_once_have_the_same_secret(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    with ThreadPoolExecutor(16) as threads:
        secrets = set(threads.map(lambda _: data.secret_key(Settings()), range(64)))
    assert len(secrets) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret-key"]


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 64])
def test_a_damaged_secret_is_not_replaced_silently(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret-key").write_bytes(content)
    with pytest.raises(StartError, match="secret-key"):
        DataDirectory(tmp_path).secret_key(Settings())
    assert (tmp_path / "secret-key").read_bytes() == content


def test_a_path_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StartError, match="data_dir"):
            DataDirectory(path)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(StartError, match="cannot be written"):
        DataDirectory(tmp_path)


def test_one_server_at_a_time(tmp_path: Path) -> None:
    first, second = DataDirectory(tmp_path), DataDirectory(tmp_path)
    for _ in range(2):
        with (
            first.serving(),
            pytest.raises(StartError, match=rf"process {os.getpid()}\) uses it"),
            second.serving(),
        ):
            pass
    with second.serving():
        pass


def test_a_lock_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "server.lock").mkdir()
    with pytest.raises(StartError, match=r"server\.lock: Is a directory"), DataDirectory(tmp_path).serving():
        pass
