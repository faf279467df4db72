"""The test pattern as RTMP carries it: pictures and sound encoded to FLV tag bodies, as time goes by.

Sans-I/O: ``encode_until`` is told how much time has passed and returns what has become due.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Final

import av
from av.audio.codeccontext import AudioCodecContext
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from mediaserver.demo.picture import TestPicture
from mediaserver.demo.sound import SAMPLE_RATE, TestSound
from mediaserver.errors import StartError
from rtmp.protocol.flv_tags import AAC, AVC, AudioTag, PacketKind, VideoTag, serialize_audio, serialize_video

KEYFRAME_SECONDS: Final = 2
AUDIO_BITRATE: Final = 96_000
MAX_LATE_SECONDS: Final = 1.0
"""Whoever comes later than this finds the missed part left out instead of hurried through."""
CONSTANT_QUALITY: Final = 24


@dataclass(frozen=True, slots=True)
class PatternOptions:
    """Sizes in pixels, ``frame_rate`` in frames a second, ``video_bitrate`` in bit/s at most."""

    width: int = 1280
    height: int = 720
    frame_rate: int = 30
    video_bitrate: int = 2_000_000


class MessageKind(Enum):
    VIDEO = "video"
    AUDIO = "audio"


@dataclass(frozen=True, slots=True)
class MediaMessage:
    """``timestamp`` in ms, ``body`` an FLV tag body."""

    kind: MessageKind
    timestamp: int
    body: bytes


class PatternEncoder:
    """Encodes from about the moment ``started_at`` (seconds since 1970) on: full seconds fall on a frame.

    Raises StartError when PyAV was built without an encoder that is needed.
    """

    def __init__(self, options: PatternOptions, started_at: float) -> None:
        self._options = options
        self._started_at = round(started_at * options.frame_rate) / options.frame_rate
        self._picture = TestPicture(options.width, options.height, options.frame_rate)
        self._video = _open_video(options)
        self._audio = _open_audio()
        self._samples_per_frame = self._audio.frame_size
        self._sound = TestSound(self._samples_per_frame)
        self._pictures = 0
        self._sounds = 0

    def sequence_headers(self) -> list[MediaMessage]:
        """What decoders need before anything else."""
        video = VideoTag(AVC, PacketKind.SEQUENCE_START, True, 0, self._video.extradata or b"")
        audio = AudioTag(AAC, PacketKind.SEQUENCE_START, self._audio.extradata or b"")
        return [
            MediaMessage(MessageKind.VIDEO, 0, serialize_video(video)),
            MediaMessage(MessageKind.AUDIO, 0, serialize_audio(audio)),
        ]

    def metadata(self) -> dict[str, object]:
        """The values of onMetaData."""
        options = self._options
        return {
            "width": float(options.width),
            "height": float(options.height),
            "framerate": float(options.frame_rate),
            "videocodecid": 7.0,
            "videodatarate": options.video_bitrate / 1000,
            "audiocodecid": 10.0,
            "audiosamplerate": float(SAMPLE_RATE),
            "audiodatarate": AUDIO_BITRATE / 1000,
            "stereo": True,
            "encoder": "mediaserver test pattern",
        }

    @property
    def next_due(self) -> float:
        """Seconds after the start when ``encode_until`` will have something to do."""
        return min(self._picture_due(), self._sound_due())

    def encode_until(self, elapsed: float) -> list[MediaMessage]:
        """Everything due in the ``elapsed`` seconds since the start that was not encoded yet, in order."""
        if elapsed - self.next_due > MAX_LATE_SECONDS:
            self._pictures = int(elapsed * self._options.frame_rate)
            self._sounds = int(elapsed * SAMPLE_RATE / self._samples_per_frame)
        messages: list[MediaMessage] = []
        while self.next_due <= elapsed:
            if self._picture_due() <= self._sound_due():
                messages += self._encode_picture()
            else:
                messages += self._encode_sound()
        return messages

    def _picture_due(self) -> float:
        return self._pictures / self._options.frame_rate

    def _sound_due(self) -> float:
        return self._sounds * self._samples_per_frame / SAMPLE_RATE

    def _encode_picture(self) -> Iterator[MediaMessage]:
        frame = self._picture.draw(self._started_at + self._picture_due())
        frame.pts = self._pictures
        self._pictures += 1
        for packet in self._video.encode(frame):
            tag = VideoTag(AVC, PacketKind.FRAME, packet.is_keyframe, 0, bytes(packet))
            yield MediaMessage(MessageKind.VIDEO, _milliseconds(packet), serialize_video(tag))

    def _encode_sound(self) -> Iterator[MediaMessage]:
        position = self._sounds * self._samples_per_frame
        frame = self._sound.frame(round(self._started_at * SAMPLE_RATE) + position)
        frame.pts = position
        self._sounds += 1
        for packet in self._audio.encode(frame):
            if packet.pts is not None and packet.pts >= 0:  # before that it is the encoder's run-in
                tag = AudioTag(AAC, PacketKind.FRAME, bytes(packet))
                yield MediaMessage(MessageKind.AUDIO, _milliseconds(packet), serialize_audio(tag))


def _milliseconds(packet: "av.Packet[av.VideoStream] | av.Packet[av.AudioStream]") -> int:
    return round((packet.pts or 0) * packet.time_base * 1000)


def _open_video(options: PatternOptions) -> VideoCodecContext:
    video = _create("libx264")
    assert isinstance(video, VideoCodecContext)
    video.width, video.height, video.pix_fmt = options.width, options.height, "yuv420p"
    video.framerate = Fraction(options.frame_rate)
    video.time_base = 1 / video.framerate
    video.color_range, video.colorspace = ColorRange.MPEG, Colorspace.ITU709
    video.color_primaries, video.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    interval = KEYFRAME_SECONDS * options.frame_rate
    video.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "crf": str(CONSTANT_QUALITY),
        "maxrate": str(options.video_bitrate),
        "bufsize": str(options.video_bitrate),
        # annexb=0: NAL units behind their length, as FLV wants them
        "x264-params": f"annexb=0:threads=1:scenecut=0:keyint={interval}:min-keyint={interval}",
    }
    video.flags |= Flags.global_header
    video.open()
    return video


def _open_audio() -> AudioCodecContext:
    audio = _create("aac")
    assert isinstance(audio, AudioCodecContext)
    audio.sample_rate, audio.bit_rate = SAMPLE_RATE, AUDIO_BITRATE
    audio.format, audio.layout = "fltp", "stereo"
    audio.time_base = Fraction(1, SAMPLE_RATE)
    audio.options = {"aac_coder": "fast"}
    audio.flags |= Flags.global_header
    audio.open()
    return audio


def _create(encoder: str) -> av.CodecContext:
    if encoder not in av.codecs_available:
        raise StartError(
            f"demo: PyAV has no {encoder} encoder; get its wheel: pip install --force-reinstall av"
        )
    return av.CodecContext.create(encoder, "w")
