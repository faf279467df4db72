"""Reading the settings: file, then environment, then flags; the later wins, setting by setting.

Each source is flattened to dotted names, so that all are merged, checked for unknown names and blamed for
wrong values in the same way.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from mediaserver.config.errors import SettingsError
from mediaserver.config.settings import Settings, setting_fields

PREFIX: Final = "MEDIASERVER_"
CONFIG_VARIABLE: Final = "MEDIASERVER_CONFIG"
DEFAULT_FILE: Final = Path("mediaserver.toml")
MAX_FILE_BYTES: Final = 1024 * 1024

SECRETS: Final = frozenset({"secret_key", "database_url", "stripe.secret_key", "stripe.webhook_secret"})

# Kubernetes sets these for a service that happens to be called "mediaserver".
_KUBERNETES_VARIABLE: Final = re.compile(r"MEDIASERVER_(SERVICE_(HOST|PORT)|PORT)(_[A-Z0-9_]+)?")

FlatValues = dict[str, tuple[object, str]]
"""Dotted name -> (raw value, where it came from)."""


def flag_names() -> Iterator[tuple[str, str]]:
    """Every setting as (dotted name, description), for building the command line."""
    for name, field in setting_fields():
        yield name, field.description or ""


def variable_name(name: str) -> str:
    """The environment variable of a setting: ``http.port`` -> ``MEDIASERVER_HTTP__PORT``."""
    return PREFIX + name.upper().replace(".", "__")


def load_settings(
    environment: Mapping[str, str], flags: Mapping[str, str] | None = None, file: Path | None = None
) -> Settings:
    """Merge and validate all sources.

    ``flags`` maps dotted names to the strings given on the command line. ``file`` must exist when given here
    or by MEDIASERVER_CONFIG; the default ./mediaserver.toml may be missing. Raises SettingsError.
    """
    values = _read_file(_config_file(environment, file))
    values |= _read_environment(environment)
    values |= {name: (value, f"--{name}") for name, value in (flags or {}).items()}
    try:
        return Settings.model_validate(_nest(values))
    except ValidationError as error:
        raise SettingsError(_describe(error, values)) from None


def with_test_payments(settings: Settings) -> Settings:
    """For a demo: coins can be bought without money, unless something else is set."""
    if settings.money.test_payments is not None:
        return settings
    money = settings.money.model_copy(update={"test_payments": True})
    return settings.model_copy(update={"money": money})


def _config_file(environment: Mapping[str, str], file: Path | None) -> Path | None:
    if file is not None:
        return file
    if named := environment.get(CONFIG_VARIABLE):
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def _read_file(path: Path | None) -> FlatValues:
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
        if len(text) > MAX_FILE_BYTES:
            raise SettingsError(f"{path}: is larger than {MAX_FILE_BYTES} bytes")
        document = tomllib.loads(text.decode())
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"{path}: is not TOML: {error}") from None
    return _flatten(document, str(path))


def _flatten(document: Mapping[str, Any], origin: str) -> FlatValues:
    known = dict(setting_fields())
    groups = {name.rpartition(".")[0] for name in known if "." in name}
    values: FlatValues = {}
    for key, value in document.items():
        if key in groups and isinstance(value, dict):
            values |= {f"{key}.{inner}": (deep, origin) for inner, deep in value.items()}
        else:
            values[key] = (value, origin)
    for name in values:
        if name not in known:
            raise SettingsError(f"{name!r}: no such setting (in {origin})")
    return values


def _read_environment(environment: Mapping[str, str]) -> FlatValues:
    known = {variable_name(name): name for name, _ in setting_fields()}
    values: FlatValues = {}
    for variable, value in environment.items():
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        if variable in known:
            # An empty variable is how compose files spell "not set".
            if value:
                values[known[variable]] = (value, variable)
        elif not _KUBERNETES_VARIABLE.fullmatch(variable):
            raise SettingsError(f"{variable}: no such setting (in the environment)")
    return values


def _nest(values: FlatValues) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, (value, _) in values.items():
        group, _, key = name.rpartition(".")
        target = nested.setdefault(group, {}) if group else nested
        target[key] = value
    return nested


def _describe(error: ValidationError, values: FlatValues) -> str:
    """One line for the first thing wrong, and how many more there are."""
    problems = error.errors(include_url=False, include_context=False)
    location = problems[0]["loc"]
    name = next((n for n in _prefixes(location) if n in values), ".".join(map(str, location)))
    message = problems[0]["msg"].removeprefix("Value error, ")
    given = values.get(name)
    blame = f" ({_shown(name, given[0])}from {given[1]})" if given else ""
    others = _others(len({problem["loc"][:2] for problem in problems}) - 1)
    return f"{name}: {message[:1].lower()}{message[1:]}{blame}{others}".replace("\n", " ")


def _others(count: int) -> str:
    if count == 0:
        return ""
    return f"; {count} more {'setting is' if count == 1 else 'settings are'} wrong"


def _prefixes(location: tuple[int | str, ...]) -> Iterator[str]:
    """Dotted names from the whole location down: pydantic appends list indexes and union members."""
    for length in range(len(location), 0, -1):
        yield ".".join(map(str, location[:length]))


def _shown(name: str, value: object) -> str:
    """The value for the message, unless it is a secret or long."""
    text = repr(value)
    return "" if name in SECRETS or len(text) > 80 else f"{text} "
