"""Whether a text is made of emoji and ``:shortcodes:`` only."""

import re
from typing import Final

_PICTURES: Final = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u25fe\u2600-\u27bf\u2934\u2935"
    "\u2b05-\u2b55\u3030\u303d\u3297\u3299\U0001f000-\U0001f1e5\U0001f200-\U0001faff"
)
_MODIFIERS: Final = "\ufe0e\ufe0f\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f"
# Tones of skin are pictures, too. So modifiers are taken all at once (``*+``): with many tones there would
# otherwise be more ways to read a text than can ever be tried.
_EMOTE: Final = (
    rf"(?:[{_PICTURES}][{_MODIFIERS}]*+|[\U0001f1e6-\U0001f1ff]{{2}}|[0-9#*]\ufe0f?\u20e3"
    r"|:[A-Za-z0-9_+-]{1,32}:)"
)
_ONE_EMOTE: Final = re.compile(rf"{_EMOTE}(?:\u200d{_EMOTE})*")
_EMOTES_ONLY: Final = re.compile(rf"(?:{_EMOTE}\u200d?\s*)+")


def is_emotes_only(text: str) -> bool:
    """``text`` as ``clean`` gives it."""
    return _EMOTES_ONLY.fullmatch(text) is not None


def is_reaction(text: str) -> bool:
    """Whether ``text`` is a single emoji or ``:shortcode:``."""
    return _ONE_EMOTE.fullmatch(text) is not None
