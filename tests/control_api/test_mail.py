"""Mail: what is sent, to a real SMTP server that comes and goes, and into a folder."""

import asyncio
import email
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from control_api.mail import Delivery, FolderMailer, Mailer, Retries, SmtpMailer, SmtpServer, mailer_of
from tests.helpers.waiting import eventually
from tests.rtmp.certificates import self_signed

SENDER = "no-reply@example.com"
QUICK = Retries(attempts=50, first_pause=0.01, longest_pause=0.05, timeout=5.0)


class Inbox:
    """An aiosmtpd handler that keeps what comes in; ``answers`` are given first, one per mail."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.attempts = 0

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        self.attempts += 1
        if self.answers:
            return self.answers.pop(0)
        content = envelope.content
        assert isinstance(content, bytes)
        message = email.message_from_bytes(content, policy=default)
        assert isinstance(message, EmailMessage)
        self.mails.append(message)
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 OK"


@asynccontextmanager
async def smtp_server(
    inbox: Inbox, port: int = 0, tls: ssl.SSLContext | None = None, **options: object
) -> AsyncIterator[int]:
    """The port it listens at. With ``tls`` from the first byte; ``tls_context`` is for STARTTLS."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(inbox, loop=loop, **options), "127.0.0.1", port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def running(mailer: Mailer) -> AsyncIterator[None]:
    task = asyncio.create_task(mailer.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def mailer_at(port: int, retries: Retries = QUICK, capacity: int = 100) -> SmtpMailer:
    return SmtpMailer(SmtpServer("127.0.0.1", port), SENDER, retries, capacity)


async def test_a_mail_arrives_as_it_was_written() -> None:
    inbox = Inbox()
    async with smtp_server(inbox) as port:
        mailer = mailer_at(port)
        async with running(mailer):
            await mailer.send("alice@example.com", "Grüße", "Dein Code: 123456\n")
            await eventually(lambda: mailer.sent)
    (mail,) = inbox.mails
    assert (mail["From"], mail["To"], mail["Subject"]) == (SENDER, "alice@example.com", "Grüße")
    assert mail["Message-ID"].endswith("@example.com>") and mail["Date"]
    assert mail.get_content().strip() == "Dein Code: 123456"
    assert inbox.recipients == [["alice@example.com"]]


@pytest.mark.parametrize(
    "to",
    [
        "alice@example.com\r\nBcc: eve@example.com",
        "alice@example.com\nBcc: eve@example.com",
        "alice,eve@example.com",
        "alice@example.com, eve@example.com",
        "alice@example.com\0",
        "alice",
        "@",
        "",
        "a" * 250 + "@example.com",
    ],
)
async def test_an_address_that_is_more_or_less_than_one_is_refused(to: str, tmp_path: Path) -> None:
    mailer = FolderMailer(tmp_path, SENDER)
    await mailer.send(to, "Hello", "text")
    assert (mailer.sent, mailer.failed) == (0, 1)


@pytest.mark.parametrize("line_break", ["\r\n", "\n", "\r", "\0", "\x85", "\u2028"])
async def test_a_subject_cannot_add_headers(line_break: str, tmp_path: Path) -> None:
    mailer = FolderMailer(tmp_path, SENDER)
    await mailer.send("alice@example.com", f"Hello{line_break}Bcc: eve@example.com", "text")
    assert (mailer.sent, mailer.failed) == (0, 1)


async def test_mail_waits_for_a_server_that_is_away() -> None:
    inbox = Inbox()
    async with smtp_server(inbox) as port:
        pass
    mailer = mailer_at(port)
    async with running(mailer):
        await mailer.send("alice@example.com", "One", "text")
        await mailer.send("alice@example.com", "Two", "text")
        async with smtp_server(inbox, port):
            await eventually(lambda: mailer.sent == 2)
    assert {mail["Subject"] for mail in inbox.mails} == {"One", "Two"}
    assert (mailer.waiting, mailer.failed) == (0, 0)


async def test_a_mail_refused_for_now_is_tried_again() -> None:
    inbox = Inbox("451 Greylisted", "451 Greylisted")
    async with smtp_server(inbox) as port:
        mailer = mailer_at(port)
        async with running(mailer):
            await mailer.send("alice@example.com", "Hello", "text")
            await eventually(lambda: mailer.sent)
    assert (inbox.attempts, len(inbox.mails)) == (3, 1)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ((), Delivery.DELIVERED),
        (("451 Greylisted",), Delivery.FAILED),
        (("554 No thanks",), Delivery.REFUSED),
    ],
)
async def test_who_waits_for_a_delivery_learns_what_became_of_it(answers: Any, expected: Delivery) -> None:
    inbox = Inbox(*answers)
    async with smtp_server(inbox) as port:
        mailer = mailer_at(port)
        assert await mailer.deliver("alice@example.com", "Hello", "text") is expected
    is_delivered = expected is Delivery.DELIVERED
    assert (inbox.attempts, len(inbox.mails), mailer.waiting) == (1, int(is_delivered), 0)
    assert (mailer.sent, mailer.failed) == (int(is_delivered), int(not is_delivered))


async def test_a_delivery_to_a_server_that_is_away_fails() -> None:
    async with smtp_server(Inbox()) as port:
        pass
    assert await mailer_at(port).deliver("alice@example.com", "Hello", "text") is Delivery.FAILED


async def test_deliveries_into_a_folder(tmp_path: Path) -> None:
    mailer = FolderMailer(tmp_path / "mail", SENDER)
    assert await mailer.deliver("alice@example.com", "Hello", "text") is Delivery.DELIVERED
    assert await mailer.deliver("alice", "Hello", "text") is Delivery.REFUSED
    (tmp_path / "file").touch()
    nowhere = FolderMailer(tmp_path / "file", SENDER)
    assert await nowhere.deliver("alice@example.com", "Hello", "text") is Delivery.FAILED


async def test_a_mail_refused_for_good_is_given_up_and_counted() -> None:
    inbox = Inbox("554 No thanks")
    async with smtp_server(inbox) as port:
        mailer = mailer_at(port)
        async with running(mailer):
            await mailer.send("alice@example.com", "Hello", "text")
            await eventually(lambda: mailer.failed)
    assert (inbox.attempts, mailer.sent, mailer.waiting) == (1, 0, 0)


async def test_attempts_end() -> None:
    inbox = Inbox(*["451 Later"] * 100)
    async with smtp_server(inbox) as port:
        mailer = mailer_at(port, Retries(attempts=3, first_pause=0.01))
        async with running(mailer):
            await mailer.send("alice@example.com", "Hello", "text")
            await eventually(lambda: mailer.failed)
    assert (inbox.attempts, mailer.waiting) == (3, 0)


async def test_a_server_that_says_nothing_is_left() -> None:
    silent = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    async with silent:
        port = silent.sockets[0].getsockname()[1]
        mailer = mailer_at(port, Retries(attempts=1, timeout=0.05))
        async with running(mailer):
            await mailer.send("alice@example.com", "Hello", "text")
            await eventually(lambda: mailer.failed)


async def test_a_full_queue_takes_no_more_and_says_so() -> None:
    mailer = mailer_at(1, capacity=2)
    for _ in range(3):
        await mailer.send("alice@example.com", "Hello", "text")
    assert (mailer.waiting, mailer.failed) == (2, 1)


@dataclass
class Doorkeeper:
    """Lets one user in with one password, and notes who came."""

    came: list[tuple[bytes, bytes]] = field(default_factory=list)

    def __call__(self, *arguments: Any) -> AuthResult:
        given: LoginPassword = arguments[-1]
        self.came.append((given.login, given.password))
        return AuthResult(success=given.password == b"p/q", handled=False)


@dataclass(frozen=True)
class Certificates:
    of_server: ssl.SSLContext
    of_clients: ssl.SSLContext


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    certificate, key = self_signed(tmp_path_factory.mktemp("certificates"))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate, key)
    return Certificates(server, ssl.create_default_context(cafile=certificate))


async def test_a_password_goes_through_starttls(certificates: Certificates) -> None:
    inbox, doorkeeper = Inbox(), Doorkeeper()
    options = {"tls_context": certificates.of_server, "authenticator": doorkeeper, "auth_required": True}
    async with smtp_server(inbox, **options) as port:
        server = SmtpServer("127.0.0.1", port, "user", "p/q")
        mailer = SmtpMailer(server, SENDER, QUICK, authorities=certificates.of_clients)
        async with running(mailer):
            await mailer.send("alice@example.com", "Hello", "text")
            await eventually(lambda: mailer.sent)
    assert doorkeeper.came == [(b"user", b"p/q")]
    assert len(inbox.mails) == 1


async def test_smtps_is_tls_from_the_first_byte(certificates: Certificates) -> None:
    inbox = Inbox()
    async with smtp_server(inbox, tls=certificates.of_server) as port:
        server = SmtpServer("127.0.0.1", port, is_tls=True)
        mailer = SmtpMailer(server, SENDER, QUICK, authorities=certificates.of_clients)
        async with running(mailer):
            await mailer.send("alice@example.com", "Hello", "text")
            await eventually(lambda: mailer.sent)
    assert len(inbox.mails) == 1


@pytest.mark.parametrize("is_tls", [False, True])
async def test_a_password_is_not_told_to_an_impostor(certificates: Certificates, is_tls: bool) -> None:
    inbox, doorkeeper = Inbox(), Doorkeeper()
    options: dict[str, Any] = {"authenticator": doorkeeper}
    options["tls" if is_tls else "tls_context"] = certificates.of_server
    async with smtp_server(inbox, **options) as port:
        server = SmtpServer("127.0.0.1", port, "user", "p/q", is_tls)
        mailer = SmtpMailer(server, SENDER, Retries(attempts=1))
        async with running(mailer):
            await mailer.send("alice@example.com", "Hello", "text")
            await eventually(lambda: mailer.failed)
    assert (doorkeeper.came, inbox.mails) == ([], [])


async def test_a_password_is_not_sent_in_the_clear() -> None:
    inbox, doorkeeper = Inbox(), Doorkeeper()
    async with smtp_server(inbox, authenticator=doorkeeper, auth_require_tls=False) as port:
        mailer = SmtpMailer(SmtpServer("127.0.0.1", port, "user", "p/q"), SENDER, Retries(attempts=1))
        async with running(mailer):
            await mailer.send("alice@example.com", "Hello", "text")
            await eventually(lambda: mailer.failed)
    assert (doorkeeper.came, inbox.mails) == ([], [])


async def test_a_relay_beside_us_may_sign_its_certificate_itself(certificates: Certificates) -> None:
    inbox = Inbox()
    options = {"tls_context": certificates.of_server, "require_starttls": True}
    async with smtp_server(inbox, **options) as port:
        mailer = mailer_at(port)
        async with running(mailer):
            await mailer.send("alice@example.com", "Hello", "text")
            await eventually(lambda: mailer.sent)
    assert len(inbox.mails) == 1


async def test_without_a_server_mail_goes_into_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "mail"
    mailer = FolderMailer(folder, SENDER)
    await mailer.send("alice@example.com", "Hello", "Your code: 123456")
    (path,) = folder.iterdir()
    message = email.message_from_bytes(path.read_bytes(), policy=default)
    assert message["To"] == "alice@example.com" and b"123456" in path.read_bytes()
    assert path.suffix == ".eml" and path.stat().st_mode & 0o077 == 0
    await mailer.run()


async def test_a_folder_that_cannot_be_written_is_no_error_of_the_caller(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file in the way")
    mailer = FolderMailer(tmp_path / "mail", SENDER)
    await mailer.send("alice@example.com", "Hello", "text")
    assert (mailer.sent, mailer.failed) == (0, 1)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.com", SmtpServer("mail.example.com", 587)),
        ("smtp://localhost:25", SmtpServer("localhost", 25)),
        ("smtps://u%40x:p%2Fq@mail.example.com", SmtpServer("mail.example.com", 465, "u@x", "p/q", True)),
    ],
)
def test_a_url_names_a_server(url: str, server: SmtpServer, tmp_path: Path) -> None:
    assert SmtpServer.of(url) == server
    assert isinstance(mailer_of(url, tmp_path, SENDER), SmtpMailer)


@pytest.mark.parametrize(
    "url", ["http://mail.example.com", "smtp://", "smtp://user@host", "smtp://host:99999", "mail"]
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError):
        SmtpServer.of(url)


def test_the_sender_must_be_an_address(tmp_path: Path) -> None:
    assert isinstance(mailer_of(None, tmp_path, SENDER), FolderMailer)
    with pytest.raises(ValueError):
        mailer_of(None, tmp_path, "nobody")
