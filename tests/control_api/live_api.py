"""The API of a real server over HTTP, and its own document to judge the answers by."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.helpers.server_process import ServerProcess

PREFIX = "/api/v1"
PASSWORD = "correct horse battery"
MANY = "1000000"
UNLIMITED = {
    "MEDIASERVER_API__REQUESTS_PER_WINDOW": MANY,
    "MEDIASERVER_API__AUTHENTICATIONS_PER_WINDOW": MANY,
    "MEDIASERVER_API__UPLOADS_PER_HOUR": MANY,
    "MEDIASERVER_API__ROOMS_PER_USER": MANY,
}
"""Thousands of requests come from one address here."""
BODY_BYTES = 1_000_000
UPLOAD_BYTES = 4_000_000
LIMITS = {
    "MEDIASERVER_API__MAX_BODY_BYTES": str(BODY_BYTES),
    "MEDIASERVER_API__MAX_UPLOAD_BYTES": str(UPLOAD_BYTES),
}
"""Smaller than those that nobody sets."""
REQUESTS_AT_ONCE = 8
"""Refusals that are slow on purpose overlap; fewer than the password hashes that may wait, so none is 503."""


@dataclass(frozen=True)
class Operation:
    """One row of the document. ``path`` is with the prefix and ``{names}`` in it."""

    method: str
    path: str
    details: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.details["operationId"])

    @property
    def statuses(self) -> set[int]:
        return {int(status) for status in self.details["responses"]}

    @property
    def path_names(self) -> list[str]:
        return [p["name"] for p in self.details["parameters"] if p["in"] == "path"]

    @property
    def query(self) -> dict[str, Any]:
        return {p["name"]: p["schema"] for p in self.details["parameters"] if p["in"] == "query"}

    @property
    def body(self) -> dict[str, Any] | None:
        """Of a JSON body that the document describes; not of one that is taken as it is."""
        content = self.details.get("requestBody", {}).get("content", {})
        schema: dict[str, Any] | None = content.get("application/json", {}).get("schema")
        return schema if schema is None or schema.get("format") != "binary" else None


@dataclass
class LiveApi:
    """``token`` is of an administrator, ``member_token`` of a plain user.

    ``own_ids`` are of things of the administrator's, by what they are called in paths.
    """

    url: str
    token: str
    member_token: str
    document: dict[str, Any]
    faults: list[str] = field(default_factory=list)
    own_ids: dict[str, str] = field(default_factory=dict)
    _of_thread: threading.local = field(default_factory=threading.local)

    @property
    def session(self) -> requests.Session:
        """The calling thread's own, with a connection that is kept alive."""
        if not hasattr(self._of_thread, "session"):
            self._of_thread.session = requests.Session()
        session: requests.Session = self._of_thread.session
        return session

    def settle(self) -> None:
        """Make ``own_ids``."""
        self.own_ids["users"] = self._ask("GET", "/users/me")["id"]
        self.own_ids["rooms"] = self._ask("POST", "/rooms", {"title": "Home"})["id"]
        hook = {"url": "https://example.com/hook", "events": ["follow"]}
        self.own_ids["webhook-endpoints"] = self._ask("POST", "/webhook-endpoints", hook)["id"]

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        response = self.session.request(
            method, f"{self.url}{PREFIX}{path}", json=body, headers=headers, timeout=30
        )
        assert response.ok, response.text
        return response.json()["data"]

    def operations(self) -> Iterator[Operation]:
        for path, methods in self.document["paths"].items():
            for method, details in methods.items():
                yield Operation(method.upper(), path, details)

    def resolve(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """``schema`` with its reference followed."""
        name = schema.get("$ref", "").rpartition("/")[2]
        return dict(self.document["components"]["schemas"][name] if name else schema)

    def send(
        self, operation: Operation, path: str | None = None, token: str | None = None, **options: Any
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {token or self.token}", **options.pop("headers", {})}
        path = path if path is not None else operation.path
        return self.session.request(
            operation.method, self.url + path, headers=headers, timeout=30, allow_redirects=False, **options
        )

    def judge(self, operation: Operation, what: str, response: requests.Response) -> bool:
        """Note an answer that is none of those that the document has for ``operation``."""
        why = None
        if response.status_code >= 500 and response.status_code != 503:
            why = "a fault of the server"
        elif response.status_code not in operation.statuses:
            why = "not in the document"
        elif response.content and response.status_code >= 400 and not _is_refusal(response):
            why = "a refusal without the envelope"
        if why is not None:
            text = f"{response.status_code} is {why}: {response.text[:300]}"
            self.faults.append(f"{operation.method} {operation.path} with {what}: {text}")
        return why is None

    def try_all(self, attempt: Callable[..., None], cases: Iterable[tuple[Any, ...]]) -> None:
        """``attempt(*case)`` for each case, some at once; fails with all that they noted."""
        cases = list(cases)
        assert cases, "nothing to try"
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            for _ in pool.map(lambda case: attempt(*case), cases):
                pass
        self._verdict()

    def _verdict(self) -> None:
        """Fail with all that was noted, and forget it."""
        faults, self.faults = self.faults, []
        assert not faults, f"{len(faults)} faults\n" + "\n".join(dict.fromkeys(faults))


def _is_refusal(response: requests.Response) -> bool:
    try:
        body = response.json()
    except ValueError:
        return False
    return body.get("success") is False and isinstance(body.get("code"), str) and "requestId" in body


@contextmanager
def live_api(folder: Path) -> Iterator[LiveApi]:
    """A server of its own without limits, and two people in it."""
    with ServerProcess(folder, settings=UNLIMITED | LIMITS) as server:
        for name, role in (("chief", "superadmin"), ("member", "user")):
            _admin(server, "create-user", "--username", name, "--role", role)
        document = requests.get(f"{server.base_url}/openapi.json", timeout=30).json()
        tokens = [_sign_in(server.base_url, name) for name in ("chief", "member")]
        api = LiveApi(server.base_url, *tokens, document)
        api.settle()
        yield api


def _admin(server: ServerProcess, command: str, *words: str) -> None:
    name = words[1]
    subprocess.run(
        [
            *(sys.executable, "-m", "mediaserver", "admin", command, *words),
            *("--email", f"{name}@example.com", "--password", PASSWORD, "--json"),
        ],
        env=server.environment,
        check=True,
        capture_output=True,
        timeout=60,
    )


def _sign_in(url: str, name: str) -> str:
    body = {"username": name, "password": PASSWORD}
    response = requests.post(f"{url}{PREFIX}/auth/login", json=body, timeout=30)
    assert response.status_code == 200, response.text
    token: str = response.json()["data"]["accessToken"]
    return token


def compact(value: Any) -> str:
    """A value as it stands in a message: short."""
    text = json.dumps(value, default=str)
    return text if len(text) < 120 else f"{text[:80]}… ({len(text)} characters)"
