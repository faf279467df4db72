"""The command line as a process of its own: what it prints, and with which status it ends."""

import asyncio
import getpass
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from mediaserver.addresses import Addresses
from mediaserver.cli.admin import read_password
from mediaserver.cli.arguments import given_settings, parse_arguments
from mediaserver.config import Settings
from mediaserver.errors import AccountError
from storage.bus import Bus, StreamKeyRotated
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.migrating import migrate
from storage.notifications import Notifications

PROJECT = Path(__file__).parents[2]
USER = ("admin", "create-user", "--username", "alice", "--email", "a@example.com")
ROOM = ("admin", "create-room", "--user", "alice", "--title", "My room")


class CommandLine:
    """Runs ``mediaserver`` with a database of the test's own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MEDIASERVER_")}
        self.environment = clean | {"PYTHONPATH": str(PROJECT), "MEDIASERVER_DATA_DIR": "data"} | environment
        self.folder = folder

    def __call__(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (sys.executable, "-m", "mediaserver", *arguments),
            cwd=self.folder, env=self.environment, input=stdin, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def json(self, *arguments: str, stdin: str = "") -> dict[str, object]:
        done = self(*arguments, "--json", stdin=stdin)
        assert (done.returncode, done.stderr) == (0, "")
        result: dict[str, object] = json.loads(done.stdout)
        return result

    def refusal(self, *arguments: str, status: int = 1, stdin: str = "") -> str:
        """The one line on standard error."""
        done = self(*arguments, stdin=stdin)
        assert (done.returncode, done.stdout) == (status, "")
        (line,) = done.stderr.splitlines()
        return line


@pytest.fixture
def command(tmp_path: Path, database_url: str) -> CommandLine:
    return CommandLine(tmp_path, {"MEDIASERVER_DATABASE_URL": database_url})


@pytest.fixture
def bare(tmp_path: Path) -> CommandLine:
    """Without a database: for what is refused before one is needed."""
    return CommandLine(tmp_path, {})


def test_users_rooms_and_keys_are_made_in_json(command: CommandLine) -> None:
    user = command.json(*USER, "--password", "correct horse", "--role", "moderator")
    UUID(str(user["userId"]))
    assert (user["username"], user["role"]) == ("alice", "moderator")

    room = command.json(*ROOM, "--slug", "my-room")
    UUID(str(room["roomId"]))
    addresses = Addresses.of(Settings())
    assert room["rtmpUrl"] == addresses.publish(str(room["streamKey"]))
    assert room["watchUrl"] == addresses.watch("my-room")
    assert room["hlsUrl"] == addresses.hls(str(room["roomId"]))

    by_id = command.json("admin", "rotate-key", "--room", str(room["roomId"]))
    by_slug = command.json("admin", "rotate-key", "--room", "my-room")
    assert len({room["streamKey"], by_id["streamKey"], by_slug["streamKey"]}) == 3

    granted = command.json("admin", "grant", "--user", "ALICE", "--role", "admin")
    assert (granted["userId"], granted["role"]) == (user["userId"], "admin")


def test_people_get_lines(command: CommandLine) -> None:
    assert command(*USER, "--password-stdin", stdin="correct horse\n").returncode == 0
    made = command(*ROOM)
    assert made.returncode == 0
    assert [line.split("  ")[0] for line in made.stdout.splitlines()] == [
        "room id",
        "stream key",
        "publish to",
        "watch page",
    ]


def test_what_cannot_be_done_is_one_line(command: CommandLine) -> None:
    refusal = command.refusal("admin", "rotate-key", "--room", "../my-room")
    assert refusal == "mediaserver: --room '../my-room': There is no such room."
    too_long = command.refusal(*USER, "--password-stdin", stdin="x" * 10_000)
    assert too_long == "mediaserver: --password: must have 8 to 100 characters"
    assert "give the password" in command.refusal(*USER)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("serve", "--http.port", "70000"), "http.port: input should be"),
        (("serve", "--http.prt", "1"), "unrecognized arguments: --http.prt"),
        (("serve", "--config", "missing.toml"), "missing.toml: No such file"),
        (("admin", "grant", "--user", "alice", "--role", "king"), "--role: invalid choice: 'king'"),
        (("admin", "create-room"), "required: --user, --title"),
        (("admin", "set-state", "--user", "alice", "--state", "banned"), "required: --reason"),
        (("admin", "set-state", "--user", "alice", "--state", "deleted"), "invalid choice: 'deleted'"),
        (("admin", "list-users", "--limit", "101"), "--limit: must be 1 to 100"),
        (("admin", "list-users", "--limit", "²"), "--limit: must be 1 to 100"),
        (("admin", "resolve-report", "--report", "1", "--resolution", "actioned"), "--report: '1' is no id"),
        (("admin", "kick", "--room", os.fsdecode(b"\xff")), "--room: is not UTF-8"),
        (("admin",), "required: COMMAND"),
        ((), "required: COMMAND"),
        (("fly",), "invalid choice: 'fly'"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    bare: CommandLine, arguments: tuple[str, ...], message: str
) -> None:
    line = bare.refusal(*arguments, status=2)
    assert line.startswith("mediaserver") and message in line


def test_a_wrong_variable_stops_every_command(bare: CommandLine) -> None:
    bare.environment["MEDIASERVER_RTMP__PORT"] = "rtmp"
    for arguments in (
        ("serve",),
        ("demo",),
        ("migrate",),
        ("doctor",),
        (*USER, "--password", "correct horse"),
    ):
        line = bare.refusal(*arguments, status=2)
        assert line.startswith("mediaserver: rtmp.port: ") and line.endswith("from MEDIASERVER_RTMP__PORT)")


def test_a_data_directory_that_cannot_be_is_one_line(bare: CommandLine) -> None:
    (bare.folder / "file").write_text("")
    assert "data_dir" in bare.refusal("migrate", "--data-dir", "file")


def test_migrate_says_what_it_did(command: CommandLine) -> None:
    assert command("migrate").stdout == "the schema is up to date\n"


def test_settings_reference_needs_nothing(bare: CommandLine) -> None:
    done = bare("settings-reference")
    assert done.stdout == (PROJECT / "docs" / "settings.md").read_text()
    assert list(bare.folder.iterdir()) == []


def test_version_and_help(bare: CommandLine) -> None:
    assert bare("--version").stdout.startswith("mediaserver ")
    for arguments in (("--help",), ("serve", "--help"), ("admin", "create-user", "--help")):
        done = bare(*arguments)
        assert done.returncode == 0 and "usage: mediaserver" in done.stdout


def test_settings_are_flags_with_dashes_or_underscores() -> None:
    given = given_settings(parse_arguments(["serve", "--data-dir", "x", "--http.trusted_proxies=10.0.0.0/8"]))
    assert given == {"data_dir": "x", "http.trusted_proxies": "10.0.0.0/8"}


@pytest.mark.slow
def test_works_with_the_embedded_database_and_leaves_none_behind(bare: CommandLine) -> None:
    migrations = sorted(path.stem for path in (PROJECT / "storage" / "migrations").glob("*.sql"))
    assert bare("migrate").stdout.splitlines() == [f"applied {name}" for name in migrations]
    user = bare.json(*USER, "--password", "correct horse")
    assert user["username"] == "alice"
    assert not (bare.folder / "data" / "postgres" / "postmaster.pid").exists()


@pytest.mark.slow
def test_many_commands_at_once_share_the_embedded_database(bare: CommandLine) -> None:
    bare("migrate")
    running = [
        subprocess.Popen(
            (sys.executable, "-m", "mediaserver", "admin", "create-user", "--username", f"user_{number}",
             "--email", f"{number}@example.com", "--password", "correct horse", "--json"),
            cwd=bare.folder, env=bare.environment, stdout=subprocess.PIPE, text=True,
        )
        for number in range(5)
    ]  # fmt: skip
    results = [json.loads(process.communicate(timeout=60)[0]) for process in running]
    assert {result["username"] for result in results} == {f"user_{number}" for number in range(5)}
    assert not (bare.folder / "data" / "postgres" / "postmaster.pid").exists()


@pytest.mark.slow
async def test_admin_beside_a_running_server_is_noticed_by_it(bare: CommandLine) -> None:
    """The server holds the embedded database; a command in another process rotates a key."""
    bus, rotated = Bus(), asyncio.Event()
    bus.subscribe(StreamKeyRotated, lambda _: rotated.set())
    async with Database(EmbeddedPostgres(bare.folder / "data" / "postgres")) as database:
        await migrate(database)
        await asyncio.to_thread(bare.json, *USER, "--password", "correct horse")
        room = await asyncio.to_thread(bare.json, *ROOM)
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(30):
            notifications = Notifications(database, bus)
            listening = tasks.create_task(notifications.run())
            await notifications.listening.wait()
            await asyncio.to_thread(bare.json, "admin", "rotate-key", "--room", str(room["roomId"]))
            await rotated.wait()
            listening.cancel()
        await database.ping()
    assert not (bare.folder / "data" / "postgres" / "postmaster.pid").exists()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_at_a_terminal_the_password_is_asked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = parse_arguments(list(USER))
    typed = iter(["correct horse", "correct horse", "correct horse", "corect horse"])
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", lambda prompt: next(typed))
    assert read_password(arguments) == "correct horse"
    with pytest.raises(AccountError, match="differ"):
        read_password(arguments)
