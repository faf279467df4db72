"""Offers: what real senders say, what small ones mean, and what is refused with its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol.errors import MalformedPacket
from sfu.protocol.parameters import Direction, RtpEncodingParameters, RtxParameters
from sfu.protocol.sdp import MalformedDescription, MediaSection, parse_offer
from sfu.protocol.sdp.codecs import read_parameters
from tests.sfu.protocol.sdp_cases import NAMES, SMALL, sample, section, small


def only(text: str) -> MediaSection:
    """Return the one section of an offer."""
    (found,) = parse_offer(text).sections
    return found


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_understood(name: str) -> None:
    offer = parse_offer(sample(name))
    assert all(entry.is_usable for entry in offer.sections)
    assert offer.dtls.fingerprints[0].algorithm == "sha-256"
    sends = "whip" in name
    for entry in offer.sections:
        if entry.kind != "application":
            assert entry.codecs
            assert entry.direction is (Direction.SENDONLY if sends else Direction.RECVONLY)
            assert bool(entry.encodings) == sends


@pytest.mark.parametrize("name", NAMES)
def test_line_endings_do_not_matter(name: str) -> None:
    text = sample(name)
    assert parse_offer(text.replace("\r\n", "\n")) == parse_offer(text)
    assert parse_offer(text.rstrip()) == parse_offer(text)
    assert parse_offer(text + "\r\n") == parse_offer(text)


def test_chromium_simulcast() -> None:
    offer = parse_offer(sample("chromium_whip_simulcast"))
    audio, video, data = offer.sections
    assert [encoding.rid for encoding in video.encodings] == ["q", "h", "f"]
    assert [codec.mime_type for codec in video.codecs[:2]] == ["video/VP8", "video/rtx"]
    assert video.codecs[0].rtcp_feedback[-1].parameter == "pli"
    assert audio.encodings[0].ssrc is not None
    assert data.sctp is not None
    assert (data.sctp.port, data.sctp.max_message_size) == (5000, 262_144)
    assert offer.is_trickle
    assert offer.allows_mixed_extensions
    assert offer.answer_role == "server"


def test_chromium_without_simulcast() -> None:
    offer = parse_offer(sample("chromium_whip"))
    video = offer.sections[1]
    assert len(video.encodings) == 1
    assert video.encodings[0].rtx is not None
    assert offer.candidates[0].address.endswith(".local")
    assert video.cname
    assert video.stream_id
    assert video.track_id


def test_ffmpeg_waits_for_the_handshake() -> None:
    offer = parse_offer(sample("ffmpeg_whip"))
    assert offer.dtls.role == "server"
    assert offer.answer_role == "client"
    video = offer.sections[1]
    assert video.encodings[0].rtx is not None


def test_obs_says_the_transport_once() -> None:
    offer = parse_offer(sample("obs_whip"))
    assert offer.ice.username_fragment == "q7/x"
    assert offer.is_trickle
    assert offer.has_ended_candidates
    assert {candidate.address for candidate in offer.candidates} == {"192.0.2.17", "2001:db8::17"}
    assert offer.sections[0].codecs[0].mime_type == "audio/OPUS"


def test_gstreamer_bundles_only() -> None:
    offer = parse_offer(sample("gstreamer_whip"))
    assert [entry.mid for entry in offer.sections] == ["video0", "audio1"]
    parameters = offer.sections[0].codecs[0].parameters
    assert parameters["sprop-parameter-sets"] == "Z0LAH9oBQBbpqDAwNsAAAAMAQAAADyPGDKg=,aM4PLIA="


def test_firefox_restricts_its_layers() -> None:
    video = parse_offer(sample("firefox_whip_simulcast")).sections[1]
    assert [(encoding.rid, encoding.max_bitrate) for encoding in video.encodings] == [
        ("hi", 2_500_000),
        ("lo", 200_000),
    ]
    directions = {extension.preferred_id: extension.direction for extension in video.header_extensions}
    assert directions[6] is Direction.RECVONLY
    assert directions[8] is Direction.SENDONLY


def test_feedback_for_all_codecs() -> None:
    video = parse_offer(sample("firefox_whep")).sections[1]
    assert all(len(codec.rtcp_feedback) == 5 for codec in video.codecs)


def test_one_unnamed_stream_without_ssrc() -> None:
    assert only(small()).encodings == (RtpEncodingParameters(),)
    assert only(small(without="a=sendonly")).direction is Direction.SENDRECV
    assert only(small("a=recvonly", without="a=sendonly")).encodings == ()


def test_simulcast_by_ssrc() -> None:
    groups = ["a=ssrc-group:SIM 1 2", "a=ssrc-group:FID 1 11", "a=ssrc-group:FID 2 12", "a=ssrc:1 cname:me"]
    found = only(small(*groups))
    assert found.cname == "me"
    assert found.encodings == (
        RtpEncodingParameters(ssrc=1, rtx=RtxParameters(ssrc=11)),
        RtpEncodingParameters(ssrc=2, rtx=RtxParameters(ssrc=12)),
    )


def test_a_second_track_in_a_section_is_left_out() -> None:
    assert only(small("a=ssrc:5 cname:a", "a=ssrc:6 cname:a")).encodings == (RtpEncodingParameters(ssrc=5),)


def test_static_payload_types_need_no_rtpmap() -> None:
    audio = section("audio 9 UDP/TLS/RTP/SAVPF 0 8 9 13 99", "mid:1", "rtcp-mux")
    found = parse_offer(small(*audio)).sections[1]
    assert [codec.mime_type for codec in found.codecs] == ["audio/PCMU", "audio/PCMA", "audio/G722"]


@pytest.mark.parametrize(
    "media",
    [
        ("video 0 UDP/TLS/RTP/SAVPF 96", "mid:1", "rtcp-mux"),
        ("video 9 UDP/TLS/RTP/SAVPF 96", "mid:9", "rtcp-mux"),
        ("video 9 UDP/TLS/RTP/SAVPF 96", "mid:1"),
        ("video 9 RTP/AVP 96", "mid:1", "rtcp-mux"),
        ("image 9 udptl t38", "mid:1"),
        ("application 9 UDP/BFCP *", "mid:1"),
    ],
)
def test_sections_that_can_only_be_rejected(media: tuple[str, ...]) -> None:
    text = small(*section(*media)).replace("BUNDLE 0", "BUNDLE 0 1" if "mid:1" in media else "BUNDLE 0")
    assert [entry.is_usable for entry in parse_offer(text).sections] == [True, False]


def test_bundle_only_section_is_open() -> None:
    text = small(*section("video 0 UDP/TLS/RTP/SAVPF 96", "mid:1", "rtcp-mux", "bundle-only"))
    assert parse_offer(text.replace("BUNDLE 0", "BUNDLE 0 1")).sections[1].is_usable


def test_without_a_bundle_the_first_section_counts() -> None:
    text = small(*section("video 9 UDP/TLS/RTP/SAVPF 96", "mid:1", "rtcp-mux"), without="a=group")
    assert [entry.is_usable for entry in parse_offer(text).sections] == [True, False]


def test_a_missing_mid_is_made_up() -> None:
    assert only(small(without="a=mid")).mid == "0"


def test_what_is_passed_over() -> None:
    text = small(
        "a=candidate:1 2 udp 1 192.0.2.1 9 typ host",
        "a=candidate:1 1 sctp 1 192.0.2.1 9 typ host",
        "a=candidate:1 1 udp 1 192.0.2.1 9 typ unheard-of",
        "a=candidate:1 1 TCP 1 192.0.2.1 9 typ host tcptype active generation 0",
        "a=extmap:1 urn:ietf:params:rtp-hdrext:encrypt urn:x",
        "a=extmap:4096 urn:y",
        "a=extmap:2 urn:z",
        "a=extmap:3 urn:z",
        "a=fingerprint:md5 00",
        "a=unheard-of:anything at all",
        "a=fmtp:35 x=y",
    )
    offer = parse_offer(text)
    assert [candidate.tcp_type for candidate in offer.candidates] == ["active"]
    assert [extension.preferred_id for extension in offer.sections[0].header_extensions] == [2]


@pytest.mark.parametrize(
    "line",
    [
        "no equals sign",
        "",
        "A=x",
        "a",
        "a=x\x00y",
        "a=x\ry",
        "a=\ud800",
        "a=" + "x" * 4_100,
        "a=rtpmap:98",
        "a=rtpmap:98 VP8",
        "a=rtpmap:98 VP8/0",
        "a=rtpmap:98 VP8/90000/0",
        "a=rtpmap:98 VP8/9999999",
        "a=rtpmap:200 VP8/90000",
        "a=rtpmap:٩٦ VP8/90000",
        "a=rtpmap:96 VP9/90000",
        "a=fmtp:97 apt=96",
        "a=fmtp:96 =x",
        "a=fmtp:96 a b=1",
        "a=fmtp:96 " + ";".join(f"a{index}=1" for index in range(40)),
        "a=rtcp-fb:96",
        "a=rtcp-fb:x nack",
        "a=rtcp-fb:96 na/ck",
        "a=extmap:1",
        "a=extmap:x urn:x",
        "a=extmap:1/sideways urn:x",
        "a=extmap:99999 urn:x",
        "a=rid:a",
        "a=rid:a sideways",
        "a=rid:a;b send",
        "a=rid:aaaaaaaaaaaaaaaaa send",
        "a=ssrc:4294967296 cname:x",
        "a=ssrc:-1 cname:x",
        "a=ssrc:",
        "a=ssrc-group:FID 1 x",
        "a=candidate:1 1 udp 1 192.0.2.1 9 typ",
        "a=candidate:1 1 udp 1 192.0.2.1 9 type host",
        "a=candidate:1 0 udp 1 192.0.2.1 9 typ host",
        "a=candidate:1 1 udp 4294967296 192.0.2.1 9 typ host",
        "a=candidate:1 1 udp 1 192.0.2.1 65536 typ host",
        "a=candidate:1 1 udp 1 <script> 9 typ host",
        "a=candidate:\\ 1 udp 1 192.0.2.1 9 typ host",
        "a=candidate:1 1 tcp 1 192.0.2.1 9 typ host",
        "a=fingerprint:sha-256",
        "a=fingerprint:sha-256 00",
        "m=video",
        "m=video x UDP/TLS/RTP/SAVPF 96",
        "m=video 65536 UDP/TLS/RTP/SAVPF 96",
        "m=video 9 UDP/TLS/RTP/SAVPF",
    ],
)
def test_refused_with_the_line(line: str) -> None:
    with pytest.raises(MalformedDescription) as caught:
        parse_offer(small(line, "a=x"))
    assert caught.value.line == len(SMALL) + 1
    assert str(caught.value).startswith(f"line {len(SMALL) + 1}: ")
    assert isinstance(caught.value, MalformedPacket)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "begins with v=0"),
        ("o=- 1 1 IN IP4 127.0.0.1", "begins with v=0"),
        ("v=0\r\ns=-", "no media section"),
        (small(without="a=ice-"), "no ice-ufrag"),
        (small(without="a=ice-pwd"), "come together"),
        (small(without="a=fingerprint"), "no fingerprint"),
        (small("a=fingerprint:sha-1 " + ":".join(["AA"] * 20), without="a=fingerprint"), "no fingerprint"),
        (small("a=setup:holdconn"), "setup is none"),
        (small("a=ice-ufrag:abc", "a=ice-pwd:" + "x" * 22), "not an ice-ufrag"),
        (small("a=ice-ufrag:abcd", "a=ice-pwd:" + "x" * 21), "not an ice-pwd"),
        (small("a=mid:0", without="a=mid").replace("BUNDLE 0", "BUNDLE 1"), "not there"),
        (small(without="a=group").replace("t=0 0", "a=group:"), "fewer than 1"),
        (small("a=mid:<", without="a=mid"), "not a mid"),
        (small(*section("video 9 UDP/TLS/RTP/SAVPF 96", "mid:0")), "names two sections"),
        (small(*section("video 9 UDP/TLS/RTP/SAVPF 96 96", "mid:1")), "payload types twice"),
        (small(*section("video 9 UDP/TLS/RTP/SAVPF 300", "mid:1")), "not a number"),
        (small(*section("application 9 UDP/DTLS/SCTP webrtc-datachannel", "mid:1")), "sctp-port"),
        (small(without="a=fmtp"), "without apt"),
        (small("a=rid:a send", "a=rid:a send"), "a rid twice"),
        (small("a=rid:a send", "a=simulcast:send a;b"), "no rids"),
        (small("a=rid:a send", "a=simulcast:send a;a"), "no rids"),
        (small(*(f"a=rid:a{index} send" for index in range(9))), "more than 8 rids"),
        (small("a=ssrc-group:FID 1 1"), "two streams"),
        (small("a=ssrc-group:SIM 1 1"), "two streams"),
        (small(*(f"a=ssrc:{index} cname:x" for index in range(65))), "too many SSRCs"),
        (small("a=extmap:1 urn:x", "a=extmap:1 urn:y"), "ids twice"),
        (small(*(["a=candidate:1 1 udp 1 192.0.2.1 9 typ host"] * 65)), "more than 64"),
        (small(*(["m=x 9 y z"] * 32)), "too many media sections"),
        (small(*(["a=x"] * 2_001)), "too many lines"),
        ("v=0\r\n" + "a" * 65_536, "longer than"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(MalformedDescription, match=reason):
        parse_offer(text)


def test_every_length_of_a_real_offer() -> None:
    text = sample("chromium_whip_simulcast")
    for size in range(0, len(text), 7):
        try:
            parse_offer(text[:size])
        except MalformedDescription:
            continue


@given(st.sampled_from(NAMES), st.data())
def test_munged_samples_raise_nothing_else(name: str, data: st.DataObject) -> None:
    lines = sample(name).split("\r\n")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.integers(0, 3)):
            case 0:
                lines[place] = data.draw(st.text(max_size=30))
            case 1:
                lines.insert(place, lines[data.draw(st.integers(0, len(lines) - 1))])
            case 2:
                words = lines[place].split(" ")
                words[data.draw(st.integers(0, len(words) - 1))] = data.draw(st.text(max_size=8))
                lines[place] = " ".join(words)
            case _:
                lines[place] = lines[place][: data.draw(st.integers(0, 40))]
    try:
        parse_offer("\r\n".join(lines))
    except MalformedDescription as refusal:
        assert 1 <= refusal.line <= len(lines) + 1


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    with pytest.raises(MalformedDescription):
        parse_offer(f"v=0\n{text}")


@pytest.mark.parametrize(
    ("value", "parameters"),
    [
        ("a=1;b=x; c = y ;", {"a": 1, "b": "x", "c": "y"}),
        ("111/111", {"111/111": ""}),
        ("0-15", {"0-15": ""}),
        ("profile-level-id=42e01f", {"profile-level-id": "42e01f"}),
        ("a=007;b=1.5;c=-3;d=1234567890123456", {"a": "007", "b": "1.5", "c": -3, "d": "1234567890123456"}),
        ("", {}),
    ],
)
def test_format_parameters(value: str, parameters: dict[str, str | int]) -> None:
    assert read_parameters(value) == parameters
