"""Offers as browsers make them, in short, and what matters of the answers."""

from dataclasses import dataclass
from typing import Final

from bench.errors import BenchError
from bench.webrtc_load.packets import PROFILE_LEVEL_ID
from sfu.dtls import DtlsRole, Fingerprint
from sfu.protocol.ice_lite import IceCredentials
from sfu.protocol.sdp import MalformedDescription, Offer, parse_offer

AUDIO_MID: Final = "0"
VIDEO_MID: Final = "1"
OPUS: Final = 111
H264: Final = 102
RTX: Final = 103
MID_ID: Final = 4
TRANSPORT_ID: Final = 3
SEND_TIME_ID: Final = 2

_MID_URI: Final = "urn:ietf:params:rtp-hdrext:sdes:mid"
_SEND_TIME_URI: Final = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
TRANSPORT_URI: Final = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"


@dataclass(frozen=True, slots=True)
class Sources:
    """The SSRCs of a publisher."""

    audio: int
    video: int
    video_rtx: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What it takes to connect. ``transport_id`` is the extension of transport-wide numbers, 0 for none."""

    ice_username: str
    ice_password: str
    fingerprints: tuple[Fingerprint, ...]
    role: DtlsRole
    """Ours."""
    host: str
    port: int
    transport_id: int = 0
    repairing: frozenset[int] = frozenset()
    """Payload types of retransmissions."""


def make_offer(
    ice: IceCredentials, fingerprint: Fingerprint, sources: Sources | None, *, has_feedback: bool = True
) -> str:
    """Return the offer of a publisher with ``sources``, or without them of a viewer."""
    session = ("v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0")
    group = (f"a=group:BUNDLE {AUDIO_MID} {VIDEO_MID}", "a=extmap-allow-mixed", "a=msid-semantic: WMS *")
    transport = (
        f"a=ice-ufrag:{ice.username_fragment}",
        f"a=ice-pwd:{ice.password}",
        f"a=fingerprint:{fingerprint.algorithm} {fingerprint.value}",
        "a=setup:actpass",
    )
    lines = [*session, *group]
    for mid, codecs, ssrcs in (
        (AUDIO_MID, _audio_lines(has_feedback), sources and [sources.audio]),
        (VIDEO_MID, _video_lines(has_feedback), sources and [sources.video, sources.video_rtx]),
    ):
        kind, formats = ("audio", f"{OPUS}") if mid == AUDIO_MID else ("video", f"{H264} {RTX}")
        lines += [f"m={kind} 9 UDP/TLS/RTP/SAVPF {formats}", "c=IN IP4 0.0.0.0", "a=rtcp:9 IN IP4 0.0.0.0"]
        lines += [*transport, f"a=mid:{mid}", "a=rtcp-mux", "a=rtcp-rsize", *_extension_lines(has_feedback)]
        lines += ["a=recvonly"] if ssrcs is None else ["a=sendonly", f"a=msid:bench {kind}"]
        lines += [*codecs, *_source_lines(ssrcs or [])]
    return "".join(f"{line}\r\n" for line in lines)


def _extension_lines(has_feedback: bool) -> list[str]:
    lines = [f"a=extmap:{MID_ID} {_MID_URI}"]
    if has_feedback:
        lines += [f"a=extmap:{SEND_TIME_ID} {_SEND_TIME_URI}", f"a=extmap:{TRANSPORT_ID} {TRANSPORT_URI}"]
    return lines


def _audio_lines(has_feedback: bool) -> list[str]:
    lines = [f"a=rtpmap:{OPUS} opus/48000/2", f"a=fmtp:{OPUS} minptime=10;useinbandfec=1"]
    return lines + ([f"a=rtcp-fb:{OPUS} transport-cc"] if has_feedback else [])


def _video_lines(has_feedback: bool) -> list[str]:
    fmtp = f"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={PROFILE_LEVEL_ID}"
    feedbacks = ["nack", "nack pli", "ccm fir", *(["transport-cc"] if has_feedback else [])]
    return [
        f"a=rtpmap:{H264} H264/90000",
        f"a=fmtp:{H264} {fmtp}",
        *(f"a=rtcp-fb:{H264} {feedback}" for feedback in feedbacks),
        f"a=rtpmap:{RTX} rtx/90000",
        f"a=fmtp:{RTX} apt={H264}",
    ]


def _source_lines(ssrcs: list[int]) -> list[str]:
    lines = [f"a=ssrc-group:FID {ssrcs[0]} {ssrcs[1]}"] if len(ssrcs) == 2 else []
    return lines + [f"a=ssrc:{ssrc} cname:bench" for ssrc in ssrcs]


def read_answer(text: str) -> Answer:
    """Return what an answer says. Raises BenchError for one that cannot be used."""
    try:
        answer = parse_offer(text)  # an answer has the form of an offer
    except MalformedDescription as error:
        raise BenchError(f"the answer's line {error.line}: {error.reason}") from None
    udp = [candidate for candidate in answer.candidates if candidate.protocol == "udp"]
    if not udp:
        raise BenchError("the answer has no UDP candidate")
    return Answer(
        answer.ice.username_fragment,
        answer.ice.password,
        tuple(Fingerprint(entry.algorithm, entry.value) for entry in answer.dtls.fingerprints),
        DtlsRole.SERVER if answer.dtls.role == "client" else DtlsRole.CLIENT,
        udp[0].ip or udp[0].address,
        udp[0].port,
        _transport_id(answer),
        _repairing(answer),
    )


def _transport_id(answer: Offer) -> int:
    extensions = [extension for section in answer.sections for extension in section.header_extensions]
    return next((entry.preferred_id for entry in extensions if entry.uri == TRANSPORT_URI), 0)


def _repairing(answer: Offer) -> frozenset[int]:
    codecs = [codec for section in answer.sections for codec in section.codecs]
    return frozenset(codec.payload_type for codec in codecs if codec.mime_type.lower().endswith("/rtx"))
