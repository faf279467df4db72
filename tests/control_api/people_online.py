"""People who call the API of a real server, each with a token of their own."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import requests

from tests.control_api.live_api import PASSWORD, PREFIX

T = TypeVar("T")


@dataclass
class Caller:
    """``token`` is None for somebody who has not signed in."""

    url: str
    token: str | None = None
    session: requests.Session = field(default_factory=requests.Session)

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        """Any answer. ``path`` is below /api/v1."""
        headers = dict(options.pop("headers", {}))
        if self.token is not None:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        if body is not None:
            options["json"] = body
        return self.session.request(
            method, f"{self.url}{PREFIX}{path}", headers=headers, timeout=30, allow_redirects=False, **options
        )

    def get(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """The data of an answer that is a success."""
        response = self.ask(method, path, body, **options)
        assert response.ok, f"{method} {path}: {response.status_code} {response.text}"
        return response.json().get("data")


def registered(url: str, name: str) -> Caller:
    """Somebody new."""
    caller = Caller(url)
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD, "acceptTerms": True}
    caller.token = caller.get("POST", "/auth/register", body)["accessToken"]
    caller.session.cookies.clear()
    return caller


def found_soon(look: Callable[[], T], seconds: float = 15.0) -> T:
    """What ``look`` finds once it finds something."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {found!r}")
        time.sleep(0.02)


def code_of(response: requests.Response) -> str:
    """``403 forbidden``: all that an answer may tell of what is not one's own."""
    return f"{response.status_code} {response.json().get('code')}"
