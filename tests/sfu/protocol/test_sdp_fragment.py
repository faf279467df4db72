"""Trickled candidates and restarts (RFC 8840, RFC 9725 4.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol.parameters import IceCandidate, IceParameters
from sfu.protocol.sdp import Fragment, MalformedDescription, parse_fragment, serialize_fragment

ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
WHIP_TRICKLE = """a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 111
a=mid:0
a=ice-ufrag:EsAw
a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1
a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1
a=candidate:3471623853 1 udp 2122194687 198.51.100.2 61765 typ host generation 0 ufrag EsAw network-id 2
a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0 ufrag EsAw
a=candidate:4060034661 2 udp 1 192.0.2.1 9 typ host
a=end-of-candidates
"""
RESTART = """a=ice-options:trickle ice2
a=ice-ufrag:ysXw
a=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k
m=audio 9 RTP/AVP 0
a=mid:0
"""


def test_trickle() -> None:
    fragment = parse_fragment(WHIP_TRICKLE)
    assert fragment.mids == ("0",)
    assert fragment.ice == IceParameters(username_fragment="EsAw", password="P2uYro0UCOQ4zxjKXaWCBui1")
    assert [candidate.protocol for candidate in fragment.candidates] == ["udp", "udp", "tcp"]
    assert fragment.has_ended_candidates


def test_restart_with_credentials_of_the_session() -> None:
    fragment = parse_fragment(RESTART.replace("\n", "\r\n"))
    assert fragment.ice is not None
    assert fragment.ice.username_fragment == "ysXw"
    assert not fragment.candidates
    assert not fragment.has_ended_candidates


def test_answer_to_a_restart() -> None:
    ice = IceParameters(username_fragment="abcd", password="p" * 22, ice_lite=True)
    candidate = IceCandidate(
        foundation="1", priority=5, address="192.0.2.1", ip="192.0.2.1", protocol="udp", port=9, type="host"
    )
    fragment = Fragment(ice=ice, mids=("0", "1"), candidates=(candidate,), has_ended_candidates=True)
    text = serialize_fragment(fragment)
    assert text.startswith("a=ice-lite\r\na=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n")
    assert text.count("a=candidate:") == 1
    assert parse_fragment(text) == fragment


def test_nothing() -> None:
    assert parse_fragment("") == Fragment()
    assert serialize_fragment(Fragment()) == ""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("m=audio 9 RTP/AVP 0\n", 1),
        ("a=x\nm=audio 9 RTP/AVP 0\na=mid:0\nm=audio 9 RTP/AVP 0\na=mid:0\n", 4),
        ("a=ice-ufrag:abcd\n", 1),
        ("a=ice-ufrag:a\na=ice-pwd:" + "p" * 22, 1),
        ("a=ice-ufrag:abcd\na=ice-pwd:p", 2),
        ("m=audio 9 RTP/AVP 0\na=mid:0\na=candidate:nonsense\n", 3),
        ("\n\na=x\n", 1),
        ("{}", 1),
    ],
)
def test_refused_with_the_line(text: str, line: int) -> None:
    with pytest.raises(MalformedDescription) as caught:
        parse_fragment(text)
    assert caught.value.line == line


def test_candidates_are_limited_over_all_sections() -> None:
    lines: list[str] = []
    for mid in range(3):
        lines += ["m=audio 9 RTP/AVP 0", f"a=mid:{mid}"]
        lines += [f"a=candidate:{mid} 1 udp {index} 192.0.2.1 9 typ host" for index in range(30)]
    with pytest.raises(MalformedDescription, match="more than 64"):
        parse_fragment("\n".join(lines))


CANDIDATES = st.builds(
    lambda number, port, tcp_type: IceCandidate(
        foundation=str(number),
        priority=number,
        address="2001:db8::1",
        ip="2001:db8::1",
        protocol="tcp" if tcp_type else "udp",
        port=port,
        type="host",
        tcp_type=tcp_type,
    ),
    st.integers(0, 0xFFFF_FFFF),
    st.integers(0, 65_535),
    st.sampled_from([None, "active", "passive"]),
)
FRAGMENTS = st.builds(
    Fragment,
    ice=st.none()
    | st.builds(
        IceParameters,
        username_fragment=st.text(ALPHABET, min_size=4, max_size=32),
        password=st.text(ALPHABET, min_size=22, max_size=64),
        ice_lite=st.booleans(),
    ),
    mids=st.lists(st.text("abc0123", min_size=1, max_size=4), unique=True, max_size=4).map(tuple),
    candidates=st.lists(CANDIDATES, unique=True, max_size=8).map(tuple),
    has_ended_candidates=st.booleans(),
)


@given(FRAGMENTS)
def test_round_trip(fragment: Fragment) -> None:
    assert parse_fragment(serialize_fragment(fragment)) == fragment


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    try:
        parse_fragment(text)
    except MalformedDescription as refusal:
        assert refusal.line >= 1
