"""Publishing, playing and comparing with real ffmpeg programs: Debian's 5.1 and the newer one from PyPI."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg

OLD = shutil.which("ffmpeg") or "ffmpeg"
NEW = imageio_ffmpeg.get_ffmpeg_exe()
QUIET = ("-hide_banner", "-nostdin", "-loglevel", "error")
RUN_SECONDS = 60.0
STREAM_COLUMN = 0
HASH_COLUMN = 5

# Parameter sets, delimiters and SEI come and go between containers; the pictures must not change.
_ONLY_PICTURES = {
    "h264": "h264_mp4toannexb,filter_units=remove_types=6-9",
    "hevc": "hevc_mp4toannexb,filter_units=remove_types=32-40",
}


@dataclass(frozen=True, slots=True)
class Clip:
    """A file with known content. ``video`` and ``audio`` are codec names or None."""

    path: Path
    video: str | None
    audio: str | None
    program: str = OLD
    """The ffmpeg that can publish it."""


def make_clip(
    path: Path,
    video: Sequence[str] = (),
    audio: Sequence[str] = (),
    *,
    seconds: int = 12,
    size: str = "640x360",
    rate: int = 30,
    program: str = OLD,
) -> Path:
    """Encode a test picture and a tone with the given encoder options into ``path``."""
    inputs: list[str] = []
    if video:
        inputs += ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}"]
    if audio:
        inputs += ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
    run(program, *inputs, "-t", str(seconds), *video, *audio, str(path))
    return path


def run(program: str, *arguments: str, seconds: float = RUN_SECONDS) -> str:
    """Run to the end and return standard output. Raises AssertionError with what it said when it fails."""
    done = subprocess.run(
        [program, *QUIET, "-y", *arguments], capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


@contextmanager
def publishing(clip: Clip, url: str, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Publish ``clip`` in real time, over and over, for as long as the block runs."""
    command = [clip.program, *QUIET, "-re", "-stream_loop", "-1", "-i", str(clip.path)]
    command += ["-c", "copy", *options, "-f", "flv", url]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def packet_hashes(
    source: str, codecs: dict[str, str], *, seconds: float | None = None, program: str = OLD
) -> dict[str, list[str]]:
    """Hashes of the coded pictures ("v") and sounds ("a") in ``source``, a file or an address.

    ``codecs`` names the codec of each kind that is asked for.
    """
    limit = ["-t", str(seconds)] if seconds is not None else []
    chosen: list[str] = []
    for kind, codec in codecs.items():
        bitstream = {"v": _ONLY_PICTURES.get(codec), "a": "aac_adtstoasc" if codec == "aac" else None}[kind]
        chosen += ["-map", f"0:{kind}:0", *((f"-bsf:{kind}", bitstream) if bitstream else ())]
    output = run(program, "-i", source, *limit, *chosen, "-c", "copy", "-f", "framehash", "-")
    hashes: dict[str, list[str]] = {kind: [] for kind in codecs}
    kinds = list(codecs)
    for line in output.splitlines():
        if not line.startswith("#"):
            columns = line.split(",")  # side data has columns behind it
            hashes[kinds[int(columns[STREAM_COLUMN])]].append(columns[HASH_COLUMN].strip())
    return hashes


def assert_is_part_of(played: list[str], published: list[str], at_least: int) -> None:
    """``played`` is an unbroken run of ``published``, which repeats, and has ``at_least`` packets."""
    assert len(played) >= at_least, f"only {len(played)} packets"
    endless = published * 3
    starts = [n for n, digest in enumerate(published) if digest == played[0]]
    assert starts, "the first packet was never published"
    assert any(endless[start : start + len(played)] == played for start in starts), "packets lost or changed"
