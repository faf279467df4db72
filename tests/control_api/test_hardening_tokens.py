"""Tokens are good for what they were made for, and cookies only on our own pages."""

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from control_api.identity.tokens import AUDIENCE, ISSUER, AccessTokens, derived_key
from control_api.playback_grants import PlaybackGrants
from control_api.services.api_keys import Scope
from tests.control_api.hostile_values import NOBODY
from tests.control_api.live_api import PASSWORD, PREFIX, LiveApi, live_api
from tests.control_api.people_online import Caller, code_of, registered

pytestmark = pytest.mark.slow

DOORS = ("/live/{room}.flv", "/live/{room}.mp4", "/live/{room}.ts", "/hls/{room}/index.m3u8")
EVIL = "https://evil.example"


class Forge:
    """Makes tokens with the secrets of the installation, each wrong in one way."""

    def __init__(self, secret: bytes, caller: Caller) -> None:
        self.key = Ed25519PrivateKey.from_private_bytes(derived_key(secret, "access token EdDSA"))
        self.public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.kid = AccessTokens(secret).key_id
        self.grants = PlaybackGrants(secret)
        self.playback_key = derived_key(secret, "playback token")
        assert caller.token is not None
        self.good = caller.token
        self.claims: dict[str, Any] = jwt.decode(caller.token, options={"verify_signature": False})
        self.user_id = UUID(self.claims["sub"])

    def access(
        self, without: str = "", algorithm: str = "EdDSA", key: Any = None, kid: str = "", **claims: Any
    ) -> str:
        content = {name: value for name, value in (self.claims | claims).items() if name != without}
        headers = {"kid": kid or self.kid}
        return jwt.encode(content, self.key if key is None else key, algorithm, headers=headers)

    def playback(self, room: str, **claims: Any) -> str:
        content = {"aud": "playback", "exp": time.time() + 600, "room": room, "grants": ["play"]} | claims
        kid = jwt.get_unverified_header(self.grants.sign(uuid4(), None).token)["kid"]
        content["exp"] = int(content["exp"])
        return jwt.encode(content, self.playback_key, "HS256", headers={"kid": kid})


class House:
    def __init__(self, api: LiveApi, forge: Forge, caller: Caller) -> None:
        self.api, self.forge, self.caller = api, forge, caller
        new = {"title": "Private", "visibility": "private"}
        self.room: str = caller.get("POST", "/rooms", new)["id"]
        self.other_room: str = caller.get("POST", "/rooms", new)["id"]

    def door(self, door: str, token: str | None, is_bearer: bool = False) -> str:
        """The status at a door, and the code that the text begins with."""
        headers = {"Authorization": f"Bearer {token}"} if is_bearer else {}
        query = {"token": token} if token is not None and not is_bearer else {}
        answer = requests.get(
            self.api.url + door.format(room=self.room), params=query, headers=headers, timeout=30
        )
        return f"{answer.status_code} {answer.text.partition(':')[0]}"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("tokens")
    with live_api(folder) as api:
        caller = registered(api.url, "owner")
        yield House(api, Forge((folder / "secret-key").read_text().strip().encode(), caller), caller)


FORGERIES: dict[str, Callable[[Forge], str]] = {
    "alg none": lambda forge: forge.access(algorithm="none", key=""),
    "alg none without a signature, in capitals": lambda forge: (
        "eyJhbGciOiJOT05FIn0." + forge.good.split(".")[1] + "."
    ),
    "HS256 by the public key": lambda forge: forge.access(algorithm="HS256", key=forge.public),
    "HS256 by the playback key": lambda forge: forge.access(algorithm="HS256", key=forge.playback_key),
    "another's key": lambda forge: forge.access(key=Ed25519PrivateKey.generate()),
    "another kid": lambda forge: forge.access(kid="0" * 16),
    "a path for a kid": lambda forge: forge.access(kid="../../../../dev/null"),
    "another audience": lambda forge: forge.access(aud="playback"),
    "two audiences": lambda forge: forge.access(aud=[AUDIENCE, "playback"]),
    "another issuer": lambda forge: forge.access(iss=f"{ISSUER}2"),
    "no expiry": lambda forge: forge.access(without="exp"),
    "no session": lambda forge: forge.access(without="sid"),
    "another's session": lambda forge: forge.access(sid=str(uuid4())),
    "another user": lambda forge: forge.access(sub=NOBODY),
    "a user that is no id": lambda forge: forge.access(sub="me' OR 1=1 --"),
    "from the future": lambda forge: forge.access(iat=int(time.time()) + 3600),
    "changed": lambda forge: forge.good[:-6] + ("AAAAAA" if forge.good[-6:] != "AAAAAA" else "BBBBBB"),
    "a playback token": lambda forge: forge.grants.sign(uuid4(), forge.user_id).token,
    "a playback token that says all": lambda forge: forge.playback(NOBODY, **forge.claims),
    "an API key that nobody has": lambda _: "msk_" + "0" * 64,
    "SQL": lambda _: "msk_' OR ''='",
    "long": lambda forge: forge.good + "a" * 4000,
}


def test_the_forger_can_make_a_good_one(house: House) -> None:
    for token in (house.forge.good, house.forge.access()):
        assert Caller(house.api.url, token).get("GET", "/users/me")["username"] == "owner"


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_token_is_refused(house: House, forgery: str) -> None:
    token = FORGERIES[forgery](house.forge)
    for path in ("/users/me", "/rooms"):
        answer = Caller(house.api.url, token).ask("GET", path)
        assert answer.status_code == 401, path
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_an_expired_token_is_refused_and_told_apart(house: House) -> None:
    token = house.forge.access(exp=int(time.time()) - 60, iat=int(time.time()) - 120)
    assert code_of(Caller(house.api.url, token).ask("GET", "/users/me")) == "401 token_expired"


def test_a_role_in_a_token_gives_none(house: House) -> None:
    token = house.forge.access(role="superadmin")
    assert code_of(Caller(house.api.url, token).ask("GET", "/admin/users")) == "403 forbidden"


def test_tokens_in_addresses_do_not_count(house: House) -> None:
    for name in ("token", "access_token"):
        answer = Caller(house.api.url).ask("GET", f"/users/me?{name}={house.forge.good}")
        assert answer.status_code in (400, 401)


@pytest.mark.parametrize("door", DOORS)
def test_doors_open_to_playback_tokens_only(house: House, door: str) -> None:
    made = house.caller.get("POST", "/api-keys", {"name": "all", "scopes": [scope.value for scope in Scope]})
    good = house.caller.get("POST", f"/rooms/{house.room}/playback-token")["token"]
    for is_bearer in (False, True):
        # The room is off the air: whoever may watch hears that, and nobody else.
        assert house.door(door, good, is_bearer).startswith("404 ")
        for token in (house.forge.good, made["key"], NOBODY):
            assert house.door(door, token, is_bearer)[:3] in ("401", "403")
    assert house.door(door, None).startswith("401 ")


@pytest.mark.parametrize("door", DOORS)
def test_forged_playback_tokens_open_nothing(house: House, door: str) -> None:
    forge, room, user = house.forge, house.room, str(house.forge.user_id)
    good = forge.playback(room, sub=user)
    assert house.door(door, good).startswith("404 ")
    header, content, _ = good.split(".")
    forgeries = {
        "another room": forge.playback(house.other_room, sub=user),
        "another user": forge.playback(room, sub=NOBODY),
        "nobody": forge.playback(room),
        "expired": forge.playback(room, sub=user, exp=time.time() - 1),
        "the audience of access": forge.playback(room, sub=user, aud=AUDIENCE),
        "no right to play": forge.playback(room, sub=user, grants=[]),
        "alg none": jwt.encode(forge.claims | {"room": room}, "", "none"),
        "unsigned": f"{header}.{content}.",
        "the access key": forge.access(aud="playback", room=room, grants=["play"]),
    }
    opened = {
        name: answer for name, token in forgeries.items() if not refused(answer := house.door(door, token))
    }
    assert opened == {}


def refused(answer: str) -> bool:
    return answer[:3] in ("401", "403")


def test_a_refresh_token_that_comes_back_ends_the_session(house: House) -> None:
    browser = Caller(house.api.url)
    login = {"username": "owner", "password": PASSWORD}
    access = Caller(house.api.url, browser.get("POST", "/auth/login", login)["accessToken"])
    stolen = browser.session.cookies["refresh"]
    for _ in range(2):
        access.token = browser.get("POST", "/auth/refresh")["accessToken"]
    thief = Caller(house.api.url)
    answer = thief.ask("POST", "/auth/refresh", headers={"Cookie": f"refresh={stolen}"})
    assert code_of(answer) == "401 invalid_refresh_token"
    assert code_of(browser.ask("POST", "/auth/refresh")) == "401 invalid_refresh_token"
    assert code_of(access.ask("GET", "/users/me")) == "401 session_ended"


def test_an_access_token_is_no_refresh_token_nor_the_other_way_round(house: House) -> None:
    browser = Caller(house.api.url)
    browser.get("POST", "/auth/login", {"username": "owner", "password": PASSWORD})
    refresh = browser.session.cookies["refresh"]
    assert code_of(Caller(house.api.url, refresh).ask("GET", "/users/me")) == "401 invalid_token"
    for token in (house.forge.good, house.forge.playback(house.room), "x' OR ''='"):
        answer = Caller(house.api.url).ask("POST", "/auth/refresh", headers={"Cookie": f"refresh={token}"})
        assert code_of(answer) == "401 invalid_refresh_token"


class Page:
    """A page of ours in a browser, signed in by its cookie."""

    def __init__(self, api: LiveApi) -> None:
        self.caller = Caller(api.url)
        login = {"username": "owner", "password": PASSWORD}
        self.caller.session.headers["Sec-Fetch-Site"] = "same-origin"
        self.caller.get("POST", "/auth/login", login)
        self.csrf_token: str = self.caller.get("GET", "/auth/session")["csrfToken"]


@pytest.fixture(scope="module")
def page(house: House) -> Page:
    return Page(house.api)


def test_no_operation_can_be_called_by_another_sites_page(house: House, page: Page) -> None:
    """By cookie alone it is nobody's; with a wrong token, or from elsewhere, it is a forgery."""
    faults = []
    for operation in house.api.operations():
        if operation.method == "GET" or {} in operation.details["security"]:
            continue
        path = operation.path.removeprefix(PREFIX)
        for name in operation.path_names:
            path = path.replace(f"{{{name}}}", NOBODY)
        good = {"X-CSRF-Token": page.csrf_token}
        wanted: list[tuple[str, dict[str, str]]] = [
            ("401 unauthorized", {}),
            ("403 csrf_token_invalid", {"X-CSRF-Token": "A" * 43}),
            ("403 foreign_origin", good | {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"}),
            ("403 foreign_origin", good | {"Origin": "null"}),
        ]
        # A page that was just loaded has no CSRF token yet: the origin guards its refresh cookie.
        is_by_refresh_cookie = operation.details["security"] == [{"refreshToken": []}]
        for code, headers in wanted[2:] if is_by_refresh_cookie else wanted:
            answer = code_of(page.caller.ask(operation.method, path, {}, headers=headers))
            if answer != code:
                faults.append(f"{operation.name} with {headers}: {answer}")
    assert not faults


def test_our_own_page_can(page: Page) -> None:
    headers = {"X-CSRF-Token": page.csrf_token, "Origin": page.caller.url}
    page.caller.get("PATCH", "/users/me", {"bio": "By our page."}, headers=headers)


@pytest.mark.parametrize(
    "path", ["/auth/login", "/auth/register", "/auth/refresh", "/auth/logout", "/auth/otp/login"]
)
def test_another_sites_page_signs_nobody_in_or_out(house: House, path: str) -> None:
    bodies: dict[str, Any] = {
        "/auth/login": {"username": "owner", "password": PASSWORD},
        "/auth/register": {
            "username": "victim",
            "email": "v@example.com",
            "password": PASSWORD,
            "acceptTerms": True,
        },
        "/auth/otp/login": {"email": "owner@example.com", "code": "000000"},
    }
    headers = {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"}
    answer = Caller(house.api.url).ask("POST", path, bodies.get(path), headers=headers)
    assert code_of(answer) == "403 foreign_origin"
    assert "Set-Cookie" not in answer.headers


def test_forms_of_other_sites_are_no_json(house: House) -> None:
    """What a page can send elsewhere without asking first."""
    body = b'{"username": "owner", "password": "' + PASSWORD.encode() + b'"}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = Caller(house.api.url).ask("POST", "/auth/login", data=body, headers={"Content-Type": kind})
        assert answer.status_code == 415


def test_other_sites_read_nothing(house: House, page: Page) -> None:
    for method in ("GET", "OPTIONS"):
        headers = {"Origin": EVIL, "Access-Control-Request-Method": "GET"}
        answer = page.caller.ask(method, "/users/me", headers=headers)
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Access-Control-Allow-Credentials" not in answer.headers


def test_cookies_are_out_of_reach_of_scripts(page: Page) -> None:
    answer = page.caller.ask("POST", "/auth/login", {"username": "owner", "password": PASSWORD})
    cookies = answer.raw.headers.getlist("Set-Cookie")
    assert len(cookies) == 2
    assert all("HttpOnly" in cookie and "SameSite=Lax" in cookie for cookie in cookies)
