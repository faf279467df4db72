"""Letters that look like others, and digits and symbols that are written for letters.

A small choice from Unicode's confusables.txt: what people can type, after case and marks were removed.
Everything maps to small ASCII letters, and nothing maps to something that is mapped itself.
"""

# ruff: noqa: RUF001 (ambiguous characters are what this is about)

from collections.abc import Mapping
from typing import Final

_LOOK_ALIKES: Final = {
    # Cyrillic, Greek, Armenian, Latin beyond ASCII, small capitals, Cherokee.
    "a": "аαɑᴀ",
    "b": "вβʙƀɓ",
    "c": "сϲᴄ",
    "d": "ԁɗđᴅժ",
    "e": "еεєɛᴇ",
    "f": "ƒғꜰ",
    "g": "ɡցɢǥ",
    "h": "һнհħʜ",
    "i": "іιıɪɩ",
    "j": "јʝյᴊ",
    "k": "кκᴋƙ",
    "l": "ӏłʟǀƚ",
    "m": "мᴍɱ",
    "n": "ηղɴŋ",
    "o": "оοσօøᴏ",
    "p": "рρᴘƿ",
    "q": "ԛզ",
    "r": "ʀɾ",
    "s": "ѕꜱʂ",
    "t": "тτᴛŧ",
    "u": "υսᴜʊ",
    "v": "νѵᴠ",
    "w": "ԝωᴡ",
    "x": "хχ",
    "y": "уγүყʏ",
    "z": "ᴢʐƶ",
}

LOOK_ALIKES: Final[Mapping[int, str]] = {
    ord(other): letter for letter, others in _LOOK_ALIKES.items() for other in others
}

LEET_DIGITS: Final[Mapping[int, int]] = str.maketrans("0134578il", "olea" + "stb" + "ll")
"""Also i becomes l, as 1 is written for both."""

LEET_SYMBOLS: Final[Mapping[int, int]] = str.maketrans("$@!|€", "salle")
