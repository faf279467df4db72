"""The one exception of this package."""


class SettingsError(Exception):
    """A setting is unknown, wrong or missing; the one-line message names it and its source."""
