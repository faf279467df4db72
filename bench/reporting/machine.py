"""Naming the machine, without which no absolute figure means anything."""

import os
import platform
from pathlib import Path


def machine_name() -> str:
    """Processor, cores, kernel and Python, in one line."""
    system, python = platform.uname(), platform.python_version()
    return f"{_processor()}, {os.cpu_count()} cores, {system.system} {system.release}, Python {python}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
