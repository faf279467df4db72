"""H.264 over RTP (RFC 6184), packetization modes 0 and 1: samples into payloads and back."""

from collections.abc import Iterator, Sequence
from typing import Final

from mediaserver.media.codecs import h264
from mediaserver.media.codecs.bits import BitReader
from mediaserver.media.codecs.h264 import AvcConfiguration
from mediaserver.media.codecs.nal_units import join_units, split_units
from mediaserver.media.errors import MediaError
from sfu.protocol.errors import MalformedPacket

MAX_PAYLOAD: Final = 1200
"""Bytes, with room for the headers of RTP, SRTP, UDP and IPv6 in every path's datagrams."""
MAX_UNITS: Final = 4096
"""NAL units in one frame: more than a slice for every row of macroblocks."""
MAX_PARAMETER_SETS: Final = 16
"""Of each kind; avcC could hold 31, encoders use one or two."""

STAP_A: Final = 24
FU_A: Final = 28

_FILLER: Final = 12
_START: Final = 0x80
_END: Final = 0x40
_HEADER_BITS: Final = 0xE0
"""forbidden_zero_bit and nal_ref_idc of a unit's first byte."""
_SLICES: Final = (1, 5)
_NOT_SENT: Final = frozenset((h264.UNIT_DELIMITER, _FILLER))
_PARAMETER_SETS: Final = frozenset((h264.UNIT_SPS, h264.UNIT_PPS))
_NOT_STORED: Final = _NOT_SENT | _PARAMETER_SETS
_HIGH_PROFILES: Final = frozenset((100, 110, 122, 144))
_HIGH_EXTENSION: Final = bytes.fromhex("fdf8f800")
"""8 bit 4:2:0, the only kind that WebRTC's profiles have."""


class H264Packetizer:
    """Samples of one track into payloads; the last one of a sample gets the marker bit."""

    def __init__(self, record: bytes, max_payload: int = MAX_PAYLOAD) -> None:
        """``record`` is the track's avcC. Raises CodecConfigError."""
        configuration = AvcConfiguration.parse(record)
        self._length_size = configuration.length_size
        self._parameter_sets = [
            *configuration.sequence_parameter_sets,
            *configuration.picture_parameter_sets,
        ]
        self._max_payload = max_payload

    def packetize(self, sample: bytes) -> list[bytes]:
        """Parameter sets go before every IDR, in one packet. Raises CodecConfigError."""
        units = [unit for unit in split_units(sample, self._length_size) if unit[0] & 0x1F not in _NOT_SENT]
        own_sets = [unit for unit in units if unit[0] & 0x1F in _PARAMETER_SETS]
        # The sample's own are the newer ones, if it has both kinds.
        if {unit[0] & 0x1F for unit in own_sets} == _PARAMETER_SETS:
            self._parameter_sets = own_sets
        payloads: list[bytes] = []
        has_sets = False
        for unit in units:
            kind = unit[0] & 0x1F
            if kind in _PARAMETER_SETS:
                continue
            if kind == h264.UNIT_IDR and not has_sets:
                payloads += self._aggregated(self._parameter_sets)
                has_sets = True
            payloads += self._fragments(unit)
        return payloads

    def _aggregated(self, units: Sequence[bytes]) -> list[bytes]:
        """One STAP-A (5.7.1), or each unit for itself where that would be too large."""
        size = 1 + sum(2 + len(unit) for unit in units)
        if size > self._max_payload:
            return [payload for unit in units for payload in self._fragments(unit)]
        reference = max(unit[0] & 0x60 for unit in units)
        return [bytes((reference | STAP_A,)) + join_units(list(units), 2)]

    def _fragments(self, unit: bytes) -> list[bytes]:
        """The unit as it is, or in FU-As (5.8) of about the same size."""
        if len(unit) <= self._max_payload:
            return [unit]
        body = len(unit) - 1
        count = -(-body // (self._max_payload - 2))
        size = -(-body // count)
        indicator, kind = unit[0] & _HEADER_BITS | FU_A, unit[0] & 0x1F
        payloads = []
        for start in range(1, len(unit), size):
            edges = (_START if start == 1 else 0) | (_END if start + size >= len(unit) else 0)
            payloads.append(bytes((indicator, edges | kind)) + unit[start : start + size])
        return payloads


class H264Format:
    """Payloads into samples without parameter sets, which become the configuration."""

    def __init__(self) -> None:
        self._sequence_sets: dict[int, bytes] = {}
        self._picture_sets: dict[int, bytes] = {}
        self._config: bytes | None = None
        self._is_config_stale = True

    @property
    def config(self) -> bytes | None:
        """The avcC record of the parameter sets of the last keyframe."""
        return self._config

    def starts_frame(self, payload: bytes) -> bool:
        """A parameter set or the like, or the slice that begins with macroblock 0."""
        kind = payload[0] & 0x1F if payload else 0
        if kind == STAP_A:
            return len(payload) > 3 and self.starts_frame(payload[3:])
        if kind == FU_A:
            if len(payload) < 3 or not payload[1] & _START:
                return False
            return payload[1] & 0x1F not in _SLICES or payload[2] > 0x7F
        if kind in _SLICES:
            return len(payload) > 1 and payload[1] > 0x7F
        return 6 <= kind <= h264.UNIT_DELIMITER

    def assemble(self, payloads: Sequence[bytes]) -> tuple[bytes, bool]:
        units = []
        is_keyframe = False
        for unit in _units(payloads):
            kind = unit[0] & 0x1F
            if kind in _PARAMETER_SETS:
                self._learn(unit)
            if kind == h264.UNIT_IDR:
                is_keyframe = True
            if kind not in _NOT_STORED:
                units.append(unit)
        if is_keyframe and self._is_config_stale:
            self._config = self._record()
            self._is_config_stale = False
        return join_units(units), is_keyframe

    def _learn(self, unit: bytes) -> None:
        try:
            is_sequence = unit[0] & 0x1F == h264.UNIT_SPS
            number = BitReader(unit[4:] if is_sequence else unit[1:]).unsigned_golomb()
        except MediaError as error:
            raise MalformedPacket(f"H.264 parameter set: {error}") from error
        known = self._sequence_sets if is_sequence else self._picture_sets
        if number not in known and len(known) >= MAX_PARAMETER_SETS:
            raise MalformedPacket(f"more than {MAX_PARAMETER_SETS} H.264 parameter sets")
        if known.pop(number, None) != unit:
            self._is_config_stale = True
        known[number] = unit

    def _record(self) -> bytes:
        # The newest goes first, since it is the one that descriptions are made of.
        sequence_sets = tuple(reversed(self._sequence_sets.values()))
        picture_sets = tuple(self._picture_sets.values())
        if not sequence_sets or not picture_sets or len(sequence_sets[0]) < 4:
            raise MalformedPacket("H.264 keyframe without parameter sets")
        profile, compatibility, level = sequence_sets[0][1:4]
        extension = _HIGH_EXTENSION if profile in _HIGH_PROFILES else b""
        record = AvcConfiguration(
            profile, compatibility, level, 4, sequence_sets, picture_sets, extension
        ).serialize()
        try:
            h264.describe(record)
        except MediaError as error:
            raise MalformedPacket(f"H.264 keyframe: {error}") from error
        return record


def _units(payloads: Sequence[bytes]) -> Iterator[bytes]:
    """The NAL units in the packets of one frame. Raises MalformedPacket."""
    fragments: list[bytes] = []
    count = 0
    for payload in payloads:
        kind = payload[0] & 0x1F if payload else 0
        if fragments and kind != FU_A:
            raise MalformedPacket("H.264 unit without its last fragment")
        if kind == FU_A:
            if unit := _fragment(payload, fragments):
                count += 1
                yield unit
        elif kind == STAP_A:
            for unit in _aggregated_units(payload):
                count += 1
                yield unit
        elif 1 <= kind < STAP_A:
            count += 1
            yield payload
        elif payload:  # an empty packet only probes the path
            raise MalformedPacket(f"H.264 packet of type {kind}")
        if count > MAX_UNITS:
            raise MalformedPacket(f"H.264 frame of more than {MAX_UNITS} units")
    if fragments:
        raise MalformedPacket("H.264 unit without its last fragment")


def _fragment(payload: bytes, fragments: list[bytes]) -> bytes | None:
    """The unit that ``payload`` completes, if it does."""
    if len(payload) < 2:
        raise MalformedPacket("H.264 fragment without its header")
    header = payload[1]
    if bool(header & _START) == bool(fragments):
        raise MalformedPacket("H.264 fragments that do not begin, or begin twice")
    if not fragments:
        fragments.append(bytes((payload[0] & _HEADER_BITS | header & 0x1F,)))
    fragments.append(payload[2:])
    if not header & _END:
        return None
    unit = b"".join(fragments)
    fragments.clear()
    return unit


def _aggregated_units(payload: bytes) -> list[bytes]:
    try:
        return list(split_units(payload[1:], 2))
    except MediaError as error:
        raise MalformedPacket(f"H.264 aggregation: {error}") from error
