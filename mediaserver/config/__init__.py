"""Settings: read from file, environment and flags, validated once, frozen.

``settings`` is the schema, ``loading`` reads and merges the sources, ``reloading`` says what a running server
can take over, ``reference`` writes docs/settings.md.
"""

from mediaserver.config.errors import SettingsError
from mediaserver.config.loading import CONFIG_VARIABLE, flag_names, load_settings, with_test_payments
from mediaserver.config.reference import settings_reference
from mediaserver.config.reloading import Reload, reload_settings
from mediaserver.config.settings import LogFormat, LogLevel, Settings

__all__ = [
    "CONFIG_VARIABLE",
    "LogFormat",
    "LogLevel",
    "Reload",
    "Settings",
    "SettingsError",
    "flag_names",
    "load_settings",
    "reload_settings",
    "settings_reference",
    "with_test_payments",
]
