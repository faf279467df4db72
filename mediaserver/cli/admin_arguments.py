"""What can be typed after ``mediaserver admin``. Names of options are those of the API's fields.

The choices are spelt out here, so that ``--help`` and a mistyped command need no heavy module.
"""

import argparse
from typing import Final, Protocol
from uuid import UUID

ROLES: Final = ("user", "moderator", "admin", "superadmin")
STATES: Final = ("active", "suspended", "banned")
ALL_STATES: Final = (*STATES, "deleted")
VISIBILITIES: Final = ("public", "unlisted", "followers", "subscribers", "private")
REPORT_STATES: Final = ("open", "actioned", "dismissed")
DEFAULT_REASON: Final = "none given"
MAX_PAGE: Final = 100
DEFAULT_PAGE: Final = 20


class Adding(Protocol):
    def __call__(self, name: str, help_text: str, *aliases: str) -> argparse.ArgumentParser:
        """A parser for the command ``name``, with what all commands have."""


def add_admin_commands(add: Adding) -> None:
    """Every command of ``mediaserver admin``."""
    _add_users(add)
    _add_rooms(add)
    _add_reports(add)
    _add_categories(add)
    audit = add("list-audit", "Who did what, the newest first.")
    audit.add_argument("--actor", help="name of the user who did it")
    audit.add_argument("--action", help="such as user.changed")
    audit.add_argument("--subject-kind", help="such as user or room")
    audit.add_argument("--subject-id")
    _add_page(audit)
    add("reconcile", "Prove every balance of the ledger from its history; fails on any difference.")


def _add_users(add: Adding) -> None:
    create = add("create-user", "Make a user.")
    create.add_argument("--username", required=True)
    create.add_argument("--email", required=True)
    password = create.add_mutually_exclusive_group()
    password.add_argument(
        "--password", help="visible to other users of this machine; asked for when left out"
    )
    password.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input"
    )
    create.add_argument("--role", choices=ROLES, default="user")

    set_role = add("set-role", "Change the role of a user.", "grant")
    _add_user(set_role)
    set_role.add_argument("--role", choices=ROLES, required=True)
    set_role.add_argument("--reason", default=DEFAULT_REASON, help="for the audit log")

    set_state = add("set-state", "Suspend or ban a user, or make the account active again.")
    _add_user(set_state)
    set_state.add_argument("--state", choices=STATES, required=True)
    set_state.add_argument("--reason", required=True, help="for the audit log")

    listing = add("list-users", "Users, the newest first.")
    listing.add_argument("--text", help="how the name or the e-mail address begins")
    listing.add_argument("--state", choices=ALL_STATES)
    listing.add_argument("--role", choices=ROLES)
    _add_page(listing)


def _add_rooms(add: Adding) -> None:
    create = add("create-room", "Make a room and its stream key.")
    create.add_argument("--user", required=True, help="name of the owner")
    create.add_argument("--title", required=True)
    create.add_argument("--slug", help="name of the room in addresses, beside its id")
    create.add_argument("--visibility", choices=VISIBILITIES, default="public")

    _add_room(add("rotate-key", "Give a room a new stream key; the old one stops working at once."))
    _add_page(add("list-streams", "What runs now on all nodes, the most watched first."))
    kick_help = (
        "End the broadcast of a room, on whichever node it runs. The encoder may come back; "
        "rotate-key and set-state keep it away."
    )
    _add_room(add("kick", kick_help))


def _add_reports(add: Adding) -> None:
    listing = add("list-reports", "What users reported, the oldest first.")
    listing.add_argument("--state", choices=REPORT_STATES, default="open")
    _add_page(listing)

    resolve = add("resolve-report", "Settle a report; who reported is told.")
    resolve.add_argument("--report", type=_id, required=True, metavar="ID")
    resolve.add_argument("--resolution", choices=REPORT_STATES[1:], required=True)
    resolve.add_argument("--note", default="", help="for other moderators")


def _add_categories(add: Adding) -> None:
    _add_page(add("list-categories", "Categories, by slug, and what is live in them."))
    create = add("create-category", "Make a category.")
    create.add_argument("--slug", required=True)
    create.add_argument("--name", required=True)

    rename = add("rename-category", "Change the name or the slug of a category; its rooms stay in it.")
    rename.add_argument("--category", required=True, metavar="SLUG")
    rename.add_argument("--slug", help="the new one")
    rename.add_argument("--name", help="the new one")

    delete = add("delete-category", "Delete a category; its rooms stay, without one.")
    delete.add_argument("--category", required=True, metavar="SLUG")


def _add_user(command: argparse.ArgumentParser) -> None:
    command.add_argument("--user", required=True, help="name of the user")


def _add_room(command: argparse.ArgumentParser) -> None:
    command.add_argument("--room", required=True, help="id or slug")


def _add_page(command: argparse.ArgumentParser) -> None:
    command.add_argument("--limit", type=_page_size, default=DEFAULT_PAGE, help=f"1 to {MAX_PAGE}")
    command.add_argument("--cursor", help="where the page before ended")


def _page_size(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:9]) <= MAX_PAGE:
        raise argparse.ArgumentTypeError(f"must be 1 to {MAX_PAGE}")
    return int(text)


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no id") from None
