"""Every command of ``mediaserver admin``: the rules of the API, its audit log, and one line for a refusal."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from control_api import schemas
from mediaserver.cli.admin import perform
from mediaserver.cli.admin_arguments import (
    ALL_STATES,
    DEFAULT_PAGE,
    MAX_PAGE,
    REPORT_STATES,
    ROLES,
    VISIBILITIES,
)
from mediaserver.cli.admin_desk import Desk
from mediaserver.cli.arguments import parse_arguments
from mediaserver.cli.output import show
from mediaserver.config import Settings
from mediaserver.errors import AccountError
from rtmp.protocol.errors import RtmpError
from storage.bus import Bus, StreamKeyRotated, UserChanged
from storage.database import Database
from storage.ids import new_id
from storage.notifications import Notifications
from storage.passwords import Passwords
from storage.repositories import Broadcasts, Role, Users, UserState, Visibility
from storage.repositories.reports import Reports, ReportState, SubjectKind
from tests.helpers.camera import Camera
from tests.helpers.server_process import ServerProcess
from tests.helpers.waiting import eventually

PASSWORD = "correct horse"


class Shell:
    """Runs admin commands in this process; what lies around them is tested in test_cli."""

    def __init__(self, desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
        self.desk = desk
        self.database = desk.database
        self._capsys = capsys

    async def text(self, *arguments: str) -> list[str]:
        parsed = parse_arguments(["admin", *arguments])
        show(await perform(self.desk, parsed), parsed.json)
        return self._capsys.readouterr().out.splitlines()

    async def json(self, *arguments: str) -> dict[str, object]:
        (line,) = await self.text(*arguments, "--json")
        result: dict[str, object] = json.loads(line)
        return result

    async def items(self, *arguments: str) -> list[dict[str, object]]:
        items = (await self.json(*arguments))["items"]
        assert isinstance(items, list)
        return items

    async def refusal(self, *arguments: str) -> str:
        with pytest.raises(AccountError) as refused:
            await perform(self.desk, parse_arguments(["admin", *arguments]))
        return str(refused.value)

    async def user(self, name: str, *arguments: str) -> dict[str, object]:
        email = f"{name}@example.com"
        mail = () if "--email" in arguments else ("--email", email)
        return await self.json("create-user", "--username", name, "--password", PASSWORD, *mail, *arguments)

    async def room(self, owner: str, *arguments: str) -> UUID:
        made = await self.json("create-room", "--user", owner, "--title", "My room", *arguments)
        return UUID(str(made["roomId"]))

    async def go_live(self, room_id: UUID, viewers: int = 0) -> UUID:
        broadcast_id = new_id()
        await Broadcasts(self.database).open(broadcast_id, room_id, "node 1", datetime.now(UTC))
        await self.database.execute(
            "UPDATE room_live_state SET viewers = $2 WHERE room_id = $1", room_id, viewers
        )
        return broadcast_id

    async def audited(self) -> list[tuple[object, ...]]:
        """(action, actor, address), the oldest first."""
        rows = await self.database.fetch("SELECT action, actor_id, address FROM audit_log ORDER BY id")
        return [tuple(row) for row in rows]


def test_the_choices_are_those_of_the_api() -> None:
    assert [role.value for role in Role] == list(ROLES)
    assert [state.value for state in UserState] == list(ALL_STATES)
    assert [visibility.value for visibility in Visibility] == list(VISIBILITIES)
    assert [state.value for state in ReportState] == list(REPORT_STATES)
    assert (MAX_PAGE, DEFAULT_PAGE) == (schemas.MAX_PAGE, schemas.DEFAULT_PAGE)


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    passwords = Passwords()
    yield passwords
    passwords.close()


@pytest.fixture
def shell(database: Database, passwords: Passwords, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(Desk.of(Settings(), database, b"secret", passwords), capsys)


async def test_a_user_is_made_as_the_api_makes_one(shell: Shell, passwords: Passwords) -> None:
    made = await shell.user("alice", "--email", "alice@EXAMPLE.com", "--role", "moderator")
    assert (made["username"], made["email"], made["role"]) == ("alice", "alice@example.com", "moderator")
    stored = await Users(shell.database).password_hash(UUID(str(made["userId"])))
    assert await passwords.is_correct(PASSWORD, stored)
    assert await shell.audited() == [("user.created", None, "command line")]


@pytest.mark.parametrize(
    ("name", "email", "password", "refusal"),
    [
        ("a'; --", "b@example.com", PASSWORD, """--username "a'; --": must be 3 to 30 letters"""),
        ("ALICE", "b@example.com", PASSWORD, "--username 'ALICE': The user name is taken."),
        ("bob", "ALICE@example.COM", PASSWORD, "--email 'ALICE@example.COM': There is an account"),
        ("bob", "b", PASSWORD, "--email 'b': is no e-mail address"),
        ("bob", "b@exa mple.com", PASSWORD, "--email 'b@exa mple.com': is no e-mail address"),
        ("bob", "b@example.com", "short", "--password: must have 8 to 100 characters"),
        ("bob", "b@example.com", "x" * 101, "--password: must have 8 to 100 characters"),
        ("bob", "b@example.com", "B@EXAMPLE.com", "--password: is the same as the name or the address"),
    ],
)
async def test_a_user_that_cannot_be(
    shell: Shell, name: str, email: str, password: str, refusal: str
) -> None:
    await shell.user("alice")
    arguments = ("--username", name, "--email", email, "--password", password)
    assert (await shell.refusal("create-user", *arguments)).startswith(refusal)
    assert len(await shell.audited()) == 1


async def test_roles_and_states_change_and_every_server_hears_of_it(shell: Shell) -> None:
    alice = await shell.user("alice")
    bus, heard = Bus(), asyncio.Queue[UserChanged]()
    bus.subscribe(UserChanged, heard.put_nowait)
    notifications = Notifications(shell.database, bus)
    listening = asyncio.create_task(notifications.run())
    async with asyncio.timeout(20):
        await notifications.listening.wait()
        assert (await shell.json("grant", "--user", "ALICE", "--role", "admin"))["role"] == "admin"
        assert await heard.get() == UserChanged(str(alice["userId"]))
        banned = await shell.json("set-state", "--user", "alice", "--state", "banned", "--reason", "spam")
        assert banned["state"] == "banned"
        assert await heard.get() == UserChanged(str(alice["userId"]))
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    newest, *_ = await shell.items("list-audit", "--action", "user.changed", "--subject-kind", "user")
    assert newest["details"] == {"state": ["active", "banned"], "reason": "spam"}
    assert (newest["actorId"], newest["address"]) == (None, "command line")


async def test_somebody_stays_superadmin(shell: Shell) -> None:
    await shell.user("alice", "--role", "superadmin")
    demote = ("set-role", "--user", "alice", "--role", "user")
    ban = ("set-state", "--user", "alice", "--state", "banned", "--reason", "x")
    for command in (demote, ban):
        assert await shell.refusal(*command) == "--user 'alice': Make somebody else superadmin first."
    await shell.user("bob", "--role", "admin")
    await shell.json("set-role", "--user", "bob", "--role", "superadmin", "--reason", "takes over")
    await shell.json(*demote)
    assert "superadmin first" in await shell.refusal("set-role", "--user", "bob", "--role", "admin")


async def test_of_two_who_remove_the_last_superadmins_one_fails(shell: Shell) -> None:
    for name in ("alice", "bob"):
        await shell.user(name, "--role", "superadmin")
    arguments = [
        parse_arguments(["admin", "set-role", "--user", name, "--role", "user"]) for name in ("alice", "bob")
    ]
    done = await asyncio.gather(*(perform(shell.desk, each) for each in arguments), return_exceptions=True)
    assert sorted(type(each).__name__ for each in done) == ["AccountError", "Record"]


async def test_a_user_that_cannot_be_changed(shell: Shell) -> None:
    made = await shell.user("alice")
    change = ("set-state", "--state", "banned", "--user")
    assert await shell.refusal(*change, "bob", "--reason", "x") == "--user 'bob': There is no such user."
    for reason in ("", " ", "x" * 501, "a\nb"):
        refusal = await shell.refusal(*change, "alice", "--reason", reason)
        assert refusal.startswith(f"--reason {reason!r}: ")
    await shell.database.execute(
        "UPDATE users SET state = 'deleted' WHERE id = $1", UUID(str(made["userId"]))
    )
    assert (
        await shell.refusal(*change, "alice", "--reason", "x") == "--user 'alice': This account is deleted."
    )


async def test_users_are_listed_in_pages(shell: Shell) -> None:
    for name in ("alice", "albert", "bob"):
        await shell.user(name)
    await shell.json("set-state", "--user", "bob", "--state", "suspended", "--reason", "x")
    assert [each["username"] for each in await shell.items("list-users", "--text", "AL")] == [
        "albert",
        "alice",
    ]
    assert [each["username"] for each in await shell.items("list-users", "--state", "suspended")] == ["bob"]
    assert await shell.items("list-users", "--role", "admin") == []
    page = await shell.json("list-users", "--limit", "2")
    rest = await shell.json("list-users", "--limit", "2", "--cursor", str(page["nextCursor"]))
    assert isinstance(rest["items"], list) and rest["nextCursor"] is None
    assert [each["username"] for each in rest["items"]] == ["alice"]
    refusal = await shell.refusal("list-users", "--cursor", "ä")
    assert refusal == "--cursor 'ä': is none that this list gave out"
    assert (await shell.refusal("list-users", "--text", "a\tb")).startswith("--text 'a\\tb': ")
    header, first, *_, more = await shell.text("list-users", "--limit", "2")
    assert header.split() == ["userId", "username", "email", "role", "state", "createdAt"]
    assert first.split()[1:5] == ["bob", "bob@example.com", "user", "suspended"]
    assert more.startswith("more with --cursor ")


async def test_rooms_and_keys(shell: Shell) -> None:
    await shell.user("alice")
    room_id = await shell.room("alice", "--slug", "my-room", "--visibility", "private")
    keys = {
        str((await shell.json("rotate-key", "--room", reference))["streamKey"])
        for reference in ("my-room", str(room_id))
    }
    assert len(keys) == 2
    assert (await shell.audited())[1:] == [
        ("room.created", None, "command line"),
        *[("room.stream_key_rotated", None, "command line")] * 2,
    ]


async def test_a_room_that_cannot_be(shell: Shell) -> None:
    await shell.user("alice")
    await shell.room("alice", "--slug", "my-room")
    room = ("create-room", "--user", "alice", "--title")
    assert (
        await shell.refusal(*room, "x", "--slug", "my-room")
        == "--slug 'my-room': Another room has this slug."
    )
    for slug in ("../x", "ä", "recommended", "", "A"):
        assert (await shell.refusal(*room, "x", "--slug", slug)).startswith(f"--slug {slug!r}: ")
    for title in ("", "x" * 101, "a\x07"):
        assert (await shell.refusal(*room, title)).startswith(f"--title {title!r}: ")
    nobodys = await shell.refusal("create-room", "--user", "bob", "--title", "x")
    assert nobodys == "--user 'bob': There is no such user."
    for reference in ("other", "../my-room", str(new_id()), ""):
        for command in ("rotate-key", "kick"):
            assert "There is no such room." in await shell.refusal(command, "--room", reference)
    assert len(await shell.audited()) == 2


async def test_streams_are_listed_and_kicked_on_whichever_node(shell: Shell) -> None:
    await shell.user("alice")
    quiet, loud = await shell.room("alice", "--slug", "quiet"), await shell.room("alice")
    await shell.go_live(quiet, 1)
    await shell.go_live(loud, 7)
    listed = await shell.items("list-streams")
    assert [(each["roomId"], each["viewerCount"], each["node"]) for each in listed] == [
        (str(loud), 7, "node 1"),
        (str(quiet), 1, "node 1"),
    ]
    bus, heard = Bus(), asyncio.Queue[StreamKeyRotated]()
    bus.subscribe(StreamKeyRotated, heard.put_nowait)
    notifications = Notifications(shell.database, bus)
    listening = asyncio.create_task(notifications.run())
    async with asyncio.timeout(20):
        await notifications.listening.wait()
        kicked = await shell.json("kick", "--room", "quiet")
        assert await heard.get() == StreamKeyRotated(str(quiet))
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert (kicked["roomId"], kicked["username"]) == (str(quiet), "alice")
    (still_live,) = await shell.items("list-streams")
    assert still_live["roomId"] == str(loud)
    assert await shell.refusal("kick", "--room", "quiet") == "--room 'quiet': There is no such stream."
    reason = await shell.database.fetch_value("SELECT end_reason FROM broadcasts WHERE room_id = $1", quiet)
    assert reason == "ended by administrator"
    assert (await shell.audited())[-1] == ("stream.kick", None, "command line")


@pytest.mark.slow
async def test_a_kick_reaches_the_running_server(tmp_path: Path) -> None:
    """A server, an encoder and a shell, each a process of its own: slow, but all of it is real."""
    with ServerProcess(tmp_path / "data") as server:
        room, key = await asyncio.to_thread(server.create_room, "On air")
        async with Camera.publishing(f"{server.rtmp_url}/{key}") as camera:
            await asyncio.to_thread(server.wait_live, room)
            async with asyncio.timeout(20):
                while not (await asyncio.to_thread(server.admin, "list-streams"))["items"]:
                    pass
            await asyncio.to_thread(server.admin, "kick", "--room", room)
            await asyncio.to_thread(server.wait_not_live, room)
            await eventually(lambda: is_dropped(camera))
        listed = await asyncio.to_thread(server.admin, "list-streams")
        assert listed == {"items": [], "nextCursor": None}


def is_dropped(camera: Camera) -> bool:
    try:
        camera.send_headers()
    except RtmpError:
        return True
    return False


async def test_reports_are_settled_and_who_reported_is_told(shell: Shell) -> None:
    alice, bob = [UUID(str((await shell.user(name))["userId"])) for name in ("alice", "bob")]
    report_id = await Reports(shell.database).add(alice, SubjectKind.USER, bob, "spam", "He sells\nwatches")
    (waiting,) = await shell.items("list-reports")
    assert (waiting["reportId"], waiting["reporterName"]) == (str(report_id), "alice")
    assert (await shell.text("list-reports"))[1].endswith("He sells watches")

    resolve = ("resolve-report", "--report", str(report_id), "--resolution", "actioned")
    assert (await shell.refusal(*resolve, "--note", "a\x07")).startswith("--note 'a\\x07': ")
    settled = await shell.json(*resolve, "--note", "banned")
    assert (settled["state"], settled["note"], settled["resolvedBy"]) == ("actioned", "banned", None)
    assert "settled this report already" in await shell.refusal(*resolve)
    assert await shell.items("list-reports") == []
    assert [each["note"] for each in await shell.items("list-reports", "--state", "actioned")] == ["banned"]
    missing = new_id()
    unknown = await shell.refusal("resolve-report", "--report", str(missing), "--resolution", "dismissed")
    assert unknown == f"--report '{missing}': There is no such report."
    assert await shell.database.fetch_value("SELECT kind FROM notifications") == "report_resolved"
    assert (await shell.audited())[-1] == ("report.resolved", None, "command line")


async def test_categories_are_kept(shell: Shell) -> None:
    for slug in ("chess", "art"):
        await shell.json("create-category", "--slug", slug, "--name", slug.title())
    renamed = await shell.json("rename-category", "--category", "chess", "--name", "Schach")
    assert (renamed["slug"], renamed["name"]) == ("chess", "Schach")
    await shell.json("rename-category", "--category", "chess", "--slug", "schach")
    listed = await shell.items("list-categories")
    assert [(each["slug"], each["name"], each["liveRooms"]) for each in listed] == [
        ("art", "Art", 0),
        ("schach", "Schach", 0),
    ]
    await shell.json("delete-category", "--category", "art")
    assert await shell.text("list-categories") == [
        "slug    name    liveRooms  viewerCount",
        "schach  Schach  0          0",
    ]
    verbs = ("add", "add", "change", "change", "delete")
    assert await shell.audited() == [(f"category.{verb}", None, "command line") for verb in verbs]


async def test_a_category_that_cannot_be(shell: Shell) -> None:
    await shell.json("create-category", "--slug", "art", "--name", "Art")
    await shell.json("create-category", "--slug", "chess", "--name", "Chess")
    taken = "--slug 'art': Another category has this slug."
    assert await shell.refusal("create-category", "--slug", "art", "--name", "x") == taken
    assert await shell.refusal("rename-category", "--category", "chess", "--slug", "art") == taken
    assert (await shell.refusal("create-category", "--slug", "A B", "--name", "x")).startswith(
        "--slug 'A B': "
    )
    assert (await shell.refusal("create-category", "--slug", "x", "--name", "")).startswith("--name '': ")
    assert "--name or --slug" in await shell.refusal("rename-category", "--category", "chess")
    unknown = "--category 'music': There is no such category."
    assert await shell.refusal("delete-category", "--category", "music") == unknown
    assert await shell.refusal("rename-category", "--category", "music", "--name", "x") == unknown


async def test_the_audit_log_is_filtered_and_paged(shell: Shell) -> None:
    made = await shell.user("alice")
    await shell.json("set-role", "--user", "alice", "--role", "admin")
    await shell.room("alice")
    assert [each["action"] for each in await shell.items("list-audit")] == [
        "room.created",
        "user.changed",
        "user.created",
    ]
    subject = ("--subject-kind", "user", "--subject-id", str(made["userId"]))
    page = await shell.json("list-audit", *subject, "--limit", "1")
    rest = await shell.json("list-audit", *subject, "--limit", "1", "--cursor", str(page["nextCursor"]))
    assert isinstance(rest["items"], list) and rest["nextCursor"] is None
    assert [each["action"] for each in rest["items"]] == ["user.created"]
    assert await shell.items("list-audit", "--actor", "alice") == []
    assert await shell.refusal("list-audit", "--actor", "bob") == "--actor 'bob': There is no such user."
    _, line, *_ = await shell.text("list-audit", "--action", "user.changed")
    assert '"reason": "none given"' in line and "command line" in line


async def test_the_ledger_is_proved_from_its_history(shell: Shell) -> None:
    found = await shell.json("reconcile")
    assert (found["transfers"], found["differenceCount"], found["differences"]) == (0, 0, [])
    await shell.database.execute(
        """INSERT INTO ledger_transfers (id, kind, scope, key, fingerprint)
           VALUES (gen_random_uuid(), 'bonus', 'x', 'x', '')"""
    )
    found = await shell.json("reconcile")
    assert (found["transfers"], found["differenceCount"]) == (1, 1)
    result = await perform(shell.desk, parse_arguments(["admin", "reconcile"]))
    assert not result.is_good
