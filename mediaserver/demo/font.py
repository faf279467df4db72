"""A bitmap font of five by seven dots, just what the test pattern writes; PyAV brings no fonts."""

from typing import Final

GLYPH_COLUMNS: Final = 5
GLYPH_ROWS: Final = 7
ADVANCE: Final = GLYPH_COLUMNS + 1
"""Dots from one glyph to the next."""

_DRAWN: Final = {
    "0": ".###. #...# #..## #.#.# ##..# #...# .###.",
    "1": "..#.. .##.. ..#.. ..#.. ..#.. ..#.. .###.",
    "2": ".###. #...# ....# ...#. ..#.. .#... #####",
    "3": "##### ...#. ..#.. ...#. ....# #...# .###.",
    "4": "...#. ..##. .#.#. #..#. ##### ...#. ...#.",
    "5": "##### #.... ####. ....# ....# #...# .###.",
    "6": "..##. .#... #.... ####. #...# #...# .###.",
    "7": "##### ....# ...#. ..#.. .#... .#... .#...",
    "8": ".###. #...# #...# .###. #...# #...# .###.",
    "9": ".###. #...# #...# .#### ....# ...#. .##..",
    ":": "..... ..#.. ..#.. ..... ..#.. ..#.. .....",
    ".": "..... ..... ..... ..... ..... .##.. .##..",
    " ": "..... ..... ..... ..... ..... ..... .....",
    "A": ".###. #...# #...# ##### #...# #...# #...#",
    "C": ".###. #...# #.... #.... #.... #...# .###.",
    "E": "##### #.... #.... ####. #.... #.... #####",
    "F": "##### #.... #.... ####. #.... #.... #....",
    "P": "####. #...# #...# ####. #.... #.... #....",
    "R": "####. #...# #...# ####. #.#.. #..#. #...#",
    "S": ".#### #.... #.... .###. ....# ....# ####.",
    "T": "##### ..#.. ..#.. ..#.. ..#.. ..#.. ..#..",
    "U": "#...# #...# #...# #...# #...# #...# .###.",
    "N": "#...# ##..# #.#.# #..## #...# #...# #...#",
    "X": "#...# #...# .#.#. ..#.. .#.#. #...# #...#",
}
_GLYPHS: Final = {character: drawn.split() for character, drawn in _DRAWN.items()}


def text_width(text: str, dot: int) -> int:
    """Pixels that ``text`` takes when a dot is ``dot`` pixels wide."""
    return (len(text) * ADVANCE - 1) * dot


class Typeface:
    """Rows of luma to be copied into a picture: glyphs of ``ink`` on ``paper``, ``dot`` pixels a dot."""

    def __init__(self, dot: int, ink: int, paper: int) -> None:
        self.dot = dot
        on, off = bytes((ink,)) * dot, bytes((paper,)) * dot
        self._gap = off
        self._rows = {
            character: [b"".join(on if mark == "#" else off for mark in row) for row in rows]
            for character, rows in _GLYPHS.items()
        }

    def rows(self, text: str) -> list[bytes]:
        """The rows of dots, each to be drawn ``dot`` times. Raises KeyError for a glyph not in the font."""
        glyphs = [self._rows[character] for character in text]
        return [self._gap.join(glyph[row] for glyph in glyphs) for row in range(GLYPH_ROWS)]
