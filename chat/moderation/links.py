"""Whether a text holds an address of the web, also one that is written so that machines do not see it.

What is one is a matter of judgement: ``example.com`` is, ``main.py`` and ``ok.then`` are not. Names of the
less common top-level domains count only with a scheme, ``www.`` or a path.
"""

# ruff: noqa: RUF001 (there are Cyrillic top-level domains)

import re
from typing import Final

from chat.moderation.text import plain

_GENERIC: Final = """
    com net org info biz xyz top site online store shop club live app dev link click stream tv gg cc ly to
    tech space website fun icu vip pro game games casino bet chat blog news page art world today zone wiki
    edu gov int mil mobi name cloud social media video wtf lol porn sex xxx adult cam
"""
_COUNTRIES: Final = """
    ac ad ae ag ai ar at au az ba bd be bg bo br by bz ca cat ch ci cl cn co cr cu cx cy cz de dk do dz ec ee
    eg es eu fi fm fr ge gr gt gy hk hn hr hu id ie il im in io iq ir is it jo jp ke kg kr kw kz la lb li lk
    lt lu lv ma mc me mk mn ms mt mx my ng ni nl no nu nz pa pe ph pk pl pr pt pw py qa ro ru sa se sg si sk
    st su sv sx th tk tn tr tt tw ua ug uk us uy uz ve vn ws za рф укр бел срб 中国 香港 台湾 한국
"""
_ALSO_FILE_ENDINGS: Final = frozenset(("py", "ps", "pl", "rs", "md", "sh", "so", "cc", "mk"))
"""Also endings of the names of files or ordinary words, so the bare name is not enough."""

_ENDINGS: Final = tuple(sorted(set((_GENERIC + _COUNTRIES).split()) - _ALSO_FILE_ENDINGS))
_SPACED_ENDINGS: Final = ("com", "org", "gg", "tv", "xyz", "ru", "info", "io")
"""Written with space or words around the dot only these count: otherwise too much prose would."""

# Dots that NFKC leaves as they are.
_DOTS: Final = str.maketrans(dict.fromkeys("\u3002\uff61\u06d4\u0701\u0702\u2e33\ua4f8\ua60e", "."))

# Of what stands before the dot only the last character is looked at: more would cost more than it tells.
_NAME: Final = r"[^\W_]"
_END: Final = r"(?![\w-]|\.[^\W_])"
_NEW_SENTENCE: Final = r"(?-i:It|Is|No|To|In|Me|Be|At|By|My|Us|Do|Am|As|He|We)\b"
"""Where the blank after a full stop was forgotten."""
_PATTERNS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(?:https?|hxxps?|ftp|rtmps?|wss?|magnet|tg|discord)\s{0,2}:\s{0,2}(?://|\?)\s{0,2}\S",
        rf"\bwww\d?\.{_NAME}",
        rf"{_NAME}\.(?!{_NEW_SENTENCE})(?:{'|'.join(_ENDINGS)}|xn--[a-z0-9-]{{1,59}}){_END}",
        rf"{_NAME}\.[^\W\d_]{{2,18}}(?::\d{{1,5}})?/\S",
        r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5}|/\S)",
        rf"[(\[{{<]\s{{0,3}}(?:dot|\.)\s{{0,3}}[)\]}}>]\s{{0,3}}(?:{'|'.join(_ENDINGS)}){_END}",
        rf"[^\W_]{{2}}(?:\s{{1,3}}\.\s{{0,3}}|\.\s{{1,3}}|\s{{1,3}}dot\s{{1,3}})(?:{'|'.join(_SPACED_ENDINGS)}){_END}",
    )
)


def has_link(text: str) -> bool:
    """``text`` as ``clean`` gives it."""
    readable = plain(text).translate(_DOTS)
    return any(pattern.search(readable) for pattern in _PATTERNS)
