"""What commands print."""

import json
import logging
import sys
from collections.abc import Mapping

import structlog


def quiet_logs() -> None:
    """Only warnings, and on standard error: standard output is for the result."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def show(result: Mapping[str, object], labels: Mapping[str, str], is_json: bool) -> None:
    """Print ``result`` as one JSON object, or its labelled values in lines for people."""
    if is_json:
        print(json.dumps(result))
        return
    width = max(len(label) for label in labels.values())
    for key, label in labels.items():
        print(f"{label:<{width}}  {result[key]}")
