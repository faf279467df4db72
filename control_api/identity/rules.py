"""What names, addresses and passwords may be, as Struct fields and as functions."""

import re
import unicodedata
from typing import Annotated, Final

from msgspec import Meta

from control_api.errors import ApiError, invalid
from storage.passwords import MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH

MAX_EMAIL_LENGTH: Final = 254
MAX_LOCAL_PART_LENGTH: Final = 64

Username = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=30,
        pattern=r"^[A-Za-z0-9_]{3,30}$",
        description="Letters and digits of ASCII only, so that no two names look alike.",
    ),
]
Email = Annotated[str, Meta(min_length=3, max_length=MAX_EMAIL_LENGTH, extra_json_schema={"format": "email"})]
NewPassword = Annotated[str, Meta(min_length=MIN_PASSWORD_LENGTH, max_length=MAX_PASSWORD_LENGTH)]
AnyPassword = Annotated[str, Meta(min_length=1, max_length=MAX_PASSWORD_LENGTH)]
DisplayName = Annotated[str, Meta(min_length=1, max_length=50)]
Code = Annotated[str, Meta(min_length=6, max_length=6, pattern=r"^[0-9]{6}$")]

# RFC 5321 without quoted local parts and address literals, which nobody has and much software stumbles over.
_LOCAL_PART: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_FORBIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_JOINERS: Final = "\u200c\u200d"


def normalised_email(text: str) -> str:
    """``text`` with the domain in lower case and ASCII (RFC 5890). Raises ApiError 400 for no address."""
    local_part, _, domain = unicodedata.normalize("NFC", text).rpartition("@")
    try:
        domain = domain.lower().encode("idna").decode("ascii") if domain else ""
    except UnicodeError:
        domain = ""
    address = f"{local_part}@{domain}"
    if (
        len(local_part) > MAX_LOCAL_PART_LENGTH
        or len(address) > MAX_EMAIL_LENGTH
        or not _LOCAL_PART.fullmatch(local_part)
        or not _DOMAIN.fullmatch(domain)
    ):
        raise invalid("email", "is no e-mail address")
    return address


def known_email(text: str) -> str | None:
    """The same for somebody who claims to have an account: what is no address belongs to nobody."""
    try:
        return normalised_email(text)
    except ApiError:
        return None


def visible_text(field: str, text: str) -> str:
    """``text`` composed and trimmed. Raises ApiError 400 for what cannot be seen or turns other text around.

    The joiners stay, because Persian, Indic scripts and emoji are not written without them.
    """
    composed = unicodedata.normalize("NFC", text).strip()
    if not composed.strip(_JOINERS):
        raise invalid(field, "is empty")
    for character in composed:
        if character not in _JOINERS and unicodedata.category(character) in _FORBIDDEN_CATEGORIES:
            raise invalid(field, f"holds the character U+{ord(character):04X}, which cannot be seen")
    return composed


def check_new_password(field: str, password: str, *personal: str) -> None:
    """Refuse a password of a wrong length, or that is somebody's name or address. Raises ApiError 400."""
    if not MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH:
        raise invalid(field, f"must have {MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} characters")
    if any(password.casefold() == text.casefold() for text in personal):
        raise invalid(field, "is the same as the name or the address")
    if any(unicodedata.category(character) == "Cs" for character in password):
        raise invalid(field, "holds half a character")
