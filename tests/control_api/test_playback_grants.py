"""Playback tokens: what opens a room, and the many things that do not."""

import base64
import json
import time
from uuid import UUID

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_api import playback_grants
from control_api.playback_grants import MAX_TOKEN_LENGTH, Grant, PlaybackGrants, TokenFault

ROOM = UUID(int=1)
USER = UUID(int=2)
SECRET = b"installation secret" * 2


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def grants(clock: Clock) -> PlaybackGrants:
    return PlaybackGrants(SECRET, lifetime_seconds=60, clock=clock)


def key_of(grants: PlaybackGrants) -> bytes:
    return grants._key


def claims(clock: Clock, **changes: object) -> dict[str, object]:
    base: dict[str, object] = {
        "aud": "playback",
        "exp": int(clock.now) + 60,
        "room": str(ROOM),
        "grants": ["play"],
        "sub": str(USER),
    }
    return {name: value for name, value in (base | changes).items() if value is not None}


def forged(grants: PlaybackGrants, payload: dict[str, object], **header: object) -> str:
    return jwt.encode(payload, key_of(grants), "HS256", headers={"kid": jwt_header(grants)["kid"], **header})


def jwt_header(grants: PlaybackGrants) -> dict[str, object]:
    return jwt.get_unverified_header(grants.sign(ROOM, USER).token)


@pytest.mark.parametrize("user", [USER, None])
def test_a_token_says_who_may_watch_what(grants: PlaybackGrants, clock: Clock, user: UUID | None):
    signed = grants.sign(ROOM, user)
    expected = Grant(ROOM, user, int(clock.now + 60))
    assert grants.verify(signed.token) == expected
    assert grants.check(signed.token) == expected
    assert signed.expires_at.timestamp() == expected.expires_at
    assert PlaybackGrants(SECRET).verify(signed.token) == expected


def test_it_holds_no_secret(grants: PlaybackGrants):
    token = grants.sign(ROOM, USER).token
    assert jwt.decode(token, options={"verify_signature": False}).keys() == {
        "aud",
        "exp",
        "room",
        "grants",
        "sub",
    }
    assert jwt_header(grants)["alg"] == "HS256"


def test_it_expires_also_when_it_is_known_already(grants: PlaybackGrants, clock: Clock):
    token = grants.sign(ROOM, USER).token
    assert grants.verify(token) is not None
    clock.now += 59
    assert grants.verify(token) is not None
    clock.now += 1
    assert grants.check(token) is TokenFault.EXPIRED
    assert grants.check(token) is TokenFault.EXPIRED
    assert grants.verify(token) is None


def test_a_known_token_is_not_verified_again(grants: PlaybackGrants, monkeypatch: pytest.MonkeyPatch):
    token = grants.sign(ROOM, USER).token
    grants.verify(token)
    monkeypatch.setattr(jwt, "decode", None)
    assert grants.verify(token) is not None


def test_what_is_known_is_bounded(grants: PlaybackGrants, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(playback_grants, "MAX_KNOWN_TOKENS", 3)
    tokens = [grants.sign(ROOM, UUID(int=number)).token for number in range(10)]
    assert all(grants.verify(token) for token in tokens)
    assert len(grants._known) == 3
    assert all(grants.verify(token) for token in tokens)


def test_another_installation_signs_nothing_here(grants: PlaybackGrants):
    other = PlaybackGrants(b"another secret")
    assert grants.check(other.sign(ROOM, USER).token) is TokenFault.INVALID


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "mediaserver"},
        {"aud": None},
        {"exp": None},
        {"exp": "soon"},
        {"room": None},
        {"room": "kitchen"},
        {"room": 7},
        {"grants": None},
        {"grants": ["publish"]},
        {"grants": 7},
        {"sub": "alice"},
    ],
)
def test_wrong_claims_open_nothing(grants: PlaybackGrants, clock: Clock, changes: dict[str, object]):
    assert grants.verify(forged(grants, claims(clock))) is not None
    assert grants.check(forged(grants, claims(clock, **changes))) is TokenFault.INVALID


def test_other_keys_and_algorithms_open_nothing(grants: PlaybackGrants, clock: Clock):
    key_id = jwt_header(grants)["kid"]
    headers = {"kid": key_id}
    payload = claims(clock)
    for token in (
        jwt.encode(payload, "", "none", headers=headers),
        jwt.encode(payload, b"guess" * 8, "HS256", headers=headers),
        jwt.encode(payload, key_of(grants) * 2, "HS512", headers=headers),
        jwt.encode(payload, key_of(grants), "HS256", headers={"kid": "other"}),
        jwt.encode(payload, key_of(grants), "HS256"),
    ):
        assert grants.check(token) is TokenFault.INVALID


def test_a_changed_token_opens_nothing(grants: PlaybackGrants):
    head, body, signature = grants.sign(ROOM, USER).token.split(".")
    other = grants.sign(UUID(int=9), USER).token.split(".")
    assert grants.check(f"{head}.{other[1]}.{signature}") is TokenFault.INVALID
    assert grants.check(f"{head}.{body}.") is TokenFault.INVALID
    assert grants.check(f"{head}.{body}.{signature[:-2]}") is TokenFault.INVALID
    assert grants.check(f"{head}.{body}") is TokenFault.INVALID


def test_nested_and_huge_headers_are_refused(grants: PlaybackGrants):
    def segment(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    nested = segment(b"[" * 1400)
    assert len(nested) < MAX_TOKEN_LENGTH
    assert grants.check(f"{nested}.{nested}.AAAA") is TokenFault.INVALID
    header = json.dumps({"alg": "HS256", "kid": ["x"], "x": "x" * 10_000_000}).encode()
    assert grants.check(f"{segment(header)}.e30.AAAA") is TokenFault.INVALID
    assert grants.check(f"{segment(b'[]')}.e30.AAAA") is TokenFault.INVALID


_GRANTS = PlaybackGrants(SECRET)


@given(st.text(max_size=300) | st.from_regex(r"[A-Za-z0-9_-]{0,40}(\.[A-Za-z0-9_-]{0,40}){0,4}"))
def test_no_text_is_a_token(text: str):
    assert _GRANTS.check(text) is TokenFault.INVALID
