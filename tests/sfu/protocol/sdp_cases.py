"""Offers for the tests: samples of real senders, and a small one to change line by line."""

from __future__ import annotations

from pathlib import Path

from sfu.protocol import ortc
from sfu.protocol.parameters import (
    DtlsFingerprint,
    DtlsParameters,
    IceCandidate,
    IceParameters,
    SctpParameters,
)
from sfu.protocol.sdp import Endpoint

SAMPLES = Path(__file__).parent / "sdp_samples"
NAMES = sorted(path.stem for path in SAMPLES.glob("*.sdp"))
ROUTER = ortc.router_rtp_capabilities(ortc.default_media_codecs())
ENDPOINT = Endpoint(
    ice=IceParameters(username_fragment="serverfragment", password="s" * 24, ice_lite=True),
    dtls=DtlsParameters(fingerprints=(DtlsFingerprint(algorithm="sha-256", value=":".join(["AB"] * 32)),)),
    candidates=(
        IceCandidate(
            foundation="v6", priority=2_000, address="2001:db8::1", protocol="udp", port=44_000, type="host"
        ),
        IceCandidate(
            foundation="v4", priority=1_000, address="192.0.2.1", protocol="udp", port=44_000, type="host"
        ),
        IceCandidate(
            foundation="tcp",
            priority=500,
            address="192.0.2.1",
            protocol="tcp",
            port=44_000,
            type="host",
            tcp_type="passive",
        ),
    ),
    sctp=SctpParameters(port=5000),
)
SMALL = [
    "v=0",
    "o=- 1 1 IN IP4 127.0.0.1",
    "s=-",
    "t=0 0",
    "a=group:BUNDLE 0",
    "a=ice-ufrag:abcd",
    "a=ice-pwd:0123456789012345678901",
    "a=fingerprint:sha-256 " + ":".join(["0a"] * 32),
    "a=setup:actpass",
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97",
    "c=IN IP4 0.0.0.0",
    "a=mid:0",
    "a=rtcp-mux",
    "a=sendonly",
    "a=rtpmap:96 VP8/90000",
    "a=rtpmap:97 rtx/90000",
    "a=fmtp:97 apt=96",
]


def sample(name: str) -> str:
    """Return the text of a sample as it was sent."""
    return (SAMPLES / f"{name}.sdp").read_bytes().decode()


def small(*more: str, without: str = "") -> str:
    """Return the small offer without the lines that begin with `without`, and with `more` at its end."""
    kept = [line for line in SMALL if not without or not line.startswith(without)]
    return "\r\n".join([*kept, *more, ""])


def section(media: str, *attributes: str) -> list[str]:
    """Return the lines of a further section."""
    return [f"m={media}", "c=IN IP4 0.0.0.0", *(f"a={attribute}" for attribute in attributes)]
