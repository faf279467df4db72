"""What stands for a room in an address: its id or its slug, and nothing else gets past here."""

import re
from typing import Final
from uuid import UUID

_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def parse_room_ref(text: str) -> UUID | str | None:
    """The room id or slug that ``text`` is, or None for anything that can be neither. Case does not count."""
    lowered = text[:64].lower()
    if _ID.fullmatch(lowered):
        return UUID(lowered)
    return lowered if _SLUG.fullmatch(lowered) else None
