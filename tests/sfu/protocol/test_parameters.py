"""The shapes of the signalling: mediasoup-client's JSON is taken, what could harm others is refused."""

from __future__ import annotations

import json

import msgspec
import pytest

from sfu.protocol.errors import ProtocolError
from sfu.protocol.parameters import (
    DtlsFingerprint,
    DtlsParameters,
    IceParameters,
    RtpCapabilities,
    RtpParameters,
    SctpParameters,
    Shape,
)
from sfu.protocol.sdp.lines import join

FINGERPRINT = ":".join(["A0"] * 32)
PRODUCED = {
    "mid": "1",
    "codecs": [
        {
            "mimeType": "video/VP8",
            "payloadType": 96,
            "clockRate": 90000,
            "parameters": {"x-google-start-bitrate": 1000},
            "rtcpFeedback": [{"type": "nack", "parameter": "pli"}, {"type": "goog-remb", "parameter": ""}],
        },
        {"mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000, "parameters": {"apt": 96}},
    ],
    "headerExtensions": [
        {"uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 4, "encrypt": False, "parameters": {}}
    ],
    "encodings": [
        {"active": True, "rid": "r0", "scaleResolutionDownBy": 4, "maxBitrate": 100000, "dtx": False},
        {"ssrc": 4294967295, "rtx": {"ssrc": 1}, "maxFramerate": 30, "networkPriority": "high"},
    ],
    "rtcp": {"cname": "lgmZZ8aRZZ8aRZZ8", "reducedSize": True},
}


def test_what_mediasoup_client_produces() -> None:
    parameters = msgspec.convert(json.loads(json.dumps(PRODUCED)), RtpParameters)
    assert parameters.encodings[0].scale_resolution_down_by == 4
    assert parameters.encodings[1].ssrc == 0xFFFF_FFFF
    assert parameters.codecs[1].parameters == {"apt": 96}
    written = json.loads(msgspec.json.encode(parameters))
    assert written["codecs"][0]["rtcpFeedback"][0] == {"type": "nack", "parameter": "pli"}
    assert msgspec.convert(written, RtpParameters) == parameters


def test_no_nulls_are_written() -> None:
    parameters = msgspec.convert(json.loads(json.dumps(PRODUCED)), RtpParameters)
    assert b"null" not in msgspec.json.encode(parameters)


def test_names_that_are_not_camel_case() -> None:
    assert json.loads(msgspec.json.encode(SctpParameters(port=5000))) == {
        "port": 5000,
        "OS": 1024,
        "MIS": 1024,
        "maxMessageSize": 262144,
    }
    dtls = DtlsParameters(fingerprints=(DtlsFingerprint(algorithm="sha-256", value=FINGERPRINT),))
    assert json.loads(msgspec.json.encode(dtls))["role"] == "auto"


def _produced(path: tuple[str | int, ...], value: object) -> dict[str, object]:
    """Return what is produced with one value in it replaced."""
    changed: dict[str, object] = json.loads(json.dumps(PRODUCED))
    place: object = changed
    for step in path[:-1]:
        place = place[step]  # type: ignore[index]
    place[path[-1]] = value  # type: ignore[index]
    return changed


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("mid",), "1\r\na=x"),
        (("mid",), ""),
        (("mid",), "1\n"),
        (("codecs",), []),
        (("codecs", 0, "mimeType"), "video/VP8\r\n"),
        (("codecs", 0, "mimeType"), "image/png"),
        (("codecs", 0, "payloadType"), 128),
        (("codecs", 0, "payloadType"), "96"),
        (("codecs", 0, "clockRate"), 0),
        (("codecs", 0, "channels"), 0),
        (("codecs", 0, "parameters"), {"a": "b\r\na=candidate:"}),
        (("codecs", 0, "parameters"), {"a;b": 1}),
        (("codecs", 0, "parameters"), {"a\nb": 1}),
        (("codecs", 0, "parameters"), {"a": None}),
        (("codecs", 0, "parameters"), {"a": [1]}),
        (("codecs", 0, "parameters"), {f"a{index}": 1 for index in range(33)}),
        (("codecs", 0, "rtcpFeedback", 0, "type"), "nack\n"),
        (("codecs", 0, "rtcpFeedback", 0, "parameter"), "pli\x00"),
        (("codecs", 0, "rtcpFeedback"), [{"type": "nack"}] * 17),
        (("headerExtensions", 0, "id"), 0),
        (("headerExtensions", 0, "id"), 256),
        (("headerExtensions", 0, "uri"), "urn:\r\n"),
        (("encodings", 0, "rid"), "a;b"),
        (("encodings", 0, "rid"), "a" * 17),
        (("encodings", 0, "ssrc"), 2**32),
        (("encodings", 0, "ssrc"), -1),
        (("encodings", 0, "scalabilityMode"), "L1T1\n"),
        (("encodings", 0, "scaleResolutionDownBy"), 0.5),
        (("encodings",), [{}] * 9),
        (("rtcp", "cname"), "a\u2028b"),
        (("rtcp", "cname"), "a" * 513),
    ],
)
def test_refused(path: tuple[str | int, ...], value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(_produced(path, value), RtpParameters)


@pytest.mark.parametrize("code", [*range(0x100), 0x2028, 0x2029, 0xD800, 0xDFFF, 0xFEFF, 0x1F600])
def test_texts_are_what_may_stand_in_a_description(code: int) -> None:
    """Neither is one peer's text refused that came in a description, nor does it break another's."""
    text = f"a{chr(code)}b"
    try:
        join([f"a={text}"])
    except ProtocolError:
        for values in ({"a": text}, {text: "a"}):
            with pytest.raises(msgspec.ValidationError):
                msgspec.convert(_produced(("codecs", 0, "parameters"), values), RtpParameters)
    else:
        msgspec.convert(_produced(("codecs", 0, "parameters"), {"a": text}), RtpParameters)
        assert "\n" not in text


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        (IceParameters, {"usernameFragment": "abc", "password": "a" * 22}),
        (IceParameters, {"usernameFragment": "abcd", "password": "a" * 21}),
        (IceParameters, {"usernameFragment": "ab:d", "password": "a" * 22}),
        (DtlsParameters, {"fingerprints": []}),
        (DtlsParameters, {"fingerprints": [{"algorithm": "md5", "value": FINGERPRINT}]}),
        (DtlsParameters, {"fingerprints": [{"algorithm": "sha-256", "value": FINGERPRINT[:-1]}]}),
        (DtlsParameters, {"fingerprints": [{"algorithm": "sha-256", "value": FINGERPRINT}], "role": "x"}),
        (RtpCapabilities, {"codecs": [{"kind": "video"}]}),
    ],
)
def test_other_shapes_refuse(shape: type[Shape], value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(value, shape)
