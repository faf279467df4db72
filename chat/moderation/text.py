"""Messages as they are stored, and folded forms of them in which tricks of writing disappear.

``clean`` gives what is stored and shown. ``fold`` and ``skeletons`` give forms for comparison only: two texts
that look alike to a reader are to have the same form, however they are encoded.
"""

import unicodedata
from collections.abc import Callable
from typing import Final

from chat.errors import Refusal
from chat.moderation.confusables import LEET_DIGITS, LEET_SYMBOLS, LOOK_ALIKES

MAX_CHARACTERS: Final = 500
# The normal form has at most four times fewer characters. Normalising takes quadratic time on some texts.
_MAX_RAW_CHARACTERS: Final = 4 * MAX_CHARACTERS

_MAX_EXPANSION: Final = 3

_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_BREAKS: Final = frozenset("\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029")
_FILLERS: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks that show nothing."""


class _Table(dict[int, str]):
    """For str.translate: asks ``change`` once for each character, and remembers the answer.

    It can grow to one entry for each character of Unicode, and no further.
    """

    def __init__(self, change: Callable[[str], str]) -> None:
        super().__init__()
        self._change = change

    def __missing__(self, code: int) -> str:
        changed = self[code] = self._change(chr(code))
        return changed


def _storable(character: str) -> str:
    if character in _BREAKS:
        return " "
    is_dropped = character in _BIDI or unicodedata.category(character) in ("Cc", "Cs")
    return "" if is_dropped else character


def _visible(character: str) -> str:
    is_blank = character in _FILLERS or unicodedata.category(character) in (
        "Cf",
        "Zs",
        "Zl",
        "Zp",
        "Cc",
        "Cs",
    )
    return "" if is_blank or _is_variation(character) else character


def _unmarked(character: str) -> str:
    """Without what only decorates other characters; vowel signs of Indian scripts stay."""
    is_dropped = (
        unicodedata.combining(character) != 0
        or character in _FILLERS
        or _is_variation(character)
        or unicodedata.category(character) in ("Cf", "Me", "Cc", "Cs")
    )
    return "" if is_dropped else character


def _plain(character: str) -> str:
    is_dropped = character in _FILLERS or unicodedata.category(character) in ("Cf", "Cc", "Cs")
    if is_dropped or _is_variation(character):
        return ""
    common = unicodedata.normalize("NFKC", character)
    # A few characters stand for whole sentences; a text must not grow by them.
    return common if len(common) <= _MAX_EXPANSION else character


def _is_variation(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def _word_part(character: str) -> str:
    is_part = unicodedata.category(character)[0] in "LNM"
    return character if is_part else " "


_STORABLE: Final = _Table(_storable)
_VISIBLE: Final = _Table(_visible)
_UNMARKED: Final = _Table(_unmarked)
_PLAIN: Final = _Table(_plain)
_WORD_PARTS: Final = _Table(_word_part)


def clean(text: str) -> str:
    """``text`` as it is stored. Raises Refusal ``message_empty`` or ``message_too_long``.

    Line breaks become spaces; control characters, lone surrogates and the marks that turn the direction of
    writing are left out; the rest is in normal form C.
    """
    kept = text.translate(_STORABLE).strip()
    if len(kept) <= _MAX_RAW_CHARACTERS:
        kept = unicodedata.normalize("NFC", kept).strip()
    if len(kept) > MAX_CHARACTERS:
        raise Refusal("message_too_long", f"A message may have up to {MAX_CHARACTERS} characters.")
    if not kept.translate(_VISIBLE):
        raise Refusal("message_empty", "The message is empty.")
    return kept


def plain(text: str) -> str:
    """``text`` with common letters for their variants, without invisible characters: what patterns see."""
    return unicodedata.normalize("NFC", text.translate(_PLAIN))


def fold(text: str) -> str:
    """``text`` without case, marks and invisible characters, look-alike letters as ASCII ones.

    Space is one blank between words. Folding twice changes nothing more.
    """
    # Unicode's compatibility caseless matching, definition 146.
    folded = _decomposed(_decomposed(text).casefold()).casefold()
    folded = _decomposed(folded).translate(_UNMARKED).translate(LOOK_ALIKES)
    return " ".join(folded.split())


def _decomposed(text: str) -> str:
    return unicodedata.normalize("NFKD", text)


def fingerprint_form(text: str) -> str:
    """What is compared to find repeated messages; never empty for a text that is not."""
    return fold(text) or text


def skeletons(folded: str) -> tuple[str, ...]:
    """The words of a folded text with a blank before, between and after them, read in two ways.

    Digits in a word with letters stand for letters. Symbols such as ``$`` do so in the second reading.
    """
    first = _words(folded)
    translated = " ".join(_symbols_as_letters(chunk) for chunk in folded.split())
    return (first,) if translated == folded else (first, _words(translated))


def _symbols_as_letters(chunk: str) -> str:
    """A price stays a price."""
    return chunk.translate(LEET_SYMBOLS) if any(map(str.isalpha, chunk)) else chunk


def _words(folded: str) -> str:
    words = folded.translate(_WORD_PARTS).split()
    if not words:
        return ""
    return f" {' '.join(_without_leet(word) for word in words)} "


def _without_leet(word: str) -> str:
    """A number stays a number: 455 is no insult."""
    # One shape for i and l, since 1 stands for both.
    if word.isdecimal():
        return word
    return word.translate(LEET_DIGITS)
