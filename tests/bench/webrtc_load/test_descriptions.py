"""Offers that the SFU understands, and answers that are of use or are not."""

from __future__ import annotations

import pytest

from bench.errors import BenchError
from bench.webrtc_load.descriptions import RTX, TRANSPORT_ID, Sources, make_offer, read_answer
from sfu.dtls import DtlsRole, Fingerprint
from sfu.protocol.ice_lite import IceCredentials
from sfu.protocol.parameters import Direction
from sfu.protocol.sdp import parse_offer

FINGERPRINT = Fingerprint("sha-256", ":".join(["AB"] * 32))
ICE = IceCredentials.generate()


def offer(sources: Sources | None = None, *, has_feedback: bool = True) -> str:
    return make_offer(ICE, FINGERPRINT, sources, has_feedback=has_feedback)


def answer(setup: str = "passive", candidate: str = "udp 1 127.0.0.1 8189 typ host") -> str:
    """An answer has the form of an offer."""
    text = offer().replace("a=setup:actpass", f"a=setup:{setup}")
    return text.replace("a=mid:0\r\n", f"a=mid:0\r\na=candidate:a 1 {candidate}\r\n")


def test_a_publisher_names_its_streams() -> None:
    audio, video = parse_offer(offer(Sources(audio=1, video=2, video_rtx=3))).sections
    assert audio.direction is video.direction is Direction.SENDONLY
    assert audio.is_usable and video.is_usable
    assert audio.encodings[0].ssrc == 1
    assert video.encodings[0].ssrc == 2
    assert video.encodings[0].rtx is not None and video.encodings[0].rtx.ssrc == 3


@pytest.mark.parametrize("has_feedback", [True, False])
def test_a_viewer_asks_for_feedback_or_does_not(has_feedback: bool) -> None:
    sections = parse_offer(offer(has_feedback=has_feedback)).sections
    assert all(section.direction is Direction.RECVONLY for section in sections)
    for section in sections:
        numbers = {extension.preferred_id for extension in section.header_extensions}
        assert (TRANSPORT_ID in numbers) is has_feedback
        feedbacks = {feedback.type for feedback in section.codecs[0].rtcp_feedback}
        assert ("transport-cc" in feedbacks) is has_feedback


def test_an_answer_tells_where_and_how_to_connect() -> None:
    read = read_answer(answer())
    assert (read.host, read.port, read.role) == ("127.0.0.1", 8189, DtlsRole.CLIENT)
    assert (read.ice_username, read.ice_password) == (ICE.username_fragment, ICE.password)
    assert read.fingerprints == (FINGERPRINT,)
    assert read.transport_id == TRANSPORT_ID
    assert read.repairing == {RTX}
    assert read_answer(answer(setup="active")).role is DtlsRole.SERVER


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line"),
        ("<html>", "line"),
        (answer(candidate="tcp 1 127.0.0.1 9 typ host tcptype passive"), "no UDP candidate"),
    ],
)
def test_an_answer_of_no_use_is_refused(text: str, reason: str) -> None:
    with pytest.raises(BenchError, match=reason):
        read_answer(text)
