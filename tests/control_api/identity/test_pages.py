"""Pages signed in by cookie: the same Principal, and nothing for other sites' pages."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from control_api.identity.tokens import AccessTokens
from tests.control_api.identity.house import PASSWORD, SECRET, Answer, House


@dataclass
class Browser:
    """Keeps cookies, and says of each request which page it comes from."""

    house: House
    cookies: dict[str, str] = field(default_factory=dict)
    csrf_token: str | None = None

    async def call(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> Answer:
        sent = {"Sec-Fetch-Site": "same-origin"} | (headers or {})
        if self.csrf_token is not None:
            sent.setdefault("X-CSRF-Token", self.csrf_token)
        sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = await self.house.call(method, path, body, headers=sent)
        for name, cookie in answer.cookies.items():
            self.cookies[name] = cookie.value
        return answer

    async def login(self) -> Answer:
        answer = await self.call("POST", "/auth/login", {"username": "alice", "password": PASSWORD})
        self.csrf_token = (await self.call("GET", "/auth/session")).data["csrfToken"]
        return answer


@pytest.fixture
async def browser(house: House) -> Browser:
    await house.register()
    browser = Browser(house)
    await browser.login()
    return browser


async def devices(browser: Browser) -> Any:
    return (await browser.call("GET", "/auth/sessions")).data


async def test_a_page_is_signed_in_by_its_cookie(browser: Browser) -> None:
    answer = await browser.call("GET", "/auth/session")
    assert answer.data["user"]["username"] == "alice"
    assert len(answer.data["csrfToken"]) >= 43
    assert len(browser.cookies["session"]) >= 43
    assert [device["isCurrent"] for device in await devices(browser)].count(True) == 1


async def test_the_cookie_is_for_http_only_and_kept_as_a_digest(house: House) -> None:
    await house.register()
    browser = Browser(house)
    answer = await browser.login()
    cookie = answer.cookies["session"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    assert cookie.value not in str(await house.database.fetch("SELECT * FROM web_sessions"))


async def test_a_program_gets_no_page_session(house: House) -> None:
    answer = await house.register()
    assert set(answer.cookies) == {"refresh"}
    session = await house.call("GET", "/auth/session", token=answer.data["accessToken"])
    assert session.data["csrfToken"] is None


async def test_a_change_needs_the_csrf_token(browser: Browser) -> None:
    mine = next(device["id"] for device in await devices(browser) if not device["isCurrent"])
    token, browser.csrf_token = browser.csrf_token, None
    path = f"/auth/sessions/{mine}"
    assert (await browser.call("DELETE", path)).status == 401
    wrong = await browser.call("DELETE", path, headers={"X-CSRF-Token": "x" * 43})
    assert (wrong.status, wrong.code) == (403, "csrf_token_invalid")
    assert (await browser.call("DELETE", path, headers={"X-CSRF-Token": "é"})).status in (400, 403)
    assert len(await devices(browser)) == 2
    browser.csrf_token = token
    assert (await browser.call("DELETE", path)).status == 200


def run_out(house: House, token: str) -> str:
    """What ``token`` is when its lifetime is over."""
    claims = house.access_tokens.read(token)
    late = AccessTokens(SECRET, lifetime=timedelta(seconds=-6))
    return late.issue(claims.user_id, claims.session_id, claims.role)


async def test_a_page_renews_its_access_token_when_it_ran_out(house: House) -> None:
    await house.register()
    browser = Browser(house)
    first = (await browser.login()).data["accessToken"]
    bearer = {"Authorization": f"Bearer {run_out(house, first)}"}
    refused = await browser.call("GET", "/auth/session", headers=bearer)
    assert (refused.status, refused.code) == (401, "token_expired")
    spent = browser.cookies["refresh"]
    renewed = (await browser.call("POST", "/auth/refresh", headers=bearer)).data["accessToken"]
    assert house.access_tokens.read(renewed) == house.access_tokens.read(first)
    assert browser.cookies["refresh"] != spent
    answer = await browser.call("GET", "/auth/session", headers={"Authorization": f"Bearer {renewed}"})
    assert answer.data["user"]["username"] == "alice"
    again = {"Authorization": f"Bearer {run_out(house, renewed)}"}
    assert (await browser.call("POST", "/auth/refresh", headers=again)).status == 200


async def test_a_page_needs_no_access_token_for_its_session(house: House, browser: Browser) -> None:
    """So nothing runs out for what the page asks by its cookie, nor changes when a token is renewed."""
    other = next(device["id"] for device in await devices(browser) if not device["isCurrent"])
    assert (await browser.call("POST", "/auth/refresh")).status == 200
    session = await browser.call("GET", "/auth/session")
    assert session.data["csrfToken"] == browser.csrf_token
    assert (await browser.call("DELETE", f"/auth/sessions/{other}")).status == 200


async def test_another_sites_page_renews_nothing(house: House, browser: Browser) -> None:
    kept = browser.cookies["refresh"]
    elsewhere = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    answer = await browser.call("POST", "/auth/refresh", headers=elsewhere)
    assert (answer.status, answer.code) == (403, "foreign_origin")
    assert browser.cookies["refresh"] == kept
    assert (await browser.call("POST", "/auth/refresh")).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://other.localhost"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[bad"},
    ],
)
async def test_another_sites_page_changes_nothing(browser: Browser, headers: dict[str, str]) -> None:
    mine = next(device["id"] for device in await devices(browser) if not device["isCurrent"])
    answer = await browser.call("DELETE", f"/auth/sessions/{mine}", headers=headers)
    assert (answer.status, answer.code) == (403, "foreign_origin")
    assert len(await devices(browser)) == 2


async def test_our_own_origin_is_no_other_site(browser: Browser) -> None:
    host = f"{browser.house.client.host}:{browser.house.client.port}"
    answer = await browser.call("POST", "/auth/logout", headers={"Origin": f"https://{host}"})
    assert answer.status == 200


async def test_the_token_of_another_session_does_not_count(house: House, browser: Browser) -> None:
    other = Browser(house)
    await other.login()
    answer = await browser.call(
        "PATCH",
        "/auth/password",
        {"currentPassword": PASSWORD, "newPassword": "another password"},
        headers={"X-CSRF-Token": str(other.csrf_token)},
    )
    assert (answer.status, answer.code) == (403, "csrf_token_invalid")


async def test_signing_in_makes_a_new_key(browser: Browser) -> None:
    before, csrf_token = browser.cookies["session"], browser.csrf_token
    await browser.login()
    assert browser.cookies["session"] != before
    assert browser.csrf_token != csrf_token


async def test_a_planted_key_is_not_taken_over(house: House) -> None:
    await house.register()
    browser = Browser(house, {"session": "planted-by-somebody"})
    await browser.login()
    assert browser.cookies["session"] != "planted-by-somebody"
    thief = Browser(house, {"session": "planted-by-somebody"})
    assert (await thief.call("GET", "/auth/session")).status == 401


async def test_signing_out_ends_the_page_session(house: House, browser: Browser) -> None:
    kept = browser.cookies["session"]
    assert (await browser.call("POST", "/auth/logout")).status == 200
    assert browser.cookies["session"] == ""
    assert (await Browser(house, {"session": kept}).call("GET", "/auth/session")).status == 401
    assert await house.database.fetch_value("SELECT count(*) FROM web_sessions") == 0


async def test_revoking_the_session_ends_the_page_session(house: House, browser: Browser) -> None:
    current = next(device["id"] for device in await devices(browser) if device["isCurrent"])
    assert (await browser.call("DELETE", f"/auth/sessions/{current}")).status == 200
    assert (await browser.call("GET", "/auth/session")).status == 401


@pytest.mark.parametrize("cookie", ["x", "x" * 5000, "{}", "é"])
async def test_a_cookie_that_means_nothing_is_nobody(house: House, cookie: str) -> None:
    await house.register()
    browser = Browser(house, {"session": cookie})
    assert (await browser.call("GET", "/auth/session")).status == 401
    assert (await browser.login()).status == 200


async def test_a_damaged_row_is_nobody(house: House, browser: Browser) -> None:
    for data in ('{"created": 1, "session": {"user": 7}}', "[]", '{"session": {}}', '"x"', "{}"):
        await house.database.execute("UPDATE web_sessions SET data = $1::text::jsonb", data)
        assert (await browser.call("GET", "/auth/session")).status == 401


@pytest.mark.parametrize(
    ("headers", "is_page"),
    [
        ({"Origin": "http://HOST"}, True),
        ({"Origin": "http://HOST", "Sec-Fetch-Site": "cross-site"}, False),
        ({}, False),
    ],
)
async def test_a_page_is_known_by_its_origin_where_browsers_say_no_more(
    house: House, headers: dict[str, str], is_page: bool
) -> None:
    """Over plain http to another machine they leave ``Sec-Fetch-Site`` out."""
    await house.register()
    host = f"{house.client.host}:{house.client.port}"
    sent = {name: value.replace("HOST", host) for name, value in headers.items()}
    body = {"username": "alice", "password": PASSWORD}
    answer = await house.call("POST", "/auth/login", body, headers=sent)
    assert ("session" in answer.cookies) is is_page
