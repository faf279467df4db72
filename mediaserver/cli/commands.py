"""From the typed command to the function that does it, and from its errors to one line and an exit status.

Heavy modules are imported by the command that needs them: ``admin`` is called in scripts, over and over.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable

from mediaserver.cli.arguments import EXIT_FAILED, EXIT_USAGE, given_settings, parse_arguments
from mediaserver.config import (
    Settings,
    SettingsError,
    load_settings,
    settings_reference,
    with_test_payments,
)
from mediaserver.errors import AccountError, StartError
from storage.errors import StorageError


def run(command_line: list[str]) -> int:
    """Do what the command line says and return the exit status: 0, 1 for a failure, 2 for wrong usage."""
    arguments = parse_arguments(command_line)
    try:
        return _COMMANDS[arguments.command](arguments)
    except SettingsError as error:
        return _fail(error, EXIT_USAGE)
    except (StartError, AccountError, StorageError) as error:
        return _fail(error, EXIT_FAILED)
    except BrokenPipeError:
        # Whoever read our output has enough; keep Python from complaining when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 130


def _fail(error: Exception, status: int) -> int:
    message = " ".join(str(error).split())
    print(f"mediaserver: {message}", file=sys.stderr)
    return status


def _settings(arguments: argparse.Namespace) -> Settings:
    return load_settings(os.environ, given_settings(arguments), arguments.config)


def _serve(arguments: argparse.Namespace) -> int:
    is_demo = arguments.command == "demo"

    def read_settings() -> Settings:
        settings = _settings(arguments)
        return with_test_payments(settings) if is_demo else settings

    settings = read_settings()

    import uvloop

    from mediaserver.app import serve

    uvloop.run(serve(settings, read_settings=read_settings, is_demo=is_demo))
    return 0


def _migrate(arguments: argparse.Namespace) -> int:
    from mediaserver.cli.migrate import migrate

    return asyncio.run(migrate(_settings(arguments)))


def _doctor(arguments: argparse.Namespace) -> int:
    from mediaserver.cli.doctor import doctor

    return asyncio.run(doctor(_settings(arguments), is_json=arguments.json))


def _admin(arguments: argparse.Namespace) -> int:
    from mediaserver.cli.admin import run_admin

    return asyncio.run(run_admin(_settings(arguments), arguments))


def _settings_reference(_: argparse.Namespace) -> int:
    print(settings_reference(), end="")
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "serve": _serve,
    "demo": _serve,
    "migrate": _migrate,
    "doctor": _doctor,
    "admin": _admin,
    "settings-reference": _settings_reference,
}
