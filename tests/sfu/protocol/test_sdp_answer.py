"""From offers to answers: what a publisher sends, what a viewer gets, and how the answer says it."""

from __future__ import annotations

import pytest
from aiortc.sdp import SessionDescription
from msgspec.structs import replace

from sfu.protocol import ortc
from sfu.protocol.codecs import MID, TRANSPORT_SEQUENCE
from sfu.protocol.errors import ProtocolError
from sfu.protocol.parameters import (
    Direction,
    DtlsRole,
    RtcpFeedback,
    RtpCodecParameters,
    RtpEncodingParameters,
    RtpParameters,
)
from sfu.protocol.sdp import (
    Offer,
    SectionAnswer,
    answer,
    consumer_parameters,
    parse_offer,
    producer_parameters,
)
from tests.sfu.protocol.sdp_cases import ENDPOINT, NAMES, ROUTER, sample, section, small

PUBLISHERS = [name for name in NAMES if "whip" in name]
VIEWERS = [name for name in NAMES if "whep" in name]
PROFILES = ("42e01f", "42001f", "4d001f", "640c1f", "64001f")
SSRC = 7_000


def produced(kind: str, mime_type: str, clock_rate: int = 90_000, **values: str | int) -> RtpParameters:
    """Return what a producer of one codec and two streams has for its consumers."""
    codec = RtpCodecParameters(
        mime_type=mime_type,
        payload_type=96,
        clock_rate=clock_rate,
        channels=2 if kind == "audio" else None,
        parameters={name.replace("_", "-"): value for name, value in values.items()},
    )
    streams = (RtpEncodingParameters(rid="l"), RtpEncodingParameters(rid="h"))
    parameters = RtpParameters(codecs=(codec,), encodings=streams[: 1 if kind == "audio" else 2])
    mapping = ortc.producer_mapping(parameters, ROUTER, 1)
    return ortc.consumable_parameters(kind, parameters, ROUTER, mapping)


def h264(profile: str) -> RtpParameters:
    return produced(
        "video", "video/H264", profile_level_id=profile, packetization_mode=1, level_asymmetry_allowed=1
    )


OPUS = produced("audio", "audio/opus", 48_000, sprop_stereo=1)
VP8 = produced("video", "video/VP8")


def published(offer: Offer, *prefer: str) -> list[SectionAnswer]:
    """Return the answers of a server that takes all it can."""
    found = [(entry, producer_parameters(entry, ROUTER, prefer)) for entry in offer.sections]
    return [
        SectionAnswer(mid=entry.mid, direction=Direction.RECVONLY, parameters=parameters)
        for entry, parameters in found
        if parameters is not None
    ]


def watched(offer: Offer, *consumables: RtpParameters) -> list[SectionAnswer]:
    """Return the answers of a server that sends one audio and one video."""
    answers = []
    for entry, consumable in zip(offer.sections, consumables, strict=False):
        consumption = consumer_parameters(entry, consumable, SSRC)
        if consumption is not None:
            answers.append(
                SectionAnswer(
                    mid=entry.mid,
                    direction=Direction.SENDONLY,
                    parameters=consumption.parameters,
                    stream_id="room",
                    track_id=entry.kind,
                )
            )
    return answers


def written(offer: Offer, sections: list[SectionAnswer]) -> str:
    return answer(offer, sections, ENDPOINT, session_id=42)


@pytest.mark.parametrize("name", PUBLISHERS)
def test_every_publisher_is_answered(name: str) -> None:
    offer = parse_offer(sample(name))
    text = written(offer, published(offer, "video/H264"))
    theirs = SessionDescription.parse(text)
    assert [media.rtp.muxId for media in theirs.media] == [entry.mid for entry in offer.sections]
    assert all(media.port == 44_000 for media in theirs.media)
    for media in theirs.media:
        if media.kind != "application":
            assert media.direction == "recvonly"
            assert len([codec for codec in media.rtp.codecs if codec.name != "rtx"]) == 1
    assert theirs.media[0].ice.iceLite
    assert "a=ice-lite\r\n" in text
    assert text.count("a=candidate:") == 3


@pytest.mark.parametrize("name", PUBLISHERS)
def test_what_is_accepted_can_be_routed(name: str) -> None:
    for entry in published(parse_offer(sample(name)), "video/H264"):
        mapping = ortc.producer_mapping(entry.parameters, ROUTER, 1)
        consumable = ortc.consumable_parameters(
            entry.parameters.codecs[0].kind, entry.parameters, ROUTER, mapping
        )
        assert ortc.can_consume(consumable, ROUTER)


@pytest.mark.parametrize("name", [*PUBLISHERS, *VIEWERS])
def test_our_answers_are_descriptions_too(name: str) -> None:
    offer = parse_offer(sample(name))
    again = parse_offer(written(offer, published(offer)))
    assert again.ice == ENDPOINT.ice
    assert again.candidates == tuple(replace(entry, ip=entry.address) for entry in ENDPOINT.candidates)
    assert again.dtls.role == offer.answer_role


def test_the_preferred_codec_comes_first() -> None:
    video = parse_offer(sample("chromium_whip")).sections[1]
    plain, preferred = producer_parameters(video, ROUTER), producer_parameters(video, ROUTER, ["VIDEO/h264"])
    assert plain is not None
    assert preferred is not None
    assert [codec.mime_type for codec in plain.codecs] == ["video/VP8", "video/rtx"]
    assert preferred.codecs[0].mime_type == "video/H264"
    assert preferred.codecs[1].parameters == {"apt": preferred.codecs[0].payload_type}
    assert preferred.codecs[0].parameters["packetization-mode"] == 1
    assert preferred.mid == "1"


def test_the_offers_numbers_are_kept() -> None:
    video = parse_offer(sample("firefox_whip_simulcast")).sections[1]
    parameters = producer_parameters(video, ROUTER)
    assert parameters is not None
    assert [codec.payload_type for codec in parameters.codecs] == [120, 124]
    numbers = {extension.uri: extension.id for extension in parameters.header_extensions}
    assert (numbers[MID], numbers[TRANSPORT_SEQUENCE]) == (3, 7)
    assert 6 not in numbers.values()


def redundant_first(text: str, fmtp: str = "111/111") -> str:
    """The offer of a browser whose page prefers redundant audio."""
    return text.replace(" 111 63 ", " 63 111 ").replace("a=fmtp:63 111/111", f"a=fmtp:63 {fmtp}")


def test_redundant_audio_is_taken_where_it_is_preferred() -> None:
    text = sample("chromium_whip")
    assert " 111 63 " in text and "a=fmtp:63 111/111" in text
    plain = published(parse_offer(text))[0]
    assert [codec.mime_type for codec in plain.parameters.codecs] == ["audio/opus"]

    offer = parse_offer(redundant_first(text))
    sections = published(offer)
    numbers = [codec.payload_type for codec in sections[0].parameters.codecs]
    assert numbers == [63, 111]
    answered = written(offer, sections)
    assert "UDP/TLS/RTP/SAVPF 63 111\r\n" in answered
    assert "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n" in answered
    mapping = ortc.producer_mapping(sections[0].parameters, ROUTER, 1)
    consumable = ortc.consumable_parameters("audio", sections[0].parameters, ROUTER, mapping)
    assert [(codec.mime_type, codec.payload_type) for codec in consumable.codecs] == [
        ("audio/red", 101),
        ("audio/opus", 100),
    ]


@pytest.mark.parametrize("fmtp", ["110/110", "63/63", "111/9", "x=1"])
def test_redundant_audio_of_something_else_is_passed_over(fmtp: str) -> None:
    [audio, *_] = published(parse_offer(redundant_first(sample("chromium_whip"), fmtp)))
    assert [codec.payload_type for codec in audio.parameters.codecs] == [111]


def test_simulcast_is_received() -> None:
    offer = parse_offer(sample("firefox_whip_simulcast"))
    text = written(offer, published(offer))
    assert "a=rid:hi recv\r\na=rid:lo recv\r\na=simulcast:recv hi;lo\r\n" in text
    assert "a=extmap:8/recvonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n" in text


def test_streams_lose_rtx_without_its_codec() -> None:
    text = small("a=ssrc-group:FID 1 2").replace("rtpmap:97 rtx/90000", "rtpmap:97 red/90000")
    parameters = producer_parameters(parse_offer(text).sections[0], ROUTER)
    assert parameters is not None
    assert parameters.encodings == (RtpEncodingParameters(ssrc=1),)


@pytest.mark.parametrize(
    "text",
    [
        small("a=recvonly", without="a=sendonly"),
        small(without="a=rtcp-mux"),
        small().replace("VP8", "chicken"),
    ],
)
def test_nothing_to_produce(text: str) -> None:
    offer = parse_offer(text)
    assert producer_parameters(offer.sections[0], ROUTER) is None
    assert written(offer, [])


@pytest.mark.parametrize("name", VIEWERS)
def test_every_viewer_is_answered(name: str) -> None:
    offer = parse_offer(sample(name))
    text = written(offer, watched(offer, OPUS, VP8))
    theirs = SessionDescription.parse(text)
    assert [media.direction for media in theirs.media] == ["sendonly", "sendonly"]
    video = theirs.media[1]
    assert [codec.name for codec in video.rtp.codecs] == ["VP8", "rtx"]
    assert {entry.ssrc for entry in video.ssrc} == {SSRC, SSRC + 1}
    assert video.ssrc_group[0].items == [SSRC, SSRC + 1]
    assert "a=msid:room video\r\n" in text
    assert "sprop-stereo=1" in text
    assert "goog-remb" not in text


def redundant() -> RtpParameters:
    """The consumable of a publisher of redundant audio."""
    [audio, *_] = published(parse_offer(redundant_first(sample("chromium_whip"))))
    mapping = ortc.producer_mapping(audio.parameters, ROUTER, 1)
    return ortc.consumable_parameters("audio", audio.parameters, ROUTER, mapping)


def test_a_viewer_that_knows_redundant_audio_gets_it() -> None:
    offer = parse_offer(sample("chromium_whep"))
    consumption = consumer_parameters(offer.sections[0], redundant(), SSRC)
    assert consumption is not None
    assert consumption.payload_types == {101: 63, 100: 111}
    text = written(offer, watched(offer, redundant()))
    assert "UDP/TLS/RTP/SAVPF 63 111\r\n" in text
    assert "a=fmtp:63 111/111\r\n" in text


@pytest.mark.parametrize("fmtp", ["110/110", "x=1"])
def test_a_viewer_that_does_not_gets_plain_audio(fmtp: str) -> None:
    text = sample("chromium_whep").replace("a=fmtp:63 111/111", f"a=fmtp:63 {fmtp}")
    for offer in (parse_offer(text), parse_offer(sample("firefox_whep"))):
        consumption = consumer_parameters(offer.sections[0], redundant(), SSRC)
        assert consumption is not None
        assert [codec.mime_type for codec in consumption.parameters.codecs] == ["audio/opus"]
        assert list(consumption.payload_types) == [100]


def test_a_viewer_of_plain_audio_gets_no_redundancy() -> None:
    offer = parse_offer(sample("chromium_whep"))
    [audio, *_] = watched(offer, OPUS)
    assert [codec.mime_type for codec in audio.parameters.codecs] == ["audio/opus"]


def test_values_without_names_are_written_as_they_are_read() -> None:
    offer = parse_offer(sample("chromium_whep"))
    [audio, *_] = watched(offer, redundant())
    codecs = tuple(replace(codec, parameters={"": "111/111"}) for codec in audio.parameters.codecs[:1])
    changed = replace(audio, parameters=replace(audio.parameters, codecs=codecs))
    assert "a=fmtp:63 111/111\r\n" in written(offer, [changed])


def test_a_viewers_numbers_are_mapped() -> None:
    video = parse_offer(sample("firefox_whep")).sections[1]
    consumption = consumer_parameters(video, VP8, SSRC)
    assert consumption is not None
    ours = [codec.payload_type for codec in VP8.codecs]
    assert consumption.payload_types == dict(zip(ours, [120, 124], strict=True))
    assert consumption.parameters.encodings[0].scalability_mode == "L2T1"
    assert {extension.id for extension in consumption.parameters.header_extensions} == {3, 4, 6, 7}


@pytest.mark.parametrize("name", VIEWERS)
def test_a_viewer_is_promised_no_repair_of_what_has_no_rtx(name: str) -> None:
    for offered in parse_offer(sample(name)).sections:
        wants = replace(
            offered,
            codecs=tuple(
                replace(codec, rtcp_feedback=(*codec.rtcp_feedback, RtcpFeedback(type="nack")))
                for codec in offered.codecs
            ),
        )
        consumption = consumer_parameters(wants, OPUS if offered.kind == "audio" else VP8, SSRC)
        assert consumption is not None
        has_nack = RtcpFeedback(type="nack") in consumption.parameters.codecs[0].rtcp_feedback
        assert has_nack == (consumption.parameters.encodings[0].rtx is not None)


def test_the_level_is_that_of_what_is_sent() -> None:
    video = parse_offer(sample("firefox_whep")).sections[1]
    consumption = consumer_parameters(video, h264("42e028"), SSRC)
    assert consumption is not None
    codec = consumption.parameters.codecs[0]
    assert codec.payload_type == 126
    assert codec.parameters["profile-level-id"] == "42e028"


@pytest.mark.parametrize("profile", PROFILES[1:])
def test_profiles_that_a_viewer_does_not_offer(profile: str) -> None:
    video = parse_offer(sample("firefox_whep")).sections[1]
    consumable = h264(profile)
    assert consumer_parameters(video, consumable, SSRC) is None
    consumption = consumer_parameters(video, consumable, SSRC, any_profile=True)
    assert consumption is not None
    assert consumption.parameters.codecs[0].payload_type == 126
    assert consumption.parameters.codecs[0].parameters["profile-level-id"] == "42e01f"
    assert consumption.payload_types[consumable.codecs[0].payload_type] == 126


def test_any_profile_is_not_any_codec() -> None:
    audio, video = parse_offer(sample("firefox_whep")).sections
    av1 = produced("video", "video/AV1")
    assert consumer_parameters(video, av1, SSRC, any_profile=True) is None
    assert consumer_parameters(audio, h264("42e01f"), SSRC, any_profile=True) is None


def test_nobody_receives_in_a_sending_section() -> None:
    assert consumer_parameters(parse_offer(small()).sections[0], VP8, SSRC) is None


def test_sections_without_an_answer_are_inactive() -> None:
    offer = parse_offer(sample("chromium_whep"))
    theirs = SessionDescription.parse(written(offer, watched(offer, OPUS)))
    assert [media.direction for media in theirs.media] == ["sendonly", "inactive"]
    assert theirs.media[1].port
    assert theirs.group[0].items == ["0", "1"]


def test_rejected_sections_leave_the_bundle() -> None:
    offer = parse_offer(sample("chromium_whip_simulcast"))
    without_data = replace(ENDPOINT, sctp=None)
    text = answer(offer, published(offer), without_data, session_id=1, version=3)
    assert "a=group:BUNDLE 0 1\r\n" in text
    assert "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n" in text
    assert text.startswith("v=0\r\no=- 1 3 IN IP4 127.0.0.1\r\n")


def test_all_rejected() -> None:
    offer = parse_offer(small(without="a=rtcp-mux"))
    text = written(offer, [])
    assert "BUNDLE" not in text
    assert "m=video 0 UDP/TLS/RTP/SAVPF 96 97\r\n" in text


@pytest.mark.parametrize(
    ("offered", "own", "setup"),
    [
        ("actpass", "auto", "passive"),
        ("active", "auto", "passive"),
        ("passive", "auto", "active"),
        ("actpass", "client", "active"),
    ],
)
def test_setup(offered: str, own: DtlsRole, setup: str) -> None:
    offer = parse_offer(small().replace("actpass", offered))
    endpoint = replace(ENDPOINT, dtls=replace(ENDPOINT.dtls, role=own))
    assert f"a=setup:{setup}\r\n" in answer(offer, [], endpoint, session_id=1)


def test_no_address_for_those_without_ice() -> None:
    endpoint = replace(ENDPOINT, candidates=ENDPOINT.candidates[:1])
    text = answer(parse_offer(small()), [], endpoint, session_id=1)
    assert "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\n" in text


def test_one_peers_text_makes_no_line_for_another() -> None:
    offer = parse_offer(sample("chromium_whep"))
    (audio, *_) = watched(offer, OPUS)
    with pytest.raises(ProtocolError, match="cannot stand"):
        written(offer, [replace(audio, stream_id="x\r\na=candidate:1 1 udp 1 192.0.2.66 9 typ host")])


def test_data_sections_in_an_audio_offer() -> None:
    data = section("application 9 UDP/DTLS/SCTP webrtc-datachannel", "mid:d", "sctp-port:5000")
    offer = parse_offer(small(*data).replace("BUNDLE 0", "BUNDLE 0 d"))
    text = written(offer, published(offer))
    assert text.count("a=sctp-port:5000\r\na=max-message-size:262144\r\n") == 1
    assert offer.sections[1].sctp is not None
    assert offer.sections[1].sctp.max_message_size == 65_536
