"""Access and refresh tokens, good and forged."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from control_api.identity.tokens import (
    AccessClaims,
    AccessTokens,
    Algorithm,
    RefreshTokens,
    TokenRefused,
    derived_key,
)
from storage.ids import new_id
from storage.repositories import Role

SECRET = b"the secret of this installation, 32 bytes or more"
USER, SESSION = new_id(), new_id()


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_token_says_what_it_was_made_for(algorithm: Algorithm) -> None:
    token = AccessTokens(SECRET, algorithm).issue(USER, SESSION, Role.MODERATOR)
    # Another process of the same installation reads it as well.
    assert AccessTokens(SECRET, algorithm).read(token) == AccessClaims(USER, SESSION, Role.MODERATOR)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims.keys() == {"iss", "aud", "sub", "sid", "role", "iat", "exp"}
    assert claims["exp"] - claims["iat"] == 15 * 60
    assert jwt.get_unverified_header(token)["alg"] == algorithm.value


def _claims(**changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    good: dict[str, Any] = {
        "iss": "mediaserver",
        "aud": "mediaserver-api",
        "sub": str(USER),
        "sid": str(SESSION),
        "role": "user",
        "iat": now,
        "exp": now + timedelta(minutes=15),
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def _private_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(derived_key(SECRET, "access token EdDSA"))


def _public_bytes() -> bytes:
    return _private_key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _signed(claims: dict[str, Any], **header: str) -> str:
    kid = AccessTokens(SECRET).key_id
    return jwt.encode(claims, _private_key(), "EdDSA", headers={"kid": kid} | header)


def test_the_forger_of_these_tests_can_make_a_good_one() -> None:
    assert AccessTokens(SECRET).read(_signed(_claims())).user_id == USER


@pytest.mark.parametrize(
    "forge",
    [
        lambda: jwt.encode(_claims(), None, "none", headers={"kid": AccessTokens(SECRET).key_id}),
        lambda: jwt.encode(_claims(), _public_bytes(), "HS256", headers={"kid": AccessTokens(SECRET).key_id}),
        lambda: jwt.encode(_claims(), Ed25519PrivateKey.generate(), "EdDSA"),
        lambda: _signed(_claims(), kid="0123456789abcdef"),
        lambda: jwt.encode(_claims(), _private_key(), "EdDSA"),
        lambda: _signed(_claims(aud="mediaserver-playback")),
        lambda: _signed(_claims(aud=["mediaserver-api", "mediaserver-playback"])),
        lambda: _signed(_claims(aud=None)),
        lambda: _signed(_claims(iss="somebody")),
        lambda: _signed(_claims(iss=None)),
        lambda: _signed(_claims(exp=None)),
        lambda: _signed(_claims(sid=None)),
        lambda: _signed(_claims(sub="not an id")),
        lambda: _signed(_claims(sub=["x"])),
        lambda: _signed(_claims(sid=7)),
        lambda: _signed(_claims(role="emperor")),
        lambda: _signed(_claims(role=["admin"])),
        lambda: _signed(_claims(iat=datetime.now(UTC) + timedelta(hours=1))),
        lambda: AccessTokens(b"another installation's secret, also long").issue(USER, SESSION, Role.USER),
        lambda: AccessTokens(SECRET, Algorithm.HS256).issue(USER, SESSION, Role.USER),
        lambda: RefreshTokens(SECRET).issue(SESSION),
        lambda: _signed(_claims())[:-6] + "AAAAAA",
        lambda: _signed(_claims(padding="x" * 3000)),
        lambda: "",
        lambda: "a.b.c",
        lambda: "....",
        lambda: "é.é.é",
        lambda: "\ud800.x.y",
    ],
)
def test_what_we_did_not_make_for_this_is_refused(forge: Callable[[], str]) -> None:
    with pytest.raises(TokenRefused) as refused:
        AccessTokens(SECRET).read(forge())
    assert not refused.value.is_expired


def test_a_token_that_was_good_is_not_good_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = AccessTokens(SECRET, lifetime=timedelta(seconds=-4))
    token = tokens.issue(USER, SESSION, Role.USER)
    monkeypatch.setattr("control_api.identity.tokens.CLOCK_LEEWAY", timedelta(seconds=5))
    assert tokens.read(token).user_id == USER
    monkeypatch.setattr("control_api.identity.tokens.CLOCK_LEEWAY", timedelta(0))
    with pytest.raises(TokenRefused) as refused:
        tokens.read(token)
    assert refused.value.is_expired


def test_tokens_that_are_remembered_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("control_api.identity.tokens.MAX_KNOWN", 2)
    tokens = AccessTokens(SECRET)
    issued = [tokens.issue(USER, SESSION, role) for role in Role]
    assert [tokens.read(token).role for token in issued * 2] == list(Role) * 2
    assert len(tokens._known) == 2
    with pytest.raises(TokenRefused):
        tokens.read(issued[0][:-4] + "AAAA")


def test_an_expired_token_is_told_apart() -> None:
    token = AccessTokens(SECRET, lifetime=timedelta(seconds=-6)).issue(USER, SESSION, Role.USER)
    with pytest.raises(TokenRefused) as refused:
        AccessTokens(SECRET).read(token)
    assert refused.value.is_expired


@given(st.text(max_size=300))
def test_no_text_breaks_the_readers(text: str) -> None:
    with pytest.raises(TokenRefused):
        AccessTokens(SECRET).read(text)
    assert RefreshTokens(SECRET).session_of(text) is None


def test_refresh_tokens_know_their_session() -> None:
    tokens = RefreshTokens(SECRET)
    made = {tokens.issue(SESSION) for _ in range(100)}
    assert len(made) == 100
    assert all(tokens.session_of(token) == SESSION for token in made)
    assert len({tokens.digest(token) for token in made}) == 100


def test_a_refresh_token_that_is_not_ours_belongs_to_no_session() -> None:
    token = RefreshTokens(SECRET).issue(SESSION)
    assert RefreshTokens(b"another installation's secret").session_of(token) is None
    for changed in (token[:-2], token + "AAAA", "AAAA" + token[4:], token[:40] + "AAAA" + token[44:]):
        assert RefreshTokens(SECRET).session_of(changed) is None
