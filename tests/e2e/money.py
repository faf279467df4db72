"""What tests of pages about money do: a server with people and test payments, and the test checkout."""

import json
import urllib.request
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from tests.e2e.chatting import PASSWORD
from tests.helpers.chromium import Chromium, Page
from tests.helpers.server_process import ServerProcess

TEST_PAYMENTS: Final = {
    "MEDIASERVER_CHAT__CONNECTIONS_PER_MINUTE": "1000",
    "MEDIASERVER_API__REQUESTS_PER_WINDOW": "10000",
    "MEDIASERVER_API__AUTHENTICATIONS_PER_WINDOW": "1000",
    "MEDIASERVER_MONEY__TEST_PAYMENTS": "true",
}
PAGE_SHEET: Final = "page-sheet"
OVERFLOW: Final = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
NOT_SIGNED_IN: Final = "/api/v1/auth/session"


@dataclass(slots=True)
class Api:
    """The server's API as the tests' own client."""

    server: ServerProcess
    _keys: int = 0

    def call(
        self, method: str, path: str, body: dict[str, object] | None = None, token: str = ""
    ) -> dict[str, Any]:
        return dict(self._data(method, path, body, token))

    def call_list(self, path: str, token: str) -> list[dict[str, Any]]:
        return list(self._data("GET", path, None, token))

    def _data(self, method: str, path: str, body: dict[str, object] | None, token: str) -> Any:
        self._keys += 1
        headers = {"Content-Type": "application/json", "Idempotency-Key": f"test-{self._keys}"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = json.dumps(body).encode() if body is not None else None
        url = f"{self.server.base_url}/api/v1{path}"
        request = urllib.request.Request(url, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.load(response)["data"]

    def register(self, name: str) -> tuple[str, str]:
        """A new user: (id, access token)."""
        body: dict[str, object] = {
            "username": name,
            "email": f"{name}@example.com",
            "password": PASSWORD,
            "acceptTerms": True,
        }
        made = self.call("POST", "/auth/register", body)
        return made["user"]["id"], self.sign_in(name)

    def sign_in(self, name: str) -> str:
        """An access token."""
        body: dict[str, object] = {"username": name, "password": PASSWORD}
        return str(self.call("POST", "/auth/login", body)["accessToken"])

    def administrator(self, name: str) -> str:
        """A new administrator's access token."""
        email = f"{name}@example.com"
        arguments = ("--username", name, "--email", email, "--password", PASSWORD, "--role", "admin")
        self.server.admin("create-user", *arguments)
        return self.sign_in(name)

    def creator(self, name: str, admin_token: str) -> str:
        """A new creator's access token."""
        _, token = self.register(name)
        application = self.call("POST", "/creators/apply", {"text": "Bread"}, token)["id"]
        self.call("POST", f"/admin/creator-applications/{application}/approve", {}, admin_token)
        return token


async def submit(page: Page, form: str, values: dict[str, str]) -> None:
    """Fill the form and send it."""
    await page.evaluate(
        f"""(() => {{
            const form = document.querySelector({json.dumps(form)});
            for (const [name, value] of Object.entries({json.dumps(values)})) {{
                form.elements[name].value = value;
            }}
            form.requestSubmit();
        }})()"""
    )


async def sign_in_by(page: Page, sheet: str, name: str) -> None:
    """With the form that is open in the sheet."""
    form = f"#{sheet}-body form"
    await page.wait_for(f"document.getElementById('{sheet}-title').textContent === 'Sign in'")
    await submit(page, form, {"username": name, "password": PASSWORD})


async def press(page: Page, selector: str, text: str) -> None:
    """Click, as a user does, what is below ``selector``, can be seen and holds ``text``."""
    found = f"""[...document.querySelectorAll({json.dumps(selector)})]
        .find((one) => one.checkVisibility() && one.textContent.includes({json.dumps(text)}))"""
    await page.wait_for(f"{found} !== undefined")
    name = await page.evaluate(
        f"""(() => {{
            const one = {found};
            one.id ||= 'pressed';
            one.scrollIntoView({{ block: 'center' }});
            return one.id;
        }})()"""
    )
    await page.click(str(name))
    await page.evaluate("document.getElementById('pressed')?.removeAttribute('id')")


async def checkout(server: ServerProcess, chromium: Chromium, page: Page, button: str = ".pay") -> Page:
    """Press a button of the test checkout that ``page`` waits for; the tab where it ends.

    The server does not know which port it was given: its address is opened as the tests know it.
    """
    address = str(await page.wait_for("document.querySelector('.gift-checkout')?.href"))
    tab = await chromium.open(server.base_url + urlsplit(address).path)
    await tab.evaluate(f"document.querySelector('{button}').click()")
    await tab.wait_for("document.getElementById('returned')?.checkVisibility()")
    return tab


def problems(page: Page) -> list[str]:
    """What the console shows in red, but for the question whether somebody is signed in."""
    return [problem for problem in page.problems if NOT_SIGNED_IN not in problem]
