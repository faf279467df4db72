"""``bench quick``: what this machine does with our server, in about a minute and without preparation.

It runs the other commands with the words a user would type, against a server it starts and stops itself.
"""

import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from bench.commands import fanout, ingest
from bench.commands.command import MAX_CONNECTIONS, Command, add_output_arguments, bounded
from bench.errors import BenchError
from bench.measure.progress import Progress
from bench.peers import BenchRoom, OwnServer, own_server
from bench.reporting.model import Report

PUBLISHERS: Final = 5
INGEST_SECONDS: Final = 10
VIEWERS: Final = 500
FANOUT_SECONDS: Final = 12
LL_HLS_VIEWERS: Final = 100
LL_HLS_SECONDS: Final = 10


def _add_arguments(parser: ArgumentParser) -> None:
    add_output_arguments(parser)
    parser.add_argument(
        "--viewers",
        type=bounded(int, 1, MAX_CONNECTIONS),
        default=VIEWERS,
        help=f"HTTP-FLV viewers (default {VIEWERS})",
    )
    parser.add_argument(
        "--merge-window-ms", type=bounded(int, 0, 5000), default=100, help="our server's (default 100)"
    )
    parser.add_argument("--peer-url", help="HTTP-FLV address of another server, to be loaded the same way")
    parser.add_argument("--peer-publish", metavar="RTMP_URL", help="where to publish what the peer plays")
    parser.add_argument("--peer-pid", metavar="PID", help="the peer's process, to be sampled")


async def _run(arguments: Namespace) -> Sequence[Report]:
    if arguments.peer_url and not arguments.peer_publish:
        raise BenchError("--peer-url needs --peer-publish")
    progress = Progress()
    async with AsyncExitStack() as stack:
        stack.callback(progress.clear)
        progress.show("starting a server")
        window = ("--broadcast.merge-window-ms", f"{arguments.merge_window_ms:g}")
        server = await stack.enter_async_context(own_server(window))
        rooms = []
        for number in range(1, PUBLISHERS + 1):
            progress.show("making rooms", f"{number} of {PUBLISHERS}")
            rooms.append(await server.create_room(f"bench {number}"))
        reports = [*await _ingest(server, rooms), *await _fanout(server, rooms[0], arguments.viewers)]
        reports += await _ll_hls(server, rooms[0])
    if arguments.peer_url:
        reports += await _peer_fanout(arguments)
    return reports


async def _ingest(server: OwnServer, rooms: Sequence[BenchRoom]) -> Sequence[Report]:
    with tempfile.NamedTemporaryFile("w", suffix=".keys") as keys:
        keys.write("\n".join(room.stream_key for room in rooms))
        keys.flush()
        words = ["--url", server.publish_url("{key}"), "--keys", str(Path(keys.name))]
        words += ["--publishers", str(len(rooms)), "--seconds", str(INGEST_SECONDS)]
        return await ingest.COMMAND.run_words([*words, *_own(server)])


async def _fanout(server: OwnServer, room: BenchRoom, viewers: int) -> Sequence[Report]:
    words = ["--url", server.http_url(f"/live/{room.room_id}.flv")]
    words += ["--publish", server.publish_url(room.stream_key)]
    words += ["--viewers", str(viewers), "--seconds", str(FANOUT_SECONDS)]
    return await fanout.COMMAND.run_words([*words, *_own(server)])


async def _ll_hls(server: OwnServer, room: BenchRoom) -> Sequence[Report]:
    words = ["--url", server.http_url(f"/hls/{room.room_id}/index.m3u8"), "--protocol", "ll-hls"]
    words += ["--publish", server.publish_url(room.stream_key)]
    words += ["--viewers", str(LL_HLS_VIEWERS), "--seconds", str(LL_HLS_SECONDS)]
    return await fanout.COMMAND.run_words([*words, *_own(server)])


async def _peer_fanout(arguments: Namespace) -> Sequence[Report]:
    words = ["--url", arguments.peer_url, "--publish", arguments.peer_publish, "--label", "peer"]
    words += ["--viewers", str(arguments.viewers), "--seconds", str(FANOUT_SECONDS)]
    if arguments.peer_pid:
        words += ["--server-pid", arguments.peer_pid]
    return await fanout.COMMAND.run_words(words)


def _own(server: OwnServer) -> list[str]:
    return ["--server-pid", str(server.pid), "--label", "mediaserver"]


COMMAND = Command("quick", "a one-minute run against a server of its own", _add_arguments, _run)
