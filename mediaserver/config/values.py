"""What settings are made of: kinds of values, and what they are checked for."""

from ipaddress import ip_address
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyAddress,
    IPvAnyNetwork,
    SecretStr,
)


def _split(value: object) -> object:
    """A list may be written ``a, b`` where the source knows only strings."""
    if isinstance(value, str):
        return tuple(part for part in (piece.strip() for piece in value.split(",")) if part)
    return value


def lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _check_host(value: str) -> str:
    try:
        ip_address(value)
    except ValueError:
        if value != "localhost":
            raise ValueError("must be an IP address of this machine, 0.0.0.0, :: or localhost") from None
    return value


def _check_url(value: str, schemes: tuple[str, ...]) -> str:
    parts = urlsplit(value)
    if parts.scheme not in schemes:
        raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    return value


def check_public_url(value: str) -> str:
    if not urlsplit(_check_url(value, ("http", "https"))).hostname:
        raise ValueError("names no host")
    return value.rstrip("/")


def check_database_url(value: SecretStr) -> SecretStr:
    _check_url(value.get_secret_value(), ("postgresql", "postgres"))
    return value


def check_redis_url(value: SecretStr) -> SecretStr:
    _check_url(value.get_secret_value(), ("redis", "rediss", "unix"))
    return value


def check_objects_url(value: SecretStr) -> SecretStr:
    _check_url(value.get_secret_value(), ("file", "s3"))
    return value


def check_smtp_url(value: SecretStr) -> SecretStr:
    _check_url(value.get_secret_value(), ("smtp", "smtps"))
    return value


def check_secret(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < MINIMUM_SECRET_LENGTH:
        raise ValueError(f"must have at least {MINIMUM_SECRET_LENGTH} characters")
    return value


def check_filled(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().strip():
        raise ValueError("must not be empty")
    return value


MINIMUM_SECRET_LENGTH: Final = 32
MIB: Final = 1024 * 1024

Host = Annotated[str, AfterValidator(_check_host)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
PositiveSeconds = Annotated[float, Field(gt=0, le=86_400)]
Count = Annotated[int, Field(ge=1)]
Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
IpAddresses = Annotated[tuple[IPvAnyAddress, ...], BeforeValidator(_split)]
Networks = Annotated[tuple[IPvAnyNetwork, ...], BeforeValidator(_split)]


class Group(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        validate_default=True,
    )
