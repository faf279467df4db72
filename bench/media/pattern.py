"""The clip that is published when no file is given: a moving test picture and a tone, at exactly 2 Mb/s."""

import io
from functools import cache
from typing import Final

import av
from av.audio import AudioStream
from av.container import OutputContainer
from av.video import VideoStream
from av.video.frame import PictureType

from bench.media.clip import Clip, make_clip

SECONDS: Final = 6
GOP_SECONDS: Final = 2
WIDTH: Final = 1280
HEIGHT: Final = 720
FRAME_RATE: Final = 30
SAMPLE_RATE: Final = 48_000
AUDIO_BITRATE: Final = 128_000
VIDEO_BITRATE: Final = 1_860_000
"""With the audio and both containers' headers this makes 2 Mb/s."""

# Constant bitrate with filler, so that every run on every machine carries the same load.
X264_PARAMETERS: Final = (
    f"nal-hrd=cbr:filler=1:keyint={GOP_SECONDS * FRAME_RATE}:min-keyint={GOP_SECONDS * FRAME_RATE}"
    ":scenecut=0:bframes=0:threads=1"
)


@cache
def generate_clip() -> Clip:
    """Encode the test clip, once per process since it takes about a second."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="flv") as sink:
        video, audio = _add_video(sink), _add_audio(sink)
        _encode_video(sink, video)
        _encode_audio(sink, audio)
    return make_clip(buffer.getvalue())


def _add_video(sink: OutputContainer) -> VideoStream:
    rate = str(VIDEO_BITRATE)
    options = {
        "preset": "ultrafast",
        "maxrate": rate,
        "bufsize": str(VIDEO_BITRATE // 2),
        "x264-params": X264_PARAMETERS,
    }
    video = sink.add_stream("libx264", rate=FRAME_RATE, options=options)
    video.width, video.height, video.pix_fmt, video.bit_rate = WIDTH, HEIGHT, "yuv420p", VIDEO_BITRATE
    return video


def _add_audio(sink: OutputContainer) -> AudioStream:
    audio = sink.add_stream("aac", rate=SAMPLE_RATE)
    audio.layout, audio.bit_rate = "stereo", AUDIO_BITRATE
    return audio


def _encode_video(sink: OutputContainer, stream: VideoStream) -> None:
    pattern = f"testsrc2=size={WIDTH}x{HEIGHT}:rate={FRAME_RATE}:duration={SECONDS}"
    with av.open(pattern, format="lavfi") as source:
        for frame in source.decode(video=0):
            picture = frame.reformat(format="yuv420p")
            # The pattern's own type would force every frame to be a keyframe.
            picture.pict_type = PictureType.NONE
            sink.mux(stream.encode(picture))
    sink.mux(stream.encode(None))


def _encode_audio(sink: OutputContainer, stream: AudioStream) -> None:
    tone = f"sine=frequency=440:sample_rate={SAMPLE_RATE}:duration={SECONDS}"
    with av.open(tone, format="lavfi") as source:
        for frame in source.decode(audio=0):
            sink.mux(stream.encode(frame))
    sink.mux(stream.encode(None))
