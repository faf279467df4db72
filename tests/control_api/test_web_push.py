"""Web Push as a browser and a push service see it; subscriptions that lead nowhere good are refused."""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import http_ece
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from control_api.errors import ApiError
from control_api.outbound import Answer, Outbound, OutboundError
from control_api.services.push_subscriptions import MOST_SUBSCRIPTIONS, PushSubscriptionService
from control_api.services.web_push import MAX_PAYLOAD_BYTES, Outcome, Verdict, WebPush, new_vapid_key
from storage.database import Database
from storage.ids import new_id
from storage.repositories import Users
from storage.repositories.notification_outbox import PushKeys

ENDPOINT = "https://push.example.com/send/1"
CONTACT = "mailto:admin@live.example"


def base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


class Browser:
    """Made a key pair and a secret when its user allowed pushes."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.secret = bytes(range(16))
        point = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.p256dh, self.auth = base64(point), base64(self.secret)

    @property
    def keys(self) -> PushKeys:
        return PushKeys(new_id(), ENDPOINT, self.p256dh, self.auth)

    def read(self, body: bytes) -> bytes:
        message: bytes = http_ece.decrypt(
            body, private_key=self.key, auth_secret=self.secret, version="aes128gcm"
        )
        return message


@dataclass
class PushService:
    """Answers with ``status``, or not at all."""

    status: int | None = 201
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    calls: list[tuple[str, bytes, Mapping[str, str]]] = field(default_factory=list)

    def check_url(self, text: str) -> Any:
        return Outbound().check_url(text)

    async def post(self, address: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        self.calls.append((address, body, headers))
        if self.status is None:
            raise OutboundError("cannot be reached")
        return Answer(self.status, self.answer_headers, b"")


@pytest.fixture
def service() -> PushService:
    return PushService()


@pytest.fixture
async def push(service: PushService) -> AsyncIterator[WebPush]:
    web_push = WebPush(new_vapid_key(), CONTACT, service)
    yield web_push
    web_push.close()


async def test_a_browser_can_read_it_and_a_push_service_knows_who_sent_it(
    push: WebPush, service: PushService
) -> None:
    browser = Browser()
    assert await push.send(browser.keys, b'{"title": "hello"}', 60) == Outcome(Verdict.DELIVERED)
    [(address, body, headers)] = service.calls
    assert address == ENDPOINT and browser.read(body) == b'{"title": "hello"}'
    assert (headers["TTL"], headers["Content-Encoding"]) == ("60", "aes128gcm")
    scheme, parts = headers["Authorization"].split(" ", 1)
    token, key = (part.split("=", 1)[1] for part in parts.split(","))
    assert (scheme, key) == ("vapid", push.public_key)
    claims = jwt.decode(token, public_key_of(push), ["ES256"], audience="https://push.example.com")
    assert claims["sub"] == CONTACT


async def test_a_server_without_a_name_can_push(service: PushService) -> None:
    push = WebPush(new_vapid_key(), "http://localhost:8080", service)
    assert await push.send(Browser().keys, b"x", 60) == Outcome(Verdict.DELIVERED)
    push.close()


def public_key_of(push: WebPush) -> ec.EllipticCurvePublicKey:
    point = urlsafe_b64decode(push.public_key + "=")
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.DELIVERED),
        (201, Verdict.DELIVERED),
        (404, Verdict.GONE),
        (410, Verdict.GONE),
        (301, Verdict.REFUSED),
        (400, Verdict.REFUSED),
        (403, Verdict.REFUSED),
        (413, Verdict.REFUSED),
        (429, Verdict.LATER),
        (500, Verdict.LATER),
        (503, Verdict.LATER),
        (None, Verdict.LATER),
    ],
)
async def test_what_an_answer_means(
    push: WebPush, service: PushService, status: int | None, verdict: Verdict
) -> None:
    service.status = status
    assert (await push.send(Browser().keys, b"x", 60)).verdict is verdict


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("120", 120), ("9" * 9, 3600), ("9" * 5000, 0), ("-1", 0), ("Wed, 21 Oct", 0), ("²", 0), ("", 0)],
)
async def test_a_push_service_may_ask_for_time_but_not_for_ever(
    push: WebPush, service: PushService, header: str, seconds: int
) -> None:
    service.status, service.answer_headers = 429, {"retry-after": header}
    assert await push.send(Browser().keys, b"x", 60) == Outcome(Verdict.LATER, seconds)


async def test_what_cannot_be_encrypted_or_signed_is_given_up(push: WebPush, service: PushService) -> None:
    browser = Browser()
    assert await push.send(browser.keys, b"x" * (MAX_PAYLOAD_BYTES + 1), 60) == Outcome(Verdict.REFUSED)
    broken = PushKeys(new_id(), ENDPOINT, "AAAA", browser.auth)
    assert await push.send(broken, b"x", 60) == Outcome(Verdict.REFUSED)
    numeric = PushKeys(new_id(), "https://[2606:4700::1]/x", browser.p256dh, browser.auth)
    assert await push.send(numeric, b"x", 60) == Outcome(Verdict.REFUSED)
    assert service.calls == []


async def test_the_loop_is_free_while_pushes_are_encrypted(push: WebPush) -> None:
    browser, ticks = Browser(), 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await push.send(browser.keys, b"x", 60)
    ticking.cancel()
    assert ticks > 1


@pytest.mark.parametrize(
    ("curve", "fault"), [(ec.SECP384R1(), "P-256"), (None, "PEM")], ids=["other curve", "no key"]
)
def test_only_a_key_on_p256_is_taken(curve: ec.EllipticCurve | None, fault: str) -> None:
    pem = "nothing"
    if curve is not None:
        key = ec.generate_private_key(curve)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(ValueError, match=fault):
        WebPush(pem, CONTACT, PushService())


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://push.example.com/1",
        "https://localhost/1",
        "https://127.0.0.1/1",
        "https://[::1]/1",
        "https://[::ffff:10.0.0.1]/1",
        "https://169.254.169.254/latest/meta-data",
        "https://192.168.1.1/",
        "https://2130706433/",
        "https://push.example.com:22/1",
        "https://user:secret@push.example.com/1",
        "https://push.example.com/\r\nX: 1",
        "https://push.example.com/\0",
        "https://push.exämple.com/1",
        "https://push.example.com/\ud800",
        "https://",
        "ftp://push.example.com",
        "",
    ],
)
async def test_endpoints_in_the_operators_network_are_refused(push: WebPush, endpoint: str) -> None:
    browser = Browser()
    with pytest.raises(ApiError) as refusal:
        push.check_subscription(endpoint, browser.p256dh, browser.auth)
    assert (refusal.value.status, refusal.value.details[0].field) == (400, "endpoint")


@pytest.mark.parametrize(
    ("p256dh", "auth", "field_name"),
    [
        ("", None, "keys.p256dh"),
        ("AAAA", None, "keys.p256dh"),
        (base64(b"\x04" + b"\x01" * 64), None, "keys.p256dh"),
        (base64(b"\x04" * 66), None, "keys.p256dh"),
        ("é" * 87, None, "keys.p256dh"),
        (None, "", "keys.auth"),
        (None, base64(b"x" * 15), "keys.auth"),
        (None, "!" * 22, "keys.auth"),
    ],
)
async def test_keys_that_are_none_are_refused(
    push: WebPush, p256dh: str | None, auth: str | None, field_name: str
) -> None:
    browser = Browser()
    with pytest.raises(ApiError) as refusal:
        push.check_subscription(
            ENDPOINT,
            browser.p256dh if p256dh is None else p256dh,
            browser.auth if auth is None else auth,
        )
    assert (refusal.value.status, refusal.value.details[0].field) == (400, field_name)


async def test_a_browser_subscribes_renews_and_unsubscribes(database: Database, push: WebPush) -> None:
    subscriptions, browser = PushSubscriptionService(database, push), Browser()
    alice = (await Users(database).add("alice", "a@example.com", "hash")).id
    bob = (await Users(database).add("bob", "b@example.com", "hash")).id
    assert subscriptions.public_key() == push.public_key
    first = await subscriptions.subscribe(alice, ENDPOINT, browser.p256dh, browser.auth)
    assert await subscriptions.subscribe(bob, ENDPOINT, browser.p256dh, browser.auth) == first
    with pytest.raises(ApiError) as refusal:
        await subscriptions.unsubscribe(alice, ENDPOINT)
    assert (refusal.value.status, refusal.value.code) == (404, "push_subscription_not_found")
    await subscriptions.unsubscribe(bob, ENDPOINT)
    assert await database.fetch_value("SELECT count(*) FROM push_subscriptions") == 0


@pytest.mark.parametrize("endpoint", ["https://x\0", "https://\ud800"])
async def test_no_endpoint_makes_the_database_fail(database: Database, push: WebPush, endpoint: str) -> None:
    with pytest.raises(ApiError) as refusal:
        await PushSubscriptionService(database, push).unsubscribe(new_id(), endpoint)
    assert refusal.value.status == 404


async def test_the_oldest_browser_makes_room(database: Database, push: WebPush) -> None:
    subscriptions, browser = PushSubscriptionService(database, push), Browser()
    user = (await Users(database).add("alice", "a@example.com", "hash")).id
    for number in range(MOST_SUBSCRIPTIONS + 2):
        await subscriptions.subscribe(user, f"{ENDPOINT}/{number}", browser.p256dh, browser.auth)
    rows = await database.fetch("SELECT endpoint FROM push_subscriptions")
    assert len(rows) == MOST_SUBSCRIPTIONS
    assert f"{ENDPOINT}/0" not in {row["endpoint"] for row in rows}


async def test_a_server_without_web_push_says_so(database: Database) -> None:
    subscriptions = PushSubscriptionService(database, None)
    with pytest.raises(ApiError) as refusal:
        subscriptions.public_key()
    assert (refusal.value.status, refusal.value.code) == (404, "push_not_configured")
    with pytest.raises(ApiError):
        await subscriptions.subscribe(new_id(), ENDPOINT, "", "")
