"""Structured logs: one event name per line with key=value, readable on a console, JSON in production.

Loggers hang under ``mediaserver``; what libraries log through the standard module comes out in the same form.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from mediaserver.config.settings import LogFormat

SECRET_KEYS = frozenset({"key", "stream_key", "password", "token", "secret", "authorization"})


def configure_logging(log_format: LogFormat, level: str) -> None:
    """Send all logs to standard error in ``log_format`` from ``level`` (a logging level name) up."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hide_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(log_format),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_log_level(level)


def set_log_level(level: str) -> None:
    """Change the level of a running server; libraries stay at WARNING unless we go to DEBUG."""
    logging.getLogger("mediaserver").setLevel(level.upper())
    logging.getLogger().setLevel(logging.DEBUG if level.upper() == "DEBUG" else logging.WARNING)


def _renderers(log_format: LogFormat) -> list[structlog.typing.Processor]:
    if log_format is LogFormat.JSON:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # The plain formatter: a prettier one would show local variables, among them secrets.
    formatter = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=formatter)]


def _hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The last line of defence: no caller should log these at all."""
    for key in SECRET_KEYS & event.keys():
        event[key] = "[hidden]"
    return event
