"""Guessing behind proxies, and a running API whose PostgreSQL or Redis is lost and comes back."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from threading import Event
from typing import Any, Final

import psutil
import pytest
import requests

from tests.control_api.hostile_values import NOBODY
from tests.control_api.live_api import PASSWORD, PREFIX, LiveApi, Operation
from tests.control_api.people_online import Caller, code_of, found_soon
from tests.faults.test_database import frozen, postmaster
from tests.helpers.server_process import ServerProcess
from tests.storage.test_shared_state import RedisServer

pytestmark = pytest.mark.slow

ATTEMPTS: Final = 5
LOAD: Final = 4
HEAL_SECONDS: Final = 30.0
SETTINGS: Final = {
    "MEDIASERVER_API__REQUESTS_PER_WINDOW": "1000000",
    "MEDIASERVER_API__AUTHENTICATIONS_PER_WINDOW": str(ATTEMPTS),
    "MEDIASERVER_API__UPLOADS_PER_HOUR": "1000000",
    "MEDIASERVER_HTTP__TRUSTED_PROXIES": "127.0.0.0/8",
    "MEDIASERVER_DATABASE__ACQUIRE_TIMEOUT_SECONDS": "0.5",
    "MEDIASERVER_DATABASE__COMMAND_TIMEOUT_SECONDS": "0.5",
}
_addresses = (f"198.51.100.{number}" for number in count(1))


class Site:
    """A server behind a proxy, and Ada, who is signed in to it."""

    def __init__(self, server: ServerProcess, redis: RedisServer) -> None:
        self.server, self.redis = server, redis
        self.url = server.base_url
        for name in ("ada", "eve", "kim"):
            words = ("--username", name, "--email", f"{name}@example.com", "--password", PASSWORD)
            server.admin("create-user", *words, "--role", "user")
        answer = self.login("ada", PASSWORD, next(_addresses))
        assert answer.ok, answer.text
        self.ada = Caller(self.url, answer.json()["data"]["accessToken"])
        document = requests.get(f"{self.url}/openapi.json", timeout=30).json()
        self.operations = list(LiveApi(self.url, "", "", document).operations())

    def login(self, name: str, password: str, client: str) -> requests.Response:
        """``client`` is what arrives as X-Forwarded-For."""
        body = {"username": name, "password": password}
        return Caller(self.url).ask("POST", "/auth/login", body, headers={"X-Forwarded-For": client})

    def is_ready(self) -> bool:
        return requests.get(f"{self.url}/health/ready", timeout=30).status_code == 200

    def is_well(self) -> bool:
        return self.ada.ask("GET", "/users/me").ok and self.ada.ask("GET", "/rooms").ok

    def assert_no_faults(self) -> None:
        """What the server met, it had foreseen."""
        output = self.server.output
        found = [n for n, line in enumerate(output) if "api_failed" in line or "request_failed" in line]
        assert not found, "".join(output[found[0] : found[0] + 80])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    redis = RedisServer(tmp_path_factory.mktemp("redis"))
    redis.start()
    settings = SETTINGS | {"MEDIASERVER_REDIS_URL": redis.url}
    try:
        with ServerProcess(tmp_path_factory.mktemp("faults") / "data", settings=settings) as server:
            yield Site(server, redis)
    finally:
        redis.kill()


def test_who_guesses_is_stopped_whatever_address_is_claimed(site: Site) -> None:
    """What stands left of the proxy's own entry is the client's to make up."""
    client = next(_addresses)
    answers = [site.login("eve", "wrong password", f"203.0.113.{n}, {client}") for n in range(ATTEMPTS)]
    assert [code_of(answer) for answer in answers] == ["401 invalid_credentials"] * ATTEMPTS
    stopped = site.login("eve", PASSWORD, f"203.0.113.99, {client}")
    assert code_of(stopped) == "429 rate_limited"
    assert int(stopped.headers["Retry-After"]) > 0
    assert site.login("eve", PASSWORD, next(_addresses)).ok


def test_an_ipv6_network_guesses_as_one(site: Site) -> None:
    answers = [site.login("eve", "wrong password", f"2001:db8:1:2::{n:x}") for n in range(ATTEMPTS + 1)]
    assert code_of(answers[-1]) == "429 rate_limited"


def test_all_ways_in_have_one_budget(site: Site) -> None:
    headers = {"X-Forwarded-For": next(_addresses)}
    ways: list[tuple[str, dict[str, Any]]] = [
        ("/auth/login", {"username": "kim", "password": "wrong password"}),
        ("/auth/otp/login", {"email": "kim@example.com", "code": "000000"}),
        ("/auth/password/reset", {"email": "kim@example.com", "code": "000000", "password": PASSWORD}),
        ("/auth/verify-email", {"email": "kim@example.com", "code": "000000"}),
        ("/auth/password/forgot", {"email": "kim@example.com"}),
    ]
    for path, body in ways:
        assert Caller(site.url).ask("POST", path, body, headers=headers).status_code in (200, 400, 401)
    for path, body in ways:
        assert code_of(Caller(site.url).ask("POST", path, body, headers=headers)) == "429 rate_limited"


def test_a_session_does_not_help_to_guess_its_password(site: Site) -> None:
    """With a stolen token, from as many addresses as one likes."""
    wrong = {"currentPassword": "wrong password", "newPassword": "another good password"}
    answers = []
    for _ in range(ATTEMPTS * 10 + 1):
        headers = {"X-Forwarded-For": next(_addresses)}
        answers.append(code_of(site.ada.ask("PATCH", "/auth/password", wrong, headers=headers)))
    assert set(answers[:-1]) == {"403 wrong_password"}
    assert answers[-1] == "429 rate_limited"
    headers = {"X-Forwarded-For": next(_addresses)}
    deletion = site.ada.ask("DELETE", "/users/me", {"password": "wrong password"}, headers=headers)
    assert code_of(deletion) == "429 rate_limited"


def test_without_redis_the_node_counts_by_itself(site: Site) -> None:
    site.redis.kill()
    try:
        assert site.is_well()
        client = next(_addresses)
        answers = [code_of(site.login("kim", "wrong password", client)) for _ in range(ATTEMPTS + 1)]
        assert answers == ["401 invalid_credentials"] * ATTEMPTS + ["429 rate_limited"]
        assert not site.is_ready()
    finally:
        site.redis.start()
    found_soon(site.is_ready)
    assert site.is_well()
    site.assert_no_faults()


def test_while_postgres_hangs_every_operation_says_so(site: Site) -> None:
    with frozen(site.server), ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda operation: _tried(site, operation), site.operations))
    names = [operation.name for operation in site.operations]
    unfit = {name: it.text for name, it in zip(names, answers, strict=True) if not _is_fit(it)}
    assert unfit == {}
    assert sum(answer.status_code == 503 for answer in answers) > len(answers) / 2
    found_soon(site.is_well)
    site.assert_no_faults()


def _tried(site: Site, operation: Operation) -> requests.Response:
    path = operation.path.removeprefix(PREFIX)
    for name in operation.path_names:
        path = path.replace(f"{{{name}}}", NOBODY)
    headers = {"X-Forwarded-For": next(_addresses)}
    return site.ada.ask(operation.method, path, {} if operation.body is not None else None, headers=headers)


def _is_fit(answer: requests.Response) -> bool:
    """Refused before the database is asked, done without it, or to be tried again."""
    if answer.status_code != 503:
        return answer.status_code < 500
    return code_of(answer) == "503 unavailable" and int(answer.headers["Retry-After"]) > 0


def test_signing_in_waits_for_postgres(site: Site) -> None:
    with frozen(site.server):
        answer = site.login("kim", PASSWORD, next(_addresses))
        assert _is_fit(answer)
        assert answer.status_code == 503
    found_soon(lambda: site.login("kim", PASSWORD, next(_addresses)).ok)


def test_a_killed_postgres_comes_back_by_itself(site: Site) -> None:
    """Under load, since a connection may be lost at any step."""
    is_killed = Event()
    with ThreadPoolExecutor(LOAD) as threads:
        running = [threads.submit(_asked_until_well, site, is_killed) for _ in range(LOAD)]
        _kill_postgres(site.server)
        is_killed.set()
        answers = [answer for asked in running for answer in asked.result()]
    site.assert_no_faults()
    assert [answer.text for answer in answers if not _is_fit(answer)] == []
    found_soon(site.is_ready)
    assert site.is_well()


def _kill_postgres(server: ServerProcess) -> None:
    parent = postmaster(server)
    for process in (parent, *parent.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _asked_until_well(site: Site, is_killed: Event) -> list[requests.Response]:
    """All answers until the first success after the fault."""
    caller, answers = Caller(site.url, site.ada.token), list[requests.Response]()
    deadline = time.monotonic() + HEAL_SECONDS
    while True:
        is_after = is_killed.is_set()
        answers.append(caller.ask("PATCH", "/users/me", {"bio": f"Change {len(answers)}."}))
        if is_after and answers[-1].ok:
            return answers
        assert time.monotonic() < deadline, answers[-1].text
