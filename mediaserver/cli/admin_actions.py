"""One function per command of ``mediaserver admin``: arguments in, what to print out. Raises ApiError."""

from argparse import Namespace
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

from control_api.errors import invalid
from control_api.pagination import Page, id_in, page_of
from control_api.room_schemas import NewRoom
from control_api.services.admin_users import OPERATOR, NewUser, UserChange
from control_api.services.rooms import RoomKey
from mediaserver.accounts import COMMAND_LINE
from mediaserver.cli.admin_desk import Desk
from mediaserver.cli.output import Listing, Record, Result, Row
from storage.reconciliation import reconcile
from storage.repositories import Role, User, UserState, Visibility
from storage.repositories.audit import AuditEntry, AuditFilter
from storage.repositories.broadcasts import LiveBroadcast
from storage.repositories.categories import Category, CategoryActivity
from storage.repositories.reports import Report, ReportState
from storage.repositories.users import Profile, UserFilter

T = TypeVar("T")

_USER_LABELS: Final = {"userId": "user id", "username": "name", "role": "role", "state": "state"}
_KEY_LABELS: Final = {
    "roomId": "room id",
    "streamKey": "stream key",
    "rtmpUrl": "publish to",
    "watchUrl": "watch page",
}
_CATEGORY_LABELS: Final = {"categoryId": "category id", "slug": "slug", "name": "name"}
_LEDGER_LABELS: Final = {
    "accounts": "accounts",
    "transfers": "transfers",
    "entries": "entries",
    "differenceCount": "differences",
    "first": "the first of them",
}
_USER_COLUMNS: Final = ("userId", "username", "email", "role", "state", "createdAt")
_STREAM_COLUMNS: Final = ("roomId", "title", "username", "viewerCount", "startedAt", "node")
_REPORT_COLUMNS: Final = (
    "reportId",
    "createdAt",
    "reporterName",
    "subjectKind",
    "subjectId",
    "reason",
    "text",
)
_CATEGORY_COLUMNS: Final = ("slug", "name", "liveRooms", "viewerCount")
_AUDIT_COLUMNS: Final = ("at", "actorName", "action", "subjectKind", "subjectId", "address", "details")


async def create_user(desk: Desk, arguments: Namespace) -> Result:
    new = NewUser(arguments.username, arguments.email, arguments.password, Role(arguments.role))
    return Record(_user(await desk.accounts.create_user(new)), _USER_LABELS)


async def set_role(desk: Desk, arguments: Namespace) -> Result:
    return await _change_user(desk, arguments, UserChange(arguments.reason, role=Role(arguments.role)))


async def set_state(desk: Desk, arguments: Namespace) -> Result:
    change = UserChange(arguments.reason, state=UserState(arguments.state))
    return await _change_user(desk, arguments, change)


async def list_users(desk: Desk, arguments: Namespace) -> Result:
    wanted = UserFilter(
        UserState(arguments.state) if arguments.state else None,
        Role(arguments.role) if arguments.role else None,
        arguments.text,
    )
    page = await desk.users.list(wanted, arguments.cursor, arguments.limit)
    return _listing(page, _profile, _USER_COLUMNS)


async def create_room(desk: Desk, arguments: Namespace) -> Result:
    owner = await desk.user(arguments.user)
    visibility = Visibility(arguments.visibility)
    new = NewRoom(title=arguments.title, slug=arguments.slug, visibility=visibility)
    return _room_key(desk, await desk.accounts.create_room(owner, new))


async def rotate_key(desk: Desk, arguments: Namespace) -> Result:
    room = await desk.room(arguments.room)
    return _room_key(desk, await desk.rooms.rotate_key(OPERATOR, room.id, COMMAND_LINE))


async def list_streams(desk: Desk, arguments: Namespace) -> Result:
    page = await desk.streams.running(arguments.cursor, arguments.limit)
    return _listing(page, _stream, _STREAM_COLUMNS)


async def kick(desk: Desk, arguments: Namespace) -> Result:
    room = await desk.room(arguments.room)
    await desk.streams.kick(OPERATOR, room.id, COMMAND_LINE)
    values = {"roomId": str(room.id), "title": room.settings.title, "username": room.owner.username}
    return Record(values, {"roomId": "room id", "title": "title", "username": "owner"})


async def list_reports(desk: Desk, arguments: Namespace) -> Result:
    state = ReportState(arguments.state)
    page = await desk.reports.queue(state, arguments.cursor, arguments.limit)
    return _listing(page, _report, _REPORT_COLUMNS)


async def resolve_report(desk: Desk, arguments: Namespace) -> Result:
    state = ReportState(arguments.resolution)
    report = await desk.reports.resolve(None, arguments.report, state, arguments.note, COMMAND_LINE)
    return Record(_report(report), {"reportId": "report id", "state": "state", "note": "note"})


async def list_categories(desk: Desk, arguments: Namespace) -> Result:
    page = await desk.categories.page(arguments.cursor, arguments.limit)
    return _listing(page, _activity, _CATEGORY_COLUMNS)


async def create_category(desk: Desk, arguments: Namespace) -> Result:
    made = await desk.categories.add(OPERATOR, COMMAND_LINE, arguments.slug, arguments.name)
    return Record(_category(made), _CATEGORY_LABELS)


async def rename_category(desk: Desk, arguments: Namespace) -> Result:
    if arguments.slug is None and arguments.name is None:
        raise invalid("category", "give the new --name or --slug")
    category = await desk.category(arguments.category)
    changed = await desk.categories.change(
        OPERATOR, COMMAND_LINE, category.id, arguments.slug, arguments.name
    )
    return Record(_category(changed), _CATEGORY_LABELS)


async def delete_category(desk: Desk, arguments: Namespace) -> Result:
    category = await desk.category(arguments.category)
    await desk.categories.delete(OPERATOR, COMMAND_LINE, category.id)
    return Record(_category(category), _CATEGORY_LABELS)


async def list_audit(desk: Desk, arguments: Namespace) -> Result:
    actor = await desk.user(arguments.actor) if arguments.actor is not None else None
    wanted = AuditFilter(
        actor.id if actor else None, arguments.action, arguments.subject_kind, arguments.subject_id
    )
    found = await desk.audit.list(wanted, id_in(arguments.cursor), arguments.limit + 1)
    return _listing(page_of(found, arguments.limit, lambda entry: (entry.id,)), _entry, _AUDIT_COLUMNS)


async def reconcile_ledger(desk: Desk, _: Namespace) -> Result:
    found = await reconcile(desk.database)
    differences = [
        f"{each.what}: {each.subject}, {each.expected} expected, {each.found} found"
        for each in found.differences
    ]
    values = {
        "accounts": found.accounts,
        "transfers": found.transfers,
        "entries": found.entries,
        "differences": differences,
        "differenceCount": len(differences),
        "first": differences[0] if differences else None,
    }
    return Record(values, _LEDGER_LABELS, is_good=not differences)


ACTIONS: Final[Mapping[str, Callable[[Desk, Namespace], Awaitable[Result]]]] = {
    "create-user": create_user,
    "set-role": set_role,
    "grant": set_role,
    "set-state": set_state,
    "list-users": list_users,
    "create-room": create_room,
    "rotate-key": rotate_key,
    "list-streams": list_streams,
    "kick": kick,
    "list-reports": list_reports,
    "resolve-report": resolve_report,
    "list-categories": list_categories,
    "create-category": create_category,
    "rename-category": rename_category,
    "delete-category": delete_category,
    "list-audit": list_audit,
    "reconcile": reconcile_ledger,
}


def _listing(page: Page[T], view: Callable[[T], Row], columns: Sequence[str]) -> Result:
    return Listing([view(each) for each in page.items], columns, page.next_cursor)


async def _change_user(desk: Desk, arguments: Namespace, change: UserChange) -> Result:
    user = await desk.user(arguments.user)
    profile = await desk.users.change(OPERATOR, user.id, change, COMMAND_LINE)
    return Record(_user(profile.user), _USER_LABELS)


def _room_key(desk: Desk, made: RoomKey) -> Result:
    room_id, slug, addresses = str(made.room.id), made.room.settings.slug, desk.addresses
    values = {
        "roomId": room_id,
        "slug": slug,
        "streamKey": made.stream_key,
        "rtmpUrl": addresses.publish(made.stream_key),
        "watchUrl": addresses.watch(slug or room_id),
        "flvUrl": addresses.flv(room_id),
        "hlsUrl": addresses.hls(room_id),
    }
    return Record(values, _KEY_LABELS)


def _user(user: User) -> Row:
    return {
        "userId": str(user.id),
        "username": user.username,
        "email": user.email,
        "role": user.role.value,
        "state": user.state.value,
        "createdAt": user.created_at.isoformat(),
    }


def _profile(profile: Profile) -> Row:
    return {
        **_user(profile.user),
        "displayName": profile.user.display_name,
        "verified": profile.is_verified,
        "isCreator": profile.is_creator,
        "followers": profile.followers,
        "following": profile.following,
    }


def _stream(stream: LiveBroadcast) -> Row:
    return {
        "roomId": str(stream.room_id),
        "broadcastId": str(stream.broadcast_id),
        "title": stream.title,
        "username": stream.username,
        "viewerCount": stream.viewers,
        "peakViewers": stream.peak_viewers,
        "startedAt": stream.started_at.isoformat(),
        "node": stream.node,
    }


def _report(report: Report) -> Row:
    return {
        "reportId": str(report.id),
        "reporterId": str(report.reporter_id),
        "reporterName": report.reporter_name,
        "subjectKind": report.subject_kind.value,
        "subjectId": str(report.subject_id),
        "reason": report.reason,
        "text": report.text,
        "state": report.state.value,
        "createdAt": report.created_at.isoformat(),
        "resolvedBy": str(report.resolved_by) if report.resolved_by else None,
        "resolvedAt": report.resolved_at.isoformat() if report.resolved_at else None,
        "note": report.note,
    }


def _category(category: Category) -> Row:
    return {"categoryId": str(category.id), "slug": category.slug, "name": category.name}


def _activity(activity: CategoryActivity) -> Row:
    return {
        **_category(activity.category),
        "liveRooms": activity.live_rooms,
        "viewerCount": activity.viewers,
    }


def _entry(entry: AuditEntry) -> Row:
    return {
        "auditId": str(entry.id),
        "at": entry.at.isoformat(),
        "actorId": str(entry.actor_id) if entry.actor_id else None,
        "actorName": entry.actor_name,
        "action": entry.action,
        "subjectKind": entry.subject_kind,
        "subjectId": entry.subject_id,
        "address": entry.address,
        "details": entry.details,
    }
