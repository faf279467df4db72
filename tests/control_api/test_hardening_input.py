"""Addresses, names and pictures that are meant to do harm, and answers that tell too much."""

import struct
import zlib
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.control_api.live_api import BODY_BYTES, PASSWORD, UPLOAD_BYTES, LiveApi, live_api
from tests.control_api.people_online import Caller, code_of, registered

pytestmark = pytest.mark.slow

UNSAFE_URLS = (
    "http://example.com/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0177.0.0.1/",
    "https://0.0.0.0/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[fe80::1]/",
    "https://[fd00::1]/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://metadata.google.internal/",
    "https://localhost/",
    "https://LOCALHOST./",
    "https://printer.local/",
    "https://intranet/",
    "https://example.com:22/",
    "https://example.com:6379/",
    "https://user:password@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com\\@127.0.0.1/",
    "https://example.com/\r\nHost: evil",
    "https:///nowhere",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "javascript:alert(1)",
    "//example.com/",
    "https://\uff11\uff12\uff17.0.0.1/",
    "https://127\u30020\u30020\u30021/",
)
PUSH_KEYS = {"p256dh": "B" + "A" * 86, "auth": "A" * 22}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with live_api(tmp_path_factory.mktemp("input")) as api:
        yield api


@pytest.fixture(scope="module")
def member(api: LiveApi) -> Caller:
    return Caller(api.url, api.member_token)


@pytest.fixture(scope="module")
def hook(member: Caller) -> str:
    made = member.get("POST", "/webhook-endpoints", {"url": "https://example.com/", "events": ["follow"]})
    identifier: str = made["id"]
    return identifier


@pytest.mark.parametrize("url", UNSAFE_URLS, ids=ascii)
def test_the_server_calls_nothing_of_its_own_network(member: Caller, hook: str, url: str) -> None:
    made = member.ask("POST", "/webhook-endpoints", {"url": url, "events": ["follow"]})
    changed = member.ask("PATCH", f"/webhook-endpoints/{hook}", {"url": url})
    pushed = member.ask("POST", "/push-subscriptions", {"endpoint": url, "keys": PUSH_KEYS})
    assert [code_of(answer) for answer in (made, changed, pushed)] == ["400 invalid_request"] * 3
    assert {answer.json()["details"][0]["field"] for answer in (made, changed)} == {"url"}


def test_pictures_are_never_fetched(member: Caller) -> None:
    """There is no address to give: pictures come as bytes."""
    for body in ({"url": "http://169.254.169.254/"}, {"avatar": "https://example.com/a.png"}):
        assert member.ask("PUT", "/users/me/avatar", body).status_code == 415
        assert member.ask("PATCH", "/users/me", body).status_code == 400


def png(width: int, height: int, pixels: bytes) -> bytes:
    """A PNG of one bit a pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(pixels, 9)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


BOMBS = {
    "many pixels in few bytes": png(30_000, 30_000, bytes(30_000 * 3751)),
    "more pixels than there is memory": png(2**31 - 1, 2**31 - 1, b""),
    "data that inflates past the picture": png(8, 8, bytes(64 * 1024 * 1024)),
    "HTML": b"<html><script>alert(1)</script></html>",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1/"/></svg>',
    "nothing in a PNG": b"\x89PNG\r\n\x1a\n",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_in_pictures_do_not_go_off(api: LiveApi, member: Caller, bomb: str) -> None:
    room = member.get("POST", "/rooms", {"title": "A room"})["id"]
    for path in ("/users/me/avatar", f"/rooms/{room}/thumbnail"):
        answer = member.ask("PUT", path, data=BOMBS[bomb], headers={"Content-Type": "image/png"})
        inflates_only = bomb == "data that inflates past the picture" and answer.status_code == 200
        assert inflates_only or answer.status_code == 400, answer.text
    for kind in ("image/svg+xml", "text/html", "application/octet-stream"):
        answer = member.ask("PUT", "/users/me/avatar", data=BOMBS[bomb], headers={"Content-Type": kind})
        assert answer.status_code == 415


@pytest.mark.parametrize(
    "name",
    [
        "\u0430dmin",  # Cyrillic a
        "\uff41dmin",  # fullwidth a
        "admin\u200b",
        "\u202enimda",
        "admi\u0301n",
        "\u212aelvin",
        "ad\u00admin",
        "admin ",
        "admin\n",
        "adm\u0131n",
        "a.dmin",
        "a/dmin",
        "<admin>",
        "admin'--",
        "\ud83d\ude00admin",
    ],
    ids=ascii,
)
def test_no_name_looks_like_another(api: LiveApi, name: str) -> None:
    body = {"username": name, "email": "x@example.com", "password": PASSWORD, "acceptTerms": True}
    answer = Caller(api.url).ask("POST", "/auth/register", body)
    assert code_of(answer) == "400 invalid_request"
    assert answer.json()["details"][0]["field"] == "username"
    slug = Caller(api.url, api.member_token).ask("POST", "/rooms", {"title": "A room", "slug": name})
    assert code_of(slug) == "400 invalid_request"


@pytest.mark.parametrize(
    ("method", "path", "kind", "limit"),
    [
        ("PATCH", "/users/me", "application/json", BODY_BYTES),
        ("PUT", "/users/me/avatar", "image/png", UPLOAD_BYTES),
    ],
)
def test_a_body_is_as_long_as_the_settings_allow(
    api: LiveApi, member: Caller, method: str, path: str, kind: str, limit: int
) -> None:
    described = api.document["paths"][f"/api/v1{path}"][method.lower()]["requestBody"]["description"]
    assert described == f"At most {limit} bytes."
    full = member.ask(method, path, data=b"{}".ljust(limit), headers={"Content-Type": kind})
    assert full.status_code == (200 if kind == "application/json" else 400), full.text
    longer = member.ask(method, path, data=b"{}".ljust(limit + 1), headers={"Content-Type": kind})
    assert code_of(longer) == "413 body_too_large"
    assert f"{limit} bytes" in longer.json()["error"]


def test_names_and_addresses_differ_by_more_than_case(api: LiveApi) -> None:
    taken = {"password": PASSWORD, "acceptTerms": True}
    for name, email, code in (
        ("MEMBER", "new@example.com", "409 username_taken"),
        ("member2", "MEMBER@EXAMPLE.COM", "409 email_taken"),
        ("member2", "member@\uff45xample.com", "409 email_taken"),
    ):
        body = taken | {"username": name, "email": email}
        assert code_of(Caller(api.url).ask("POST", "/auth/register", body)) == code


@pytest.mark.parametrize(
    "email",
    [
        "a@example.com\r\nBcc: everybody@example.com",
        "a@example.com\nSubject: x",
        "a@example.com,b@example.com",
        "a@example.com>",
        '"a\r\nRCPT TO:<b@example.com>"@example.com',
        "a@example.com\u0000",
        "a@exam\u2028ple.com",
        "a@[127.0.0.1]",
        "a@b@example.com",
        "-a@-example.com",
    ],
    ids=ascii,
)
def test_no_line_gets_into_a_mail_by_an_address(api: LiveApi, email: str) -> None:
    body = {"username": "mailer", "email": email, "password": PASSWORD, "acceptTerms": True}
    answer = Caller(api.url).ask("POST", "/auth/register", body)
    assert answer.status_code == 400
    for path in ("/auth/password/forgot", "/auth/otp/send", "/auth/verify-email"):
        assert Caller(api.url).ask("POST", path, {"email": email}).status_code in (200, 400)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/auth/login", {"username": "{}", "password": "wrong password"}),
        ("/auth/login", {"username": "{}@example.com", "password": "wrong password"}),
        ("/auth/password/forgot", {"email": "{}@example.com"}),
        ("/auth/password/reset", {"email": "{}@example.com", "code": "000000", "password": PASSWORD}),
        ("/auth/verify-email", {"email": "{}@example.com"}),
        ("/auth/verify-email", {"email": "{}@example.com", "code": "000000"}),
        ("/auth/otp/send", {"email": "{}@example.com"}),
        ("/auth/otp/login", {"email": "{}@example.com", "code": "000000"}),
    ],
    ids=lambda part: part if isinstance(part, str) else "-".join(part),
)
def test_answers_do_not_tell_who_exists(
    api: LiveApi, people: tuple[str, str], path: str, body: dict[str, Any]
) -> None:
    answers = [told(Caller(api.url).ask("POST", path, named(body, name))) for name in (*people, "nobody")]
    assert answers[0] == answers[1] == answers[2]


@pytest.fixture(scope="module")
def people(api: LiveApi) -> tuple[str, str]:
    """Somebody, and somebody who is banned."""
    registered(api.url, "watched")
    user_id = registered(api.url, "banned1").get("GET", "/users/me")["id"]
    chief = Caller(api.url, api.token)
    chief.get("PATCH", f"/admin/users/{user_id}", {"state": "banned", "reason": "for the test"})
    return "watched", "banned1"


def named(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {field: value.replace("{}", name) for field, value in body.items()}


def told(answer: requests.Response) -> Any:
    """All of an answer that does not differ anyway."""
    content = {field: value for field, value in answer.json().items() if field != "requestId"}
    headers = {name for name in answer.headers if not name.startswith("RateLimit")}
    return answer.status_code, content, headers, sorted(answer.cookies.keys())


def test_a_banned_profile_is_as_unknown_as_none(api: LiveApi, people: tuple[str, str]) -> None:
    answers = [told(Caller(api.url).ask("GET", f"/users/{name}")) for name in (people[1], "nobody")]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404


def raw_get(api: LiveApi, path: str, host: str | None = None) -> tuple[int, dict[str, str]]:
    """Status and headers; ``path`` goes out as it stands here, which no good client does."""
    where = urlsplit(api.url)
    connection = HTTPConnection(where.hostname or "", where.port, timeout=30)
    try:
        connection.request("GET", path, headers={"Host": host or where.netloc})
        answer = connection.getresponse()
        answer.read()
        return answer.status, dict(answer.getheaders())
    finally:
        connection.close()


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example/",
        "//evil.example/%2e%2e",
        "/%2f%2fevil.example/",
        "/%5cevil.example/",
        "/\\evil.example",
        "/api/v1//evil.example",
        "/api/v1/rooms/",
        "/watch//evil.example/",
        "/watch/%2f%2fevil.example",
        "/?next=https://evil.example/",
        "/docs?url=https://evil.example/",
        "/docs/?next=//evil.example",
        "/api/v1/auth/session?redirect=https://evil.example/",
        "/api/v1/rooms?returnTo=//evil.example",
        "/%0d%0aLocation:%20https://evil.example/",
        "/api/v1/rooms/x%0d%0aLocation:%20https://evil.example/",
    ],
)
def test_nobody_is_sent_elsewhere(api: LiveApi, path: str) -> None:
    status, headers = raw_get(api, path, "evil.example")
    assert status < 500
    assert "evil" not in headers.get("Location", "")
    assert "Set-Cookie" not in headers


def test_a_forged_host_is_in_no_answer(api: LiveApi, member: Caller) -> None:
    room = member.get("POST", "/rooms", {"title": "A room"})["id"]
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    for method, path in (("POST", f"/rooms/{room}/playback-token"), ("POST", f"/rooms/{room}/stream-key")):
        answer = member.ask(method, path, headers=headers)
        assert answer.ok
        assert "evil" not in answer.text
    assert "evil" not in api.session.get(f"{api.url}/openapi.json", headers=headers, timeout=30).text


@pytest.mark.parametrize(
    "name",
    [
        "../../secret-key",
        "../../../secret-key",
        "..%2f..%2fsecret-key",
        "%2e%2e/%2e%2e/secret-key",
        "..%5csecret-key",
        "%2fetc%2fpasswd",
        "a" * 32,
        "a" * 32 + ".webp",
    ],
)
def test_no_file_comes_out_by_its_path(api: LiveApi, name: str) -> None:
    for folder in ("avatars", "thumbnails"):
        assert raw_get(api, f"/api/v1/{folder}/{name}")[0] in (400, 404)


SQL = ("' OR 1=1 --", "a' UNION SELECT password_hash FROM users --", "%", "_", "a & !", ":*")


@pytest.mark.parametrize("word", SQL)
def test_sql_is_searched_for_like_any_word(api: LiveApi, member: Caller, word: str) -> None:
    before = len(Caller(api.url, api.token).get("GET", "/admin/users"))
    for path, name in (("/search", "q"), ("/admin/users", "text")):
        answer = Caller(api.url, api.token).ask("GET", path, params={name: word})
        assert answer.status_code in (200, 400)
        assert "argon2" not in answer.text
    login = Caller(api.url).ask("POST", "/auth/login", {"username": word + "   ", "password": word})
    assert code_of(login) == "401 invalid_credentials"
    assert len(Caller(api.url, api.token).get("GET", "/admin/users")) == before


def test_the_server_is_well_after_all_that(api: LiveApi) -> None:
    assert requests.get(f"{api.url}/health/ready", timeout=30).status_code == 200
