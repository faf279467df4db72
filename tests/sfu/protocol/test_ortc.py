"""Negotiation as mediasoup's: the cases follow its tests of ortc."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sfu.protocol import ortc
from sfu.protocol.codec_matching import is_rtx, match_codecs, scalability_mode
from sfu.protocol.codecs import ABS_SEND_TIME, MID, RID, TRANSPORT_SEQUENCE
from sfu.protocol.parameters import (
    Direction,
    RtcpFeedback,
    RtcpParameters,
    RtpCapabilities,
    RtpCodecCapability,
    RtpCodecParameters,
    RtpEncodingParameters,
    RtpParameters,
    RtxParameters,
    SctpStreamParameters,
)
from sfu.protocol.red import is_red

SSRC = 500
OPUS_SENT = RtpCodecParameters(mime_type="audio/opus", payload_type=111, clock_rate=48_000, channels=2)
OPUS = RtpCodecCapability(kind="audio", mime_type="audio/opus", clock_rate=48_000, channels=2)
VP8 = RtpCodecCapability(kind="video", mime_type="video/VP8", clock_rate=90_000)
H264 = RtpCodecCapability(
    kind="video",
    mime_type="video/H264",
    clock_rate=90_000,
    parameters={"packetization-mode": 1, "profile-level-id": "4d0032", "level-asymmetry-allowed": 1},
)
ROUTER = ortc.router_rtp_capabilities([OPUS, H264, VP8])


def h264(number: int = 111, **parameters: str | int) -> RtpCodecParameters:
    named = {name.replace("_", "-"): value for name, value in parameters.items()}
    defaults = {"packetization-mode": 1, "profile-level-id": "4d0032"}
    return RtpCodecParameters(
        mime_type="video/h264", payload_type=number, clock_rate=90_000, parameters={**defaults, **named}
    )


def rtx(number: int = 112, apt: int | str = 111) -> RtpCodecParameters:
    return RtpCodecParameters(
        mime_type="video/rtx", payload_type=number, clock_rate=90_000, parameters={"apt": apt}
    )


SIMULCAST = RtpParameters(
    codecs=(h264(), rtx()),
    encodings=(
        RtpEncodingParameters(ssrc=11, rtx=RtxParameters(ssrc=12), max_bitrate=100, scalability_mode="L1T3"),
        RtpEncodingParameters(rid="b", max_bitrate=300),
    ),
    rtcp=RtcpParameters(cname="qwerty"),
)


def consumable(parameters: RtpParameters = SIMULCAST, router: RtpCapabilities = ROUTER) -> RtpParameters:
    mapping = ortc.producer_mapping(parameters, router, SSRC)
    return ortc.consumable_parameters("video", parameters, router, mapping)


def test_router_gives_out_payload_types_and_rtx() -> None:
    numbers = [(codec.mime_type, codec.preferred_payload_type) for codec in ROUTER.codecs]
    assert numbers == [
        ("audio/opus", 100),
        ("video/H264", 101),
        ("video/rtx", 102),
        ("video/VP8", 103),
        ("video/rtx", 104),
    ]
    assert [codec.parameters["apt"] for codec in ROUTER.codecs if is_rtx(codec)] == [101, 103]
    assert RtcpFeedback(type="nack", parameter="pli") in ROUTER.codecs[1].rtcp_feedback
    assert not ROUTER.codecs[2].rtcp_feedback


def test_router_keeps_wanted_payload_types_free() -> None:
    router = ortc.router_rtp_capabilities([H264, replace(VP8, preferred_payload_type=101)])
    numbers = [codec.preferred_payload_type for codec in router.codecs]
    assert numbers[2] == 101
    assert len(set(numbers)) == len(numbers)


def test_router_refuses_clashes_and_what_it_cannot_forward() -> None:
    twice = replace(VP8, preferred_payload_type=100)
    with pytest.raises(ortc.InvalidParameters, match="100"):
        ortc.router_rtp_capabilities([replace(OPUS, preferred_payload_type=100), twice])
    with pytest.raises(ortc.UnsupportedParameters, match="chicken"):
        ortc.router_rtp_capabilities([replace(VP8, mime_type="video/chicken")])
    with pytest.raises(ortc.UnsupportedParameters):
        ortc.router_rtp_capabilities([replace(OPUS, channels=1)])
    with pytest.raises(ortc.InvalidParameters, match="no payload types"):
        ortc.router_rtp_capabilities([VP8] * 17)


def test_default_router() -> None:
    router = ortc.router_rtp_capabilities(ortc.default_media_codecs())
    numbers = [codec.preferred_payload_type for codec in router.codecs]
    assert len(set(numbers)) == len(numbers)
    assert None not in numbers
    profiles = {codec.parameters.get("profile-level-id") for codec in router.codecs}
    assert profiles >= {"42e01f", "42001f", "640c1f", "64001f"}
    assert all(extension.preferred_id < 15 for extension in router.header_extensions)


def test_producer_is_mapped_to_the_router() -> None:
    mapping = ortc.producer_mapping(SIMULCAST, ROUTER, SSRC)
    assert mapping.codecs == (ortc.CodecMapping(111, 101), ortc.CodecMapping(112, 102))
    assert mapping.encodings == (
        ortc.EncodingMapping(SSRC, ssrc=11, scalability_mode="L1T3"),
        ortc.EncodingMapping(SSRC + 1, rid="b"),
    )


def test_consumable_speaks_the_routers_numbers() -> None:
    result = consumable()
    assert [(codec.mime_type, codec.payload_type) for codec in result.codecs] == [
        ("video/H264", 101),
        ("video/rtx", 102),
    ]
    assert result.codecs[0].parameters["profile-level-id"] == "4d0032"
    assert [encoding.ssrc for encoding in result.encodings] == [SSRC, SSRC + 1]
    assert all(encoding.rid is None and encoding.rtx is None for encoding in result.encodings)
    assert result.encodings[0].scalability_mode == "L1T3"
    assert result.rtcp == RtcpParameters(cname="qwerty", reduced_size=True)
    uris = [extension.uri for extension in result.header_extensions]
    assert MID in uris
    assert RID not in uris


def test_audio_is_consumed_without_transport_cc() -> None:
    codec = RtpCodecParameters(mime_type="audio/OPUS", payload_type=111, clock_rate=48_000, channels=2)
    parameters = RtpParameters(codecs=(codec,), encodings=(RtpEncodingParameters(ssrc=1),))
    mapping = ortc.producer_mapping(parameters, ROUTER, SSRC)
    result = ortc.consumable_parameters("audio", parameters, ROUTER, mapping)
    assert TRANSPORT_SEQUENCE not in [extension.uri for extension in result.header_extensions]
    assert result.codecs[0].payload_type == 100


@pytest.mark.parametrize(
    ("codecs", "message"),
    [
        ((h264(), rtx(apt=99)), "repeats no codec"),
        ((h264(), rtx(), rtx(113, apt=112)), "repeats no codec"),
        ((h264(), rtx(apt="111")), "without apt"),
        ((h264(), h264()), "payload type 111 more than once"),
    ],
)
def test_contradicting_codecs(codecs: tuple[RtpCodecParameters, ...], message: str) -> None:
    with pytest.raises(ortc.InvalidParameters, match=message):
        ortc.producer_mapping(RtpParameters(codecs=codecs), ROUTER, SSRC)


@pytest.mark.parametrize(
    "encodings",
    [
        (RtpEncodingParameters(ssrc=1), RtpEncodingParameters(ssrc=1)),
        (RtpEncodingParameters(rid="a"), RtpEncodingParameters(rid="a")),
        (RtpEncodingParameters(ssrc=1, rtx=RtxParameters(ssrc=1)),),
    ],
)
def test_streams_of_one_name(encodings: tuple[RtpEncodingParameters, ...]) -> None:
    with pytest.raises(ortc.InvalidParameters, match="more than once"):
        ortc.producer_mapping(RtpParameters(codecs=(h264(),), encodings=encodings), ROUTER, SSRC)


def test_kinds_do_not_mix() -> None:
    opus = RtpCodecParameters(mime_type="audio/opus", payload_type=100, clock_rate=48_000, channels=2)
    with pytest.raises(ortc.InvalidParameters, match="kind"):
        ortc.check(RtpParameters(codecs=(h264(), opus)))


@pytest.mark.parametrize(
    "codec",
    [
        h264(profile_level_id="42e01f"),
        h264(packetization_mode=0),
        replace(h264(), clock_rate=48_000),
        replace(h264(), mime_type="video/VP9"),
    ],
)
def test_what_the_router_lacks(codec: RtpCodecParameters) -> None:
    with pytest.raises(ortc.UnsupportedParameters):
        ortc.producer_mapping(RtpParameters(codecs=(codec,)), ROUTER, SSRC)


@pytest.mark.parametrize(("mime_type", "name"), [("video/VP9", "profile-id"), ("video/AV1", "profile")])
def test_profiles_of_newer_codecs(mime_type: str, name: str) -> None:
    plain = replace(VP8, mime_type=mime_type)
    assert match_codecs(plain, replace(plain, parameters={name: 0}))
    assert match_codecs(replace(plain, parameters={name: "2"}), replace(plain, parameters={name: 2}))
    assert not match_codecs(plain, replace(plain, parameters={name: 2}))
    assert match_codecs(plain, replace(plain, parameters={name: 2}), strict=False)


def test_mono_is_not_stereo() -> None:
    assert not match_codecs(OPUS, replace(OPUS, channels=None))
    assert match_codecs(replace(OPUS, channels=1), replace(OPUS, channels=None))


def test_consumer_gets_one_stream() -> None:
    result = ortc.consumer_parameters(consumable(), ROUTER, 9000, mid="4")
    assert result.mid == "4"
    assert result.encodings == (
        RtpEncodingParameters(
            ssrc=9000, rtx=RtxParameters(ssrc=9001), scalability_mode="L2T3", max_bitrate=300
        ),
    )
    assert [codec.payload_type for codec in result.codecs] == [101, 102]
    assert result.rtcp.cname == "qwerty"


def _without(uri: str, capabilities: RtpCapabilities) -> RtpCapabilities:
    kept = tuple(entry for entry in capabilities.header_extensions if entry.uri != uri)
    return replace(capabilities, header_extensions=kept)


def _feedback(capabilities: RtpCapabilities) -> set[str]:
    result = ortc.consumer_parameters(consumable(), capabilities, 1)
    return {entry.type for entry in result.codecs[0].rtcp_feedback}


def test_one_kind_of_congestion_feedback() -> None:
    without_transport = _without(TRANSPORT_SEQUENCE, ROUTER)
    assert _feedback(ROUTER) == {"nack", "ccm", "transport-cc"}
    assert _feedback(without_transport) == {"nack", "ccm", "goog-remb"}
    assert _feedback(_without(ABS_SEND_TIME, without_transport)) == {"nack", "ccm"}


def test_consumer_without_rtx() -> None:
    result = ortc.consumer_parameters(consumable(), ROUTER, 1, enable_rtx=False)
    assert [codec.mime_type for codec in result.codecs] == ["video/H264"]
    assert result.encodings[0].rtx is None
    assert RtcpFeedback(type="nack") not in result.codecs[0].rtcp_feedback
    assert RtcpFeedback(type="nack", parameter="pli") in result.codecs[0].rtcp_feedback


def test_a_consumer_is_offered_no_nack_without_rtx() -> None:
    peer = replace(ROUTER, codecs=tuple(codec for codec in ROUTER.codecs if not is_rtx(codec)))
    assert _feedback(peer) == {"nack", "ccm", "transport-cc"}
    assert (
        RtcpFeedback(type="nack")
        not in ortc.consumer_parameters(consumable(), peer, 1).codecs[0].rtcp_feedback
    )


def test_sound_is_asked_of_a_producer_again_and_never_sent_again() -> None:
    codec = RtpCodecParameters(mime_type="audio/opus", payload_type=111, clock_rate=48_000, channels=2)
    parameters = RtpParameters(codecs=(codec,), encodings=(RtpEncodingParameters(ssrc=5),))
    mapping = ortc.producer_mapping(parameters, ROUTER, SSRC)
    produced = ortc.consumable_parameters("audio", parameters, ROUTER, mapping)
    assert RtcpFeedback(type="nack") in produced.codecs[0].rtcp_feedback
    consumed = ortc.consumer_parameters(produced, ROUTER, 1)
    assert "nack" not in {entry.type for entry in consumed.codecs[0].rtcp_feedback}


def test_extensions_under_another_id_are_left_out() -> None:
    moved = tuple(replace(entry, preferred_id=entry.preferred_id + 1) for entry in ROUTER.header_extensions)
    result = ortc.consumer_parameters(consumable(), replace(ROUTER, header_extensions=moved), 1)
    assert not result.header_extensions


@pytest.mark.parametrize(
    "codecs", [(), (VP8,), (replace(VP8, mime_type="video/rtx", parameters={"apt": 101}),)]
)
def test_nothing_in_common(codecs: tuple[RtpCodecCapability, ...]) -> None:
    capabilities = RtpCapabilities(codecs=codecs)
    assert not ortc.can_consume(consumable(), capabilities)
    with pytest.raises(ortc.UnsupportedParameters):
        ortc.consumer_parameters(consumable(), capabilities, 1)


def test_can_consume() -> None:
    assert ortc.can_consume(consumable(), RtpCapabilities(codecs=(H264,)))


def test_level_is_ignored_and_profile_is_not() -> None:
    lower = replace(H264, parameters={**H264.parameters, "profile-level-id": "4d001f"})
    other = replace(H264, parameters={**H264.parameters, "profile-level-id": "42e01f"})
    assert ortc.can_consume(consumable(), RtpCapabilities(codecs=(lower,)))
    assert not ortc.can_consume(consumable(), RtpCapabilities(codecs=(other,)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, (1, 1, False)),
        ("L3T3", (3, 3, False)),
        ("L3T2_KEY", (3, 2, True)),
        ("S2T1", (2, 1, False)),
        ("L0T1", (1, 1, False)),
        ("nonsense", (1, 1, False)),
    ],
)
def test_scalability_mode(name: str | None, expected: tuple[int, int, bool]) -> None:
    assert scalability_mode(name) == expected


def test_data_streams() -> None:
    plain = SctpStreamParameters(stream_id=1)
    assert ortc.stream_parameters(plain).ordered is True
    assert ortc.stream_parameters(replace(plain, max_retransmits=0)).ordered is False
    assert ortc.stream_parameters(replace(plain, ordered=False)).ordered is False
    with pytest.raises(ortc.InvalidParameters, match="ordered"):
        ortc.stream_parameters(replace(plain, ordered=True, max_retransmits=1))
    with pytest.raises(ortc.InvalidParameters, match="both"):
        ortc.stream_parameters(replace(plain, max_packet_life_time=1, max_retransmits=1))


def test_reverse_directions() -> None:
    assert Direction.SENDONLY.reverse is Direction.RECVONLY
    assert Direction.SENDRECV.reverse is Direction.SENDRECV
    assert Direction.INACTIVE.reverse is Direction.INACTIVE


def test_redundant_audio_names_the_opus_of_its_router() -> None:
    red = RtpCodecCapability(kind="audio", mime_type="audio/red", clock_rate=48_000, channels=2)
    router = ortc.router_rtp_capabilities([red, replace(OPUS, preferred_payload_type=99)])
    found = {codec.mime_type: codec for codec in router.codecs}
    assert found["audio/red"].parameters == {"": "99/99"}
    with pytest.raises(ortc.UnsupportedParameters, match="opus"):
        ortc.router_rtp_capabilities([red])
    default = ortc.router_rtp_capabilities(ortc.default_media_codecs())
    numbers = [(codec.mime_type, codec.preferred_payload_type, codec.parameters) for codec in default.codecs]
    assert numbers[1] == ("audio/red", 101, {"": "100/100"})


@given(st.permutations(ortc.default_media_codecs()), st.integers(0, 0xFFFF_FFFF))
def test_every_router_consumes_its_own(media: list[RtpCodecCapability], ssrc: int) -> None:
    router = ortc.router_rtp_capabilities(media)
    for codec in router.codecs:
        if is_rtx(codec):
            continue
        own = RtpCodecParameters(
            mime_type=codec.mime_type,
            payload_type=35,
            clock_rate=codec.clock_rate,
            channels=codec.channels,
            parameters=codec.parameters,
        )
        sent = (replace(own, parameters={"111/111": ""}), OPUS_SENT) if is_red(codec) else (own,)
        parameters = RtpParameters(codecs=sent, encodings=(RtpEncodingParameters(ssrc=7),))
        mapping = ortc.producer_mapping(parameters, router, ssrc)
        produced = ortc.consumable_parameters(codec.kind, parameters, router, mapping)
        assert ortc.can_consume(produced, router)
        consumed = ortc.consumer_parameters(produced, router, ssrc)
        assert consumed.codecs[0].payload_type == codec.preferred_payload_type
        assert msgspec.json.decode(msgspec.json.encode(consumed), type=RtpParameters) == consumed
