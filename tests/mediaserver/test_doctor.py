"""The doctor finds what is wrong and says what to do."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest
from obstore.store import MemoryStore

from mediaserver import doctor
from mediaserver.cli.doctor import doctor as run_doctor
from mediaserver.config import Settings, load_settings
from mediaserver.doctor import Check, Verdict, examine
from storage.objects import Objects, ObjectsUnavailable


def settings_for(tmp_path: Path, database_url: str, **flags: str) -> Settings:
    given = {"data_dir": str(tmp_path), "database_url": database_url, "http.host": "127.0.0.1"}
    given |= {"rtmp.host": "127.0.0.1", "http.port": "0", "rtmp.port": "0"}
    given |= {"rtc.hosts": "127.0.0.1", "rtc.port": "0"}
    given |= {name.replace("__", "."): value for name, value in flags.items()}
    return load_settings({}, given)


async def find(settings: Settings, name: str) -> Check:
    (check,) = [check for check in await examine(settings) if check.name == name]
    return check


async def test_all_is_well_here(
    tmp_path: Path, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_for(tmp_path, database_url)
    assert await run_doctor(settings, is_json=False) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("✓ database: PostgreSQL at database_url") for line in lines)
    assert not any(line.startswith("✗") for line in lines)

    assert await run_doctor(settings, is_json=True) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert {check["name"] for check in report["checks"]} >= {
        "data directory", "database", "redis", "objects",
        "http.port", "rtmp.port", "clock", "open files", "memory", "codecs",
    }  # fmt: skip


async def test_a_port_in_use_is_named(
    tmp_path: Path, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        settings = settings_for(tmp_path, database_url, rtmp__port=str(port))
        check = await find(settings, "rtmp.port")
        assert check.verdict is Verdict.FAILED
        assert str(port) in check.detail and "rtmp.port" in check.advice
        assert await run_doctor(settings, is_json=False) == 1
    assert f"✗ rtmp.port: 127.0.0.1:{port}" in capsys.readouterr().out


async def test_a_database_that_is_away_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "COMMAND_PATIENCE_SECONDS", 0.1)
    settings = settings_for(tmp_path, "postgresql://nobody@127.0.0.1:1/nothing")
    check = await find(settings, "database")
    assert (check.verdict, "database_url" in check.advice) == (Verdict.FAILED, True)


async def test_a_data_directory_that_cannot_be_is_said(tmp_path: Path, database_url: str) -> None:
    (tmp_path / "file").write_text("")
    settings = settings_for(tmp_path / "file", database_url)
    assert (await find(settings, "data directory")).verdict is Verdict.FAILED
    assert (await find(settings, "database")).verdict is Verdict.FAILED


async def test_objects_that_cannot_be_kept_are_said(tmp_path: Path, database_url: str) -> None:
    settings = settings_for(tmp_path, database_url)
    assert (await find(settings, "objects")).detail == "the data directory can be written and read"
    (tmp_path / "objects" / "doctor").rmdir()
    (tmp_path / "objects" / "doctor").write_text("in the way")
    assert (await find(settings, "objects")).verdict is Verdict.FAILED
    elsewhere = settings_for(tmp_path, database_url, objects_url="s3://")
    check = await find(elsewhere, "objects")
    assert (check.verdict, "objects_url" in check.advice) == (Verdict.FAILED, True)


class ForgetfulObjects(Objects):
    """A store whose every step can go wrong."""

    def __init__(self, **faults: Exception | asyncio.Event) -> None:
        super().__init__(MemoryStore())
        self.faults = faults
        self.stored: set[str] = set()
        self.written: list[str] = []
        self.is_reached = asyncio.Event()

    async def _maybe_fail(self, step: str) -> None:
        fault = self.faults.get(step)
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            self.is_reached.set()
            await fault.wait()

    async def put(self, name: str, data: bytes) -> None:
        await super().put(name, data)
        self.stored.add(name)
        self.written.append(name)
        await self._maybe_fail("put")

    async def get(self, name: str) -> bytes | None:
        await self._maybe_fail("get")
        return await super().get(name)

    async def delete(self, name: str) -> None:
        await self._maybe_fail("delete")
        await super().delete(name)
        self.stored.discard(name)


@pytest.fixture
def check_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Objects], Awaitable[Check]]:
    async def check(objects: Objects) -> Check:
        monkeypatch.setattr(doctor, "objects_of", lambda *_: objects)
        (found,) = await doctor._check_objects(settings_for(tmp_path, "postgresql://unused"))
        return found

    return check


@pytest.mark.parametrize("step", ["put", "get"])
async def test_the_probe_is_removed_whatever_goes_wrong(check_objects, step: str) -> None:
    objects = ForgetfulObjects(**{step: ObjectsUnavailable("no right to")})
    check = await check_objects(objects)
    assert (check.verdict, check.detail) == (Verdict.FAILED, "no right to")
    assert objects.written and not objects.stored


async def test_a_probe_that_cannot_be_removed_is_said_and_written_over(check_objects) -> None:
    objects = ForgetfulObjects(delete=ObjectsUnavailable("no right to delete"))
    check = await check_objects(objects)
    (left,) = objects.stored
    assert check.verdict is Verdict.FAILED
    assert left in check.detail and "no right to delete" in check.detail
    objects.faults = {}
    assert (await check_objects(objects)).verdict is Verdict.OK
    assert not objects.stored


async def test_both_of_two_faults_are_said(check_objects) -> None:
    objects = ForgetfulObjects(get=ObjectsUnavailable("unread"), delete=ObjectsUnavailable("undeleted"))
    check = await check_objects(objects)
    assert "unread" in check.detail and "undeleted" in check.detail


@pytest.mark.parametrize("step", ["put", "get"])
async def test_an_interrupted_doctor_removes_its_probe(check_objects, step: str) -> None:
    objects = ForgetfulObjects(**{step: asyncio.Event()})
    checking = asyncio.ensure_future(check_objects(objects))
    async with asyncio.timeout(20):
        await objects.is_reached.wait()
    assert objects.stored
    checking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checking
    assert not objects.stored


async def test_a_redis_that_is_away_is_said(tmp_path: Path, database_url: str) -> None:
    assert (await find(settings_for(tmp_path, database_url), "redis")).verdict is Verdict.OK
    settings = settings_for(tmp_path, database_url, redis_url="redis://127.0.0.1:1/0")
    check = await find(settings, "redis")
    assert (check.verdict, "redis_url" in check.advice) == (Verdict.FAILED, True)


async def test_a_certificate_that_is_none_is_said(tmp_path: Path, database_url: str) -> None:
    (tmp_path / "x.pem").write_text("nonsense")
    pem = str(tmp_path / "x.pem")
    files = {"rtmps__port": "0", "rtmps__certificate_file": pem, "rtmps__key_file": pem}
    check = await find(settings_for(tmp_path, database_url, **files), "certificate")
    assert check.verdict is Verdict.FAILED and "x.pem" in check.detail


async def test_a_schema_to_be_migrated_is_a_warning(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def two_pending(_: object) -> tuple[str, ...]:
        return ("0008-more", "0009-most")

    monkeypatch.setattr(doctor, "pending_migrations", two_pending)
    settings = settings_for(tmp_path, database_url)
    check = await find(settings, "database")
    assert (check.verdict, "2 migrations" in check.detail) == (Verdict.WARNING, True)
    assert await run_doctor(settings, is_json=True) == 0


async def test_a_small_machine_is_warned_of(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Little:
        available = 1024

    monkeypatch.setattr(psutil, "virtual_memory", Little)
    monkeypatch.setattr(doctor, "ENOUGH_DISK_BYTES", 1 << 62)
    monkeypatch.setattr(doctor, "ENOUGH_FILES", 1 << 62)
    monkeypatch.setattr(doctor.resource, "getrlimit", lambda _: (256, 256))
    monkeypatch.setattr(doctor, "DECODERS", ("h264", "no-such-codec"))
    settings = settings_for(tmp_path, database_url)
    for name in ("memory", "disk", "open files", "codecs"):
        check = await find(settings, name)
        assert check.verdict is Verdict.WARNING, name
        assert check.advice
    assert "decoder no-such-codec" in (await find(settings, "codecs")).detail


async def test_a_clock_that_was_never_set_is_said(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "EARLIEST_TIME", 1 << 40)
    assert (await find(settings_for(tmp_path, database_url), "clock")).verdict is Verdict.FAILED


STRIPE = {"stripe__webhook_secret": "whsec_x", "public_url": "https://live.example"}


@pytest.mark.parametrize(
    ("flags", "verdict", "words"),
    [
        ({}, Verdict.OK, "test checkout, for this machine alone"),
        ({"money__test_payments": "false"}, Verdict.OK, "not set up"),
        ({"public_url": "https://live.example"}, Verdict.OK, "not set up"),
        ({"money__test_payments": "true", "public_url": "https://live.example"}, Verdict.WARNING, "nothing"),
        ({**STRIPE, "stripe__secret_key": "sk_live_x"}, Verdict.OK, "https://live.example"),
        ({**STRIPE, "stripe__secret_key": "rk_test_x"}, Verdict.WARNING, "Stripe in test mode"),
        (
            {"stripe__webhook_secret": "x", "stripe__secret_key": "sk_live_x", "http__host": "0.0.0.0"},
            Verdict.WARNING,
            "no public_url",
        ),
        ({"stripe__webhook_secret": "x", "stripe__secret_key": "sk_test_x"}, Verdict.OK, "this machine"),
    ],
)
async def test_how_payments_are_set_up_is_said(
    tmp_path: Path, flags: dict[str, str], verdict: Verdict, words: str
) -> None:
    (check,) = await doctor.check_payments(settings_for(tmp_path, "postgresql://unused", **flags))
    assert check.verdict is verdict
    assert words in check.detail
    assert bool(check.advice) == (verdict is Verdict.WARNING)
