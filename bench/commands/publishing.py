"""What ``ingest`` and ``fanout`` share: which clip is published, to where."""

import asyncio
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final
from urllib.parse import quote

from bench.commands.command import bounded
from bench.errors import BenchError
from bench.measure.progress import Progress
from bench.media.clip import Clip, load_clip
from bench.media.pattern import generate_clip
from bench.publishers.fleet import PublisherFleet
from bench.publishers.replay import DEFAULT_CHUNK_SIZE, MAX_CHUNK_SIZE, MINIMUM_CHUNK_SIZE
from bench.targets import Target, parse_target

MAX_KEYS_BYTES: Final = 4 * 1024 * 1024


def add_clip_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--file",
        type=Path,
        help="media file to replay (default: a generated clip, 720p30 H.264 and AAC, 2 Mb/s)",
    )
    parser.add_argument(
        "--chunk-size",
        type=bounded(int, MINIMUM_CHUNK_SIZE, MAX_CHUNK_SIZE),
        default=DEFAULT_CHUNK_SIZE,
        help=f"RTMP chunk size of the publishers (default {DEFAULT_CHUNK_SIZE}, as OBS)",
    )


def add_publish_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--publish",
        metavar="RTMP_URL",
        help="publish the stream from here, with stamps that show the latency",
    )
    add_clip_arguments(parser)


def make_clip(arguments: Namespace, progress: Progress) -> Clip:
    """The clip of ``--file``, or the generated one."""
    if arguments.file is not None:
        return load_clip(arguments.file)
    progress.show("encoding the test clip")
    return generate_clip()


def publish_targets(url: str, keys: Sequence[str], publishers: int, allow_remote: bool) -> list[Target]:
    """One target per publisher: ``{n}`` becomes its number from 1 on, ``{key}`` its stream key.

    Raises BenchError when all would publish to the same address or there are too few keys.
    """
    if "{key}" in url and len(keys) < publishers:
        raise BenchError(
            f"--url has {{key}}: {publishers} publishers need as many --keys, there are {len(keys)}"
        )
    if publishers > 1 and "{key}" not in url and "{n}" not in url:
        raise BenchError("--url: several publishers need {key} or {n} in it, or they take each other's place")
    targets = []
    for number in range(publishers):
        filled = url.replace("{n}", str(number + 1))
        if "{key}" in filled:
            filled = filled.replace("{key}", quote(keys[number], safe="?&=-_.~"))
        targets.append(parse_target(filled, ("rtmp",), allow_remote))
    return targets


def read_keys(path: Path | None) -> list[str]:
    """One stream key per line; empty lines do not count."""
    if path is None:
        return []
    try:
        with path.open(encoding="utf-8") as file:
            lines = file.read(MAX_KEYS_BYTES).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"--keys {path}: {error}") from None
    return [line.strip() for line in lines if line.strip()]


async def publish_for(
    stack: AsyncExitStack, arguments: Namespace, progress: Progress, warm_up_seconds: float
) -> None:
    """Publish to ``--publish``, when given, until ``stack`` is closed. Raises BenchError when refused.

    Returns ``warm_up_seconds`` after the beginning, so that viewers join a stream with a past.
    """
    if arguments.publish is None:
        return
    target = parse_target(arguments.publish, ("rtmp",), arguments.allow_remote)
    fleet = PublisherFleet([target], make_clip(arguments, progress), arguments.chunk_size, rate=1.0)
    stack.push_async_callback(fleet.close)
    await fleet.connect()
    refusal = fleet.finish()[0].refusal
    if refusal is not None:
        raise BenchError(f"--publish {target.authority}: {refusal}")
    progress.show(f"publishing for {warm_up_seconds:g} s before anyone watches")
    await asyncio.sleep(warm_up_seconds)
