"""A tone with clicks at known times, encoded, decoded, and the clicks found again."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Final

import av
import numpy as np
import numpy.typing as npt
from av.audio.codeccontext import AudioCodecContext

from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind

Samples = npt.NDArray[np.float32]

_CLICK_SAMPLES: Final = 48
_MIN_SPACING_SECONDS: Final = 0.1
_LOUD: Final = 0.3
_ENCODERS: Final = {Codec.AAC: ("aac", "fltp"), Codec.OPUS: ("libopus", "flt")}
_DECODERS: Final = {Codec.AAC: "aac", Codec.OPUS: "opus"}


def sound(seconds: float, clicks: Sequence[float], rate: int) -> Samples:
    """A quiet tone, loud for a millisecond at each of ``clicks``."""
    time = np.arange(round(seconds * rate)) / rate
    samples = (0.05 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    for click in clicks:
        start = round(click * rate)
        samples[start : start + _CLICK_SAMPLES] += 0.8
    return samples


def encode(
    samples: Samples, codec: Codec, rate: int = 48_000, layout: str = "stereo", start: int = 0
) -> list[MediaPacket]:
    """Packets whose first sample has the time ``start`` in ticks of ``rate``."""
    name, sample_format = _ENCODERS[codec]
    encoder = av.CodecContext.create(name, "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.sample_rate, encoder.format, encoder.layout = rate, sample_format, layout
    encoder.bit_rate, encoder.time_base = 128_000, Fraction(1, rate)
    encoder.open()
    track = Track(1, TrackKind.AUDIO, codec, rate, encoder.extradata or b"")
    size = encoder.frame_size
    packets = []
    for frame in (*_frames(samples, size, sample_format, layout, rate), None):
        for packet in encoder.encode(frame):
            assert packet.pts is not None
            pts = packet.pts + start
            packets.append(MediaPacket(track, pts, pts, True, bytes(packet), pts / rate))
    return packets


def _frames(
    samples: Samples, size: int, sample_format: str, layout: str, rate: int
) -> Iterator[av.AudioFrame]:
    channels = av.AudioLayout(layout).nb_channels
    is_planar = sample_format.endswith("p")
    for position in range(0, len(samples) - size + 1, size):
        part = samples[position : position + size]
        data = np.tile(part, (channels, 1)) if is_planar else np.repeat(part, channels)[np.newaxis]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(data), format=sample_format, layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, position, Fraction(1, rate)
        yield frame


def decode(packets: Sequence[MediaPacket]) -> list[tuple[float, Samples]]:
    """(seconds of the first sample, samples of the left channel) of each packet, delays not compensated."""
    track = packets[0].track
    decoder = av.CodecContext.create(_DECODERS[track.codec], "r")
    assert isinstance(decoder, AudioCodecContext)
    config = bytearray(track.config)
    if track.codec is Codec.OPUS:
        config[10:12] = b"\x00\x00"
    decoder.extradata = bytes(config)
    return [
        (packet.pts / track.clock_rate, frame.to_ndarray()[0])
        for packet in packets
        for frame in decoder.decode(av.Packet(packet.payload))
    ]


def find_clicks(decoded: Sequence[tuple[float, Samples]], rate: int = 48_000) -> list[float]:
    """When it is loud, in seconds."""
    found: list[float] = []
    for start, samples in decoded:
        for index in np.flatnonzero(np.abs(samples) > _LOUD):
            at = start + float(index) / rate
            if not found or at - found[-1] > _MIN_SPACING_SECONDS:
                found.append(at)
    return found
