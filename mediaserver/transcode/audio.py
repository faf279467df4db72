"""One audio track in another codec: AAC to Opus for WebRTC, Opus to AAC for HLS, FLV and RTMP.

Rules:

* Times of what comes out are those of what went in: the resampler follows the timestamps (FFmpeg's aresample
  with ``async``), so that a clock that drifts is followed by stretching inaudibly, a short gap becomes
  silence, and what overlaps is cut. A longer gap or a step back is a jump: everything begins anew there.
* Encoders answer with times that have their own delay taken off (Opus' pre-skip, AAC's priming), so a decoder
  that ignores such delays plays every sample at its time.
* Nothing here waits or knows threads; one AudioConverter must not be called from two at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, TypeAlias

import av
from av.audio.codeccontext import AudioCodecContext
from av.filter import Graph

from mediaserver.media.codecs import opus
from mediaserver.media.errors import MediaError
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind

SAMPLE_RATE: Final = 48_000
MAX_SILENCE_SECONDS: Final = 1
"""Longer gaps are jumps: what is missing is not made up."""
MAX_PACKET_SIZE: Final = 64 * 1024
"""More bytes than a frame of any of the codecs has, several channels included."""
MAX_CORRECTION: Final = 1000
"""Samples a second that a drifting clock is followed by; over the threshold, silence or a cut does it."""
CORRECTION_THRESHOLD_SECONDS: Final = 0.015

_PRE_SKIP: Final = slice(10, 12)


class TranscodeError(MediaError):
    """A track cannot be decoded or encoded here; the text says which and why."""


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """How one codec is encoded; ``options`` are the encoder's own, ``bitrate`` bit/s for two channels."""

    encoder: str
    sample_format: str
    samples_per_frame: int
    bitrate: int
    options: tuple[tuple[str, str], ...] = ()


ENCODERS: Final = {
    Codec.OPUS: EncoderSettings("libopus", "flt", 960, 96_000, (("application", "audio"),)),
    # The other coder, "twoloop", takes twice the time: 4 % of a core for each stream.
    Codec.AAC: EncoderSettings("aac", "fltp", 1024, 128_000, (("aac_coder", "fast"),)),
}
DECODERS: Final = {Codec.OPUS: "opus", Codec.AAC: "aac", Codec.MP3: "mp3", Codec.AC3: "ac3"}


@dataclass(slots=True)
class ConversionCounters:
    """``undecodable`` packets are lost; ``jumps`` are breaks in time after which everything began anew."""

    packets: int = 0
    undecodable: int = 0
    jumps: int = 0


class AudioConverter:
    """Packets of one stream's audio in, packets of ``target`` out, always stereo at 48 kHz."""

    def __init__(self, target: Codec) -> None:
        self._settings: Final = ENCODERS[target]
        self._target: Final = target
        self.counters: Final = ConversionCounters()
        self._source: Track | None = None
        self._chain: _Chain | None = None
        self._track: Track | None = None
        self._last_dts: int | None = None

    def convert(self, packets: Sequence[MediaPacket]) -> list[MediaPacket]:
        """What has become ready; a change of the packets' track is followed. Raises TranscodeError."""
        ready: list[MediaPacket] = []
        for packet in packets:
            self.counters.packets += 1
            try:
                ready += self._convert(packet)
            except (av.FFmpegError, ValueError) as error:
                self._chain = None
                raise TranscodeError(
                    f"{packet.track.codec.value} to {self._target.value}: {error}"
                ) from error
        return ready

    def flush(self, received_at: float) -> list[MediaPacket]:
        """The rest of what went in; the next packet begins anew."""
        chain, self._chain = self._chain, None
        return list(self._packets(chain.finish(), received_at)) if chain is not None else []

    def _convert(self, packet: MediaPacket) -> list[MediaPacket]:
        ready: list[MediaPacket] = []
        if self._source != packet.track:
            ready += self.flush(packet.received_at)
            self._source = packet.track
        elif self._chain is not None and self._chain.is_jump(packet):
            self.counters.jumps += 1
            ready += self.flush(packet.received_at)
        if self._chain is None:
            self._begin(packet.track)
        assert self._chain is not None
        try:
            encoded = self._chain.convert(packet)
        except _UndecodableError:
            self.counters.undecodable += 1
            return ready
        return ready + list(self._packets(encoded, packet.received_at))

    def _begin(self, source: Track) -> None:
        self._chain = chain = _Chain(source, self._settings)
        track = Track(source.id, TrackKind.AUDIO, self._target, SAMPLE_RATE, chain.config)
        if self._track != track:
            self._track = track

    def _packets(self, encoded: "list[EncodedPacket]", received_at: float) -> Iterator[MediaPacket]:
        assert self._track is not None
        for packet in encoded:
            dts = packet.pts
            # Below 0 is the encoder's run-in; behind the last one is what a step back in time repeats.
            if dts is None or dts < 0 or (self._last_dts is not None and dts <= self._last_dts):
                continue
            self._last_dts = dts
            yield MediaPacket(self._track, dts, dts, True, bytes(packet), received_at)


EncodedPacket: TypeAlias = "av.Packet[av.AudioStream]"


class _UndecodableError(Exception):
    """The decoder made nothing of a packet."""


class _Chain:
    """Decoder, resampler and encoder for one uninterrupted run of one track."""

    def __init__(self, source: Track, settings: EncoderSettings) -> None:
        self._settings = settings
        self._time_base = Fraction(1, source.clock_rate)
        self._max_step = MAX_SILENCE_SECONDS * source.clock_rate
        self._last_pts: int | None = None
        self._decoder = _open_decoder(source)
        self._encoder = _open_encoder(settings)
        self._graph: Graph | None = None
        self._layout: tuple[int, str, str] | None = None

    @property
    def config(self) -> bytes:
        """The decoder configuration of what comes out."""
        return self._encoder.extradata or b""

    def is_jump(self, packet: MediaPacket) -> bool:
        return self._last_pts is not None and abs(packet.pts - self._last_pts) > self._max_step

    def convert(self, packet: MediaPacket) -> list[EncodedPacket]:
        if not 0 < len(packet.payload) <= MAX_PACKET_SIZE:
            raise _UndecodableError
        coded = av.Packet(packet.payload)
        coded.pts = coded.dts = self._last_pts = packet.pts
        coded.time_base = self._time_base
        try:
            frames = self._decoder.decode(coded)
        except av.FFmpegError as error:
            raise _UndecodableError from error
        encoded: list[EncodedPacket] = []
        for frame in frames:
            encoded += self._encode(frame)
        return encoded

    def finish(self) -> list[EncodedPacket]:
        """Empty resampler and encoder; the chain is of no use after it."""
        encoded: list[EncodedPacket] = []
        try:
            if self._graph is not None:
                encoded += self._drain(self._graph, None)
            encoded += self._encoder.encode(None)
        except av.FFmpegError:  # what cannot be had any more is a few milliseconds of sound
            pass
        return encoded

    def _encode(self, frame: av.AudioFrame) -> list[EncodedPacket]:
        layout = (frame.sample_rate, frame.format.name, frame.layout.name)
        encoded: list[EncodedPacket] = []
        if layout != self._layout:
            if self._graph is not None:
                encoded += self._drain(self._graph, None)
            self._graph, self._layout = _graph(frame, self._settings), layout
        assert self._graph is not None
        return encoded + self._drain(self._graph, frame)

    def _drain(self, graph: Graph, frame: av.AudioFrame | None) -> list[EncodedPacket]:
        graph.push(frame)
        encoded: list[EncodedPacket] = []
        while True:
            try:
                resampled = graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return encoded
            assert isinstance(resampled, av.AudioFrame)
            encoded += self._encoder.encode(resampled)


def _open_decoder(source: Track) -> AudioCodecContext:
    name = DECODERS.get(source.codec)
    if name is None:
        raise TranscodeError(f"{source.codec.value} is not decoded here")
    decoder = av.CodecContext.create(name, "r")
    assert isinstance(decoder, AudioCodecContext)
    config = source.config
    if source.codec is Codec.OPUS:
        try:
            opus.check(config)
        except MediaError as error:
            raise TranscodeError(str(error)) from error
        # Nothing is skipped: packets carry their own times, and the stream may have begun long before.
        config = config[: _PRE_SKIP.start] + b"\x00\x00" + config[_PRE_SKIP.stop :]
    if source.codec in (Codec.OPUS, Codec.AAC):
        decoder.extradata = config
    decoder.thread_count = 1
    try:
        decoder.open()
    except (av.FFmpegError, ValueError) as error:
        raise TranscodeError(f"{source.codec.value} is not decoded here: {error}") from error
    return decoder


def _open_encoder(settings: EncoderSettings) -> AudioCodecContext:
    if settings.encoder not in av.codecs_available:
        raise TranscodeError(f"PyAV was built without the encoder {settings.encoder}")
    encoder = av.CodecContext.create(settings.encoder, "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.sample_rate, encoder.bit_rate = SAMPLE_RATE, settings.bitrate
    encoder.format, encoder.layout = settings.sample_format, "stereo"
    encoder.time_base = Fraction(1, SAMPLE_RATE)
    encoder.options = dict(settings.options)
    encoder.thread_count = 1
    encoder.open()
    return encoder


def _graph(frame: av.AudioFrame, settings: EncoderSettings) -> Graph:
    """From frames like ``frame`` to frames as the encoder wants them, on the timestamps' time."""
    graph = Graph()
    graph.threads = 1
    source = graph.add_abuffer(
        sample_rate=frame.sample_rate,
        format=frame.format.name,
        layout=frame.layout.name,
        time_base=frame.time_base,
    )
    # "res" resamples from the beginning: to start on the first correction would be heard.
    resampler = graph.add(
        "aresample",
        f"{SAMPLE_RATE}:async={MAX_CORRECTION}:min_hard_comp={CORRECTION_THRESHOLD_SECONDS}:flags=res",
    )
    shape = graph.add("aformat", f"sample_fmts={settings.sample_format}:channel_layouts=stereo")
    framing = graph.add("asetnsamples", f"n={settings.samples_per_frame}:p=0")
    sink = graph.add("abuffersink")
    for one, next_one in ((source, resampler), (resampler, shape), (shape, framing), (framing, sink)):
        one.link_to(next_one)
    graph.configure()
    return graph
