"""Text that people write for people: what may be in it.

Refused are control characters, halves of surrogate pairs, and the marks that turn the direction of writing,
with which a text can show something else than it says. Everything else is for the reader's font to solve.
"""

import unicodedata
from typing import Final

from control_api.errors import invalid

LINE_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""For the document; ``clean_line`` refuses a little more."""

_REFUSED: Final = frozenset(("Cc", "Cs", "Zl", "Zp"))
_DIRECTIONS: Final = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean_line(field: str, text: str, longest: int, shortest: int = 1) -> str:
    """``text`` in normal form, without space around it. Raises ApiError 400 that names ``field``."""
    return _clean(field, text, longest, shortest, "")


def clean_text(field: str, text: str, longest: int, shortest: int = 0) -> str:
    """The same for text of several lines; line ends become ``\\n``."""
    return _clean(field, text.replace("\r\n", "\n").replace("\r", "\n"), longest, shortest, "\n\t")


def _clean(field: str, text: str, longest: int, shortest: int, allowed: str) -> str:
    for character in text:
        is_refused = unicodedata.category(character) in _REFUSED or character in _DIRECTIONS
        if is_refused and character not in allowed:
            raise invalid(field, f"holds the character U+{ord(character):04X}, which is not allowed")
    cleaned = unicodedata.normalize("NFC", text).strip()
    if not shortest <= len(cleaned) <= longest:
        raise invalid(field, f"must have {shortest} to {longest} characters")
    return cleaned
