"""What a running server can take over from settings that were read again (SIGHUP)."""

from dataclasses import dataclass

from mediaserver.config.settings import Settings, is_live, setting_fields, setting_value


@dataclass(frozen=True, slots=True)
class Reload:
    """``settings`` is what the server runs with from now on: the old ones with the ``applied`` changes.

    ``needs_restart`` names the changes that were left out of it.
    """

    settings: Settings
    applied: tuple[str, ...]
    needs_restart: tuple[str, ...]


def reload_settings(current: Settings, new: Settings) -> Reload:
    """Compare ``new`` with what runs, and take over what can change live."""
    applied: list[str] = []
    needs_restart: list[str] = []
    settings = current
    for name, field in setting_fields():
        value = setting_value(new, name)
        if value == setting_value(current, name):
            continue
        if is_live(field):
            settings = _with_value(settings, name, value)
            applied.append(name)
        else:
            needs_restart.append(name)
    return Reload(settings, tuple(applied), tuple(needs_restart))


def _with_value(settings: Settings, name: str, value: object) -> Settings:
    group, _, key = name.rpartition(".")
    if not group:
        return settings.model_copy(update={key: value})
    return settings.model_copy(update={group: getattr(settings, group).model_copy(update={key: value})})
