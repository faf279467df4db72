"""H.264's profile-level-id (RFC 6184 8.1): which profile is meant, and which level an answer may say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

DEFAULT: Final = "42e01f"
"""What browsers mean when they say nothing: constrained baseline at level 3.1."""
LEVEL_1_B: Final = 9
"""Orders 1b between 1 and 1.1: it is written as 1.1 with a flag."""

_FORM: Final = re.compile(r"[0-9A-Fa-f]{6}")
_LEVELS: Final = frozenset((10, 11, 12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52))
_CONSTRAINT_SET_3: Final = 0x10


class Profile(Enum):
    """The profiles that decoders differ in."""

    CONSTRAINED_BASELINE = 1
    BASELINE = 2
    MAIN = 3
    CONSTRAINED_HIGH = 4
    HIGH = 5
    PREDICTIVE_HIGH_444 = 6


class ProfileLevel(NamedTuple):
    """A profile-level-id taken apart."""

    profile: Profile
    level: int


_PATTERNS: Final = (
    (0x42, 0x4F, 0x40, Profile.CONSTRAINED_BASELINE),
    (0x4D, 0x8F, 0x80, Profile.CONSTRAINED_BASELINE),
    (0x58, 0xCF, 0xC0, Profile.CONSTRAINED_BASELINE),
    (0x42, 0x4F, 0x00, Profile.BASELINE),
    (0x58, 0xCF, 0x80, Profile.BASELINE),
    (0x4D, 0xAF, 0x00, Profile.MAIN),
    (0x64, 0xFF, 0x00, Profile.HIGH),
    (0x64, 0xFF, 0x0C, Profile.CONSTRAINED_HIGH),
    (0xF4, 0xFF, 0x00, Profile.PREDICTIVE_HIGH_444),
)
"""profile_idc, the bits of profile_iop that count, and their values (RFC 6184 table 5)."""


def parse(text: str) -> ProfileLevel | None:
    """Return what `text` means, None if it means nothing."""
    if not _FORM.fullmatch(text):
        return None
    profile_idc, constraints, level = bytes.fromhex(text)
    if level not in _LEVELS:
        return None
    if level == 11 and constraints & _CONSTRAINT_SET_3 and profile_idc in (0x42, 0x4D, 0x58):
        level = LEVEL_1_B
    for pattern_idc, mask, value, profile in _PATTERNS:
        if profile_idc == pattern_idc and constraints & mask == value:
            return ProfileLevel(profile, level)
    return None


def of(parameters: Mapping[str, str | int]) -> ProfileLevel | None:
    """Return the profile and level that a codec's parameters name, or imply by naming none."""
    return parse(written(parameters) or DEFAULT)


def written(parameters: Mapping[str, str | int]) -> str | None:
    """Return the profile-level-id in lower case, None if there is none.

    An id of digits only arrives as a number from clients that turn such values into numbers.
    """
    value = parameters.get("profile-level-id")
    return None if value is None else str(value).lower().rjust(6, "0")


def packetization_mode(parameters: Mapping[str, str | int]) -> str:
    """Return the mode, 0 if none is given (RFC 6184 8.1)."""
    return str(parameters.get("packetization-mode") or 0)


def is_same_profile(one: Mapping[str, str | int], other: Mapping[str, str | int]) -> bool:
    """Return whether a stream of `one` suits a decoder of `other`, levels aside."""
    first, second = of(one), of(other)
    return first is not None and second is not None and first.profile is second.profile


def answer(local: Mapping[str, str | int], remote: Mapping[str, str | int]) -> str | None:
    """Return the profile-level-id to answer with; both must be of one profile. None if neither names one.

    RFC 6184 8.2.2: each side has its own level where both allow asymmetry, else the lower one holds for both.
    """
    ours, theirs = written(local), written(remote)
    if ours is None and theirs is None:
        return None
    ours, theirs = ours or DEFAULT, theirs or DEFAULT
    if _allows_asymmetry(local) and _allows_asymmetry(remote):
        return ours
    own, other = parse(ours), parse(theirs)
    if own is None or other is None or _order(own.level) <= _order(other.level):
        return ours
    # the constraint flags stay ours: they say the same profile, and a 1b keeps its flag
    return theirs if own.profile is other.profile else ours


def _allows_asymmetry(parameters: Mapping[str, str | int]) -> bool:
    return str(parameters.get("level-asymmetry-allowed", 0)) == "1"


def _order(level: int) -> float:
    return 10.5 if level == LEVEL_1_B else level
