"""Programs no one here wrote publish to the server and play from it; what arrives is compared to the byte."""

import asyncio
import itertools
import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest

from rtmp.protocol import amf0
from rtmp.protocol.chunks import serialize_message
from rtmp.protocol.messages import ChunkStreamId, MessageType
from rtmp.protocol.session import OUTGOING_CHUNK_SIZE
from tests.rtmp.conftest import RunningServer, StartServer
from tests.rtmp.embedder import Embedder, RecordedPlayer, RecordedPublication, until
from tests.rtmp.flv_file import Tag, media, read_tags

pytestmark = pytest.mark.interop

FFMPEG_5 = "ffmpeg"
FFMPEG_9 = imageio_ffmpeg.get_ffmpeg_exe()
END_OF_SEQUENCE = b"\x17\x02"
SOURCES = "-f lavfi -i testsrc2=s=320x180:r=30:d=3 -f lavfi -i sine=d=3 -shortest"
CODECS = {
    "h264": (FFMPEG_5, "-c:v libx264 -preset veryfast -g 30 -bf 2 -b:v 2M -c:a aac"),
    "audio only": (FFMPEG_5, "-vn -c:a aac"),
    "hevc": (FFMPEG_9, "-c:v libx265 -preset ultrafast -x265-params log-level=error -c:a aac"),
    "av1 and opus": (FFMPEG_9, "-c:v libsvtav1 -preset 12 -svtav1-params lookahead=0 -c:a libopus"),
}


@pytest.fixture(scope="session")
def flv_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One file per set of codecs as the program's FLV muxer writes it; beside it the .mkv it was made of."""
    folder = tmp_path_factory.mktemp("flv")
    files = {}
    for name, (program, options) in CODECS.items():
        files[name] = folder / f"{name.replace(' ', '_')}.flv"
        encoded = files[name].with_suffix(".mkv")
        run(program, *SOURCES.split(), *options.split(), "-y", str(encoded))
        run(program, "-i", str(encoded), "-c", "copy", "-flvflags", "no_duration_filesize", str(files[name]))
    return files


def run(program: str, *arguments: str) -> None:
    subprocess.run([program, "-hide_banner", "-loglevel", "error", *arguments], check=True, timeout=100)


async def execute(*command: str, within: float = 60) -> tuple[int, str]:
    """Run a program to its end; return its exit status and everything it said."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), within)
    except TimeoutError:
        process.kill()
        output, _ = await process.communicate()
        pytest.fail(f"{command[0]} did not end in {within} s: {output.decode(errors='replace')[-2000:]}")
    return process.returncode or 0, output.decode(errors="replace")


async def published(server: RunningServer, *command: str) -> RecordedPublication:
    status, output = await execute(*command)
    assert status == 0, output
    [publication] = server.embedder.publications
    await until(lambda: publication.ends)
    return publication


def recorded_media(publication: RecordedPublication) -> list[Tag]:
    return [Tag(*message) for message in publication.messages if message[0] != "metadata"]  # type: ignore[arg-type]


def without_color_info(tags: list[Tag]) -> list[Tag]:
    """Leave out VideoPacketType.Metadata, which ffmpeg 9 fills differently from run to run."""
    return [tag for tag in tags if not (tag.kind == "video" and tag.body[0] & 0x8F == 0x84)]


def coded_frames(tags: list[Tag]) -> list[bytes]:
    """The payloads of H.264 frames and AAC frames without the tag headers, which muxers write differently."""
    video = [tag.body[5:] for tag in tags if tag.kind == "video" and tag.body[1] == 1]
    audio = [tag.body[2:] for tag in tags if tag.kind == "audio" and tag.body[1] == 1]
    return video + audio


@pytest.mark.parametrize("codecs", CODECS)
async def test_ffmpeg_publishes(server: RunningServer, flv_files: dict[str, Path], codecs: str) -> None:
    program, _ = CODECS[codecs]
    options = [
        "-hide_banner",
        "-loglevel",
        "error",
        "-re",
        "-i",
        str(flv_files[codecs]),
        "-c",
        "copy",
        "-f",
        "flv",
    ]
    publication = await published(server, program, *options, f"{server.url}/key?token=a=b")
    expected = without_color_info(media(read_tags(flv_files[codecs])))
    assert without_color_info(recorded_media(publication)) == expected
    assert publication.ends == [True]
    assert len(publication.of_kind("metadata")) == 1
    assert "Lavf" in publication.connection.encoder
    assert server.embedder.requests == [("publish", "live", "key", {"token": "a=b"})]


@pytest.mark.parametrize("program", [FFMPEG_5, FFMPEG_9], ids=["ffmpeg 5", "ffmpeg 9"])
async def test_ffmpeg_publishes_past_extended_timestamps(
    server: RunningServer, flv_files: dict[str, Path], program: str
) -> None:
    """Timestamps pass 16777215 ms, where the extended field first shows, one second into the stream."""
    options = ["-hide_banner", "-loglevel", "error", "-i", str(flv_files["h264"]), "-c", "copy"]
    options += ["-output_ts_offset", "16776.2", "-f", "flv", f"{server.url}/key"]
    publication = await published(server, program, *options)
    received = recorded_media(publication)
    assert [tag.timestamp for tag in received[:2]] == [0, 0], (
        "sequence headers do not take part in the offset"
    )
    frames = received[2:-1]
    assert received[-1].body[:2] == END_OF_SEQUENCE
    assert coded_frames(received) == coded_frames(read_tags(flv_files["h264"]))
    assert frames[0].timestamp < 0xFFFFFF < frames[-1].timestamp
    gaps = [after.timestamp - before.timestamp for before, after in itertools.pairwise(frames)]
    assert 0 <= min(gaps) <= max(gaps) < 100


@pytest.mark.parametrize("sink", ["rtmpsink", "rtmp2sink"], ids=["librtmp", "rtmp2"])
async def test_gstreamer_publishes(server: RunningServer, flv_files: dict[str, Path], sink: str) -> None:
    pipeline = (
        f"filesrc location={flv_files['h264']} ! flvdemux name=d flvmux name=m streamable=true ! {sink}"
    )
    branches = "d.video ! queue ! h264parse ! m.video d.audio ! queue ! aacparse ! m.audio"
    live = " live=1" if sink == "rtmpsink" else ""
    command = [
        "gst-launch-1.0",
        "-q",
        *pipeline.split(),
        f"location={server.url}/key{live}",
        *branches.split(),
    ]
    publication = await published(server, *command)
    assert coded_frames(recorded_media(publication)) == coded_frames(read_tags(flv_files["h264"]))
    assert len(publication.of_kind("metadata")) >= 1


@pytest.mark.parametrize("program", [FFMPEG_5, FFMPEG_9], ids=["ffmpeg 5", "ffmpeg 9"])
async def test_ffmpeg_with_a_wrong_key_says_why(
    server: RunningServer, flv_files: dict[str, Path], program: str
) -> None:
    options = ["-hide_banner", "-i", str(flv_files["h264"]), "-c", "copy", "-f", "flv", f"{server.url}/wrong"]
    status, output = await execute(program, *options)
    assert status != 0
    assert "No such stream." in output
    assert server.embedder.publications == []


@pytest.fixture
async def playing_server(start_server: StartServer, flv_files: dict[str, Path]) -> RunningServer:
    """Plays the file of the codecs named in the address to everyone, then ends."""

    def on_play(player: RecordedPlayer) -> None:
        for tag in read_tags(flv_files[player.room_id.replace("_", " ")]):
            player.connection.transport.write(as_message(tag, player.connection.message_stream_id))
        player.connection.close("NetStream.Play.UnpublishNotify", "Over.")

    return await start_server(Embedder(on_play=on_play))


def as_message(tag: Tag, message_stream_id: int) -> bytes:
    chunk_stream_id, type_id = {
        "audio": (ChunkStreamId.AUDIO, MessageType.AUDIO),
        "video": (ChunkStreamId.VIDEO, MessageType.VIDEO),
        "script": (ChunkStreamId.DATA, MessageType.DATA_AMF0),
    }[tag.kind]
    return serialize_message(
        chunk_stream_id, tag.timestamp, type_id, message_stream_id, tag.body, OUTGOING_CHUNK_SIZE
    )


@pytest.mark.parametrize(
    ("program", "codecs"),
    [
        (FFMPEG_5, "h264"),
        (FFMPEG_5, "audio only"),
        (FFMPEG_9, "h264"),
        (FFMPEG_9, "hevc"),
        (FFMPEG_9, "av1 and opus"),
    ],
    ids=["ffmpeg 5 h264", "ffmpeg 5 audio only", "ffmpeg 9 h264", "ffmpeg 9 hevc", "ffmpeg 9 av1"],
)
async def test_ffmpeg_plays(
    playing_server: RunningServer, flv_files: dict[str, Path], program: str, codecs: str
) -> None:
    hashes = ["-c", "copy", "-f", "framemd5", "-"]
    url = f"{playing_server.url}/{codecs.replace(' ', '_')}"
    status, played = await execute(
        program, "-loglevel", "quiet", "-rw_timeout", "20000000", "-i", url, *hashes
    )
    assert status == 0, played
    _, expected = await execute(program, "-loglevel", "quiet", "-i", str(flv_files[codecs]), *hashes)
    assert frames_of(played) == frames_of(expected)


def frames_of(framemd5: str) -> list[tuple[int, ...]]:
    """Stream, dts, pts, size and hash of each packet, by stream; times count from the first video packet."""
    rows = [line.replace(" ", "").split(",") for line in framemd5.splitlines() if line[:1].isdigit()]
    assert len(rows) > 50
    origin = min(int(dts) for stream, dts, *_ in rows if stream == "0")
    return sorted(
        (int(stream), int(dts) - origin, int(pts) - origin, int(size), int(digest, 16))
        for stream, dts, pts, _, size, digest in rows
    )


async def test_ffprobe_plays(playing_server: RunningServer) -> None:
    options = ["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0"]
    status, output = await execute("ffprobe", *options, f"{playing_server.url}/h264")
    assert (status, sorted(output.split())) == (0, ["aac", "h264"])


async def test_rtmpdump_plays(
    playing_server: RunningServer, flv_files: dict[str, Path], tmp_path: Path
) -> None:
    target = tmp_path / "played.flv"
    await execute("rtmpdump", "--quiet", "--live", "-r", f"{playing_server.url}/h264", "-o", str(target))
    played, expected = media(read_tags(target)), media(read_tags(flv_files["h264"]))
    assert expected.pop().body[:2] == b"\x17\x02", "librtmp leaves it out as too short"
    assert [tag.body for tag in played] == [tag.body for tag in expected]
    assert all(a.timestamp <= b.timestamp for a, b in itertools.pairwise(played))


async def test_ffprobe_of_a_room_that_is_not_there(server: RunningServer) -> None:
    status, output = await execute("ffprobe", "-v", "error", f"{server.url}/wrong-room")
    assert status != 0
    assert "No such stream." in output


async def test_our_metadata_is_read_by_ffprobe(start_server: StartServer, flv_files: dict[str, Path]) -> None:
    script = amf0.encode("onMetaData", amf0.EcmaArray(title="A title", width=320, height=180, videocodecid=7))

    def on_play(player: RecordedPlayer) -> None:
        tags = [Tag("script", 0, script), *media(read_tags(flv_files["h264"]))]
        for tag in tags:
            player.connection.transport.write(as_message(tag, player.connection.message_stream_id))
        player.connection.close("NetStream.Play.UnpublishNotify", "Over.")

    server = await start_server(Embedder(on_play=on_play))
    options = ["-v", "error", "-show_entries", "format_tags=title", "-of", "csv=p=0"]
    status, output = await execute("ffprobe", *options, f"{server.url}/room")
    assert (status, output.strip()) == (0, "A title")
