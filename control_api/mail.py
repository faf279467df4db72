"""Mail to users: handed to an SMTP server, or without one put into a folder.

Mailer
├── SmtpMailer      a bounded queue that one task works off, with retries while the server is away
└── FolderMailer    one file per mail, for the administrator to look into

``send`` never fails and never waits for a server: what cannot be sent is logged and counted, because no
answer to a request may depend on it. ``deliver`` waits, and is for tasks that keep the mail themselves.
"""

import asyncio
import random
import ssl
from abc import ABC, abstractmethod
from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, localtime, make_msgid
from enum import Enum
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import aiosmtplib
import structlog

from storage.ids import new_id

logger = structlog.get_logger("mediaserver.mail")

QUEUE_LENGTH: Final = 1000
MAX_ADDRESS_LENGTH: Final = 254
MAX_SUBJECT_LENGTH: Final = 200
PERMANENT: Final = 500
DEFAULT_PORTS: Final = {"smtp": 587, "smtps": 465}


class Delivery(Enum):
    """What was REFUSED will always be; what FAILED may go well another time."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    FAILED = "failed"


class Mailer(ABC):
    """``sender`` is the address in From. The counters are for the metrics."""

    def __init__(self, sender: str) -> None:
        """Raises ValueError when ``sender`` is no address."""
        self._sender = _address(sender)
        self.sent = 0
        self.failed = 0

    async def send(self, to: str, subject: str, text: str) -> None:
        """Send it soon."""
        ready = self._ready(to, subject, text)
        if ready is not None:
            await self._post(*ready)

    async def deliver(self, to: str, subject: str, text: str) -> Delivery:
        """Send it now, by one attempt, and tell what became of it: the caller keeps what is to be kept."""
        ready = self._ready(to, subject, text)
        return await self._attempt(*ready) if ready is not None else Delivery.REFUSED

    def _ready(self, to: str, subject: str, text: str) -> tuple[EmailMessage, str] | None:
        try:
            recipient = _address(to)
            return _message(self._sender, recipient, subject, text), recipient.addr_spec
        except ValueError as error:
            self._fail("mail_refused", str(error))
            return None

    @abstractmethod
    async def run(self) -> None:
        """What has to run beside; until cancelled."""

    @abstractmethod
    async def _post(self, message: EmailMessage, to: str) -> None:
        """Take ``message`` over; must not raise."""

    @abstractmethod
    async def _attempt(self, message: EmailMessage, to: str) -> Delivery:
        """Hand ``message`` over; must not raise, and end in time."""

    def _fail(self, event: str, reason: str) -> None:
        self.failed += 1
        logger.error(event, reason=reason)


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail is handed over: over TLS from the first byte with ``is_tls``, else by STARTTLS.

    When there is a password to protect, STARTTLS is a must and the certificate is checked. Without one,
    STARTTLS is used where it is offered, whoever signed the certificate: it is better than clear text, and a
    relay beside us rarely has a real certificate.
    """

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    is_tls: bool = False

    @classmethod
    def of(cls, url: str) -> "SmtpServer":
        """``smtp://user:password@host:587`` or ``smtps://…``. Raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise ValueError("must be smtp://[user:password@]host[:port] or smtps://…")
        username = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        if (username is None) != (password is None):
            raise ValueError("must have a user and a password, or neither")
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        return cls(parts.hostname, port, username, password, parts.scheme == "smtps")


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a mail is tried; the pause doubles from the first to the longest. All in seconds."""

    attempts: int = 20
    first_pause: float = 1.0
    longest_pause: float = 300.0
    timeout: float = 20.0

    def pause_after(self, attempt: int) -> float:
        """With jitter, so that what failed together does not come back together."""
        pause = min(self.first_pause * 2.0 ** (attempt - 1), self.longest_pause)
        return pause * random.uniform(0.5, 1.0)


@dataclass(slots=True)
class _Outgoing:
    message: EmailMessage
    to: str
    attempt: int = 0


class SmtpMailer(Mailer):
    """At most ``capacity`` mails wait at once, those between two attempts included."""

    def __init__(
        self,
        server: SmtpServer,
        sender: str,
        retries: Retries | None = None,
        capacity: int = QUEUE_LENGTH,
        authorities: ssl.SSLContext | None = None,
    ) -> None:
        """``authorities`` are those that may sign the server's certificate; without them, the system's."""
        super().__init__(sender)
        self._checking = authorities or ssl.create_default_context()
        self._unchecking = _unchecking_context()
        self._server = server
        self._retries = retries or Retries()
        self._capacity = capacity
        self._queue: asyncio.Queue[_Outgoing] = asyncio.Queue(capacity)
        self.waiting = 0

    async def run(self) -> None:
        try:
            while True:
                await self._deliver(await self._queue.get())
        finally:
            if self.waiting:
                logger.warning("mail_lost_at_the_end", count=self.waiting)

    async def _post(self, message: EmailMessage, to: str) -> None:
        if self.waiting >= self._capacity:
            self._fail("mail_queue_full", f"{self._capacity} mails wait")
            return
        self.waiting += 1
        self._queue.put_nowait(_Outgoing(message, to))

    async def _deliver(self, mail: _Outgoing) -> None:
        mail.attempt += 1
        try:
            async with asyncio.timeout(self._retries.timeout):
                await self._hand_over(mail)
        except Exception as error:
            # Whatever it was: the mails behind this one must not wait for ever.
            self._retry_or_give_up(mail, error)
        else:
            self.waiting -= 1
            self.sent += 1

    async def _attempt(self, message: EmailMessage, to: str) -> Delivery:
        try:
            async with asyncio.timeout(self._retries.timeout):
                await self._hand_over(_Outgoing(message, to))
        except Exception as error:
            self._fail("mail_not_delivered", _reason(error))
            return Delivery.REFUSED if _is_final(error) else Delivery.FAILED
        self.sent += 1
        return Delivery.DELIVERED

    async def _hand_over(self, mail: _Outgoing) -> None:
        server = self._server
        is_checked = server.is_tls or server.password is not None
        await aiosmtplib.send(
            mail.message,
            sender=self._sender.addr_spec,
            recipients=[mail.to],
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.is_tls,
            # None: if the server offers it.
            start_tls=None if not is_checked else not server.is_tls,
            tls_context=self._checking if is_checked else self._unchecking,
            timeout=self._retries.timeout,
        )

    def _retry_or_give_up(self, mail: _Outgoing, error: Exception) -> None:
        if _is_final(error) or mail.attempt >= self._retries.attempts:
            self.waiting -= 1
            self._fail("mail_not_sent", _reason(error))
            return
        pause = self._retries.pause_after(mail.attempt)
        logger.warning("mail_delayed", attempt=mail.attempt, reason=_reason(error))
        asyncio.get_running_loop().call_later(pause, self._queue.put_nowait, mail)


class FolderMailer(Mailer):
    """Writes ``.eml`` files that only the server's own account may read: they hold codes."""

    def __init__(self, folder: Path, sender: str) -> None:
        super().__init__(sender)
        self._folder = folder

    async def run(self) -> None:
        """Nothing has to run; returns at once."""

    async def _post(self, message: EmailMessage, to: str) -> None:
        await self._attempt(message, to)

    async def _attempt(self, message: EmailMessage, to: str) -> Delivery:
        path = self._folder / f"{new_id()}.eml"
        try:
            await asyncio.to_thread(_write, path, message)
        except OSError as error:
            self._fail("mail_not_written", str(error))
            return Delivery.FAILED
        self.sent += 1
        logger.info("mail_written", path=str(path))
        return Delivery.DELIVERED


def mailer_of(url: str | None, folder: Path, sender: str) -> Mailer:
    """For an SMTP URL, or into ``folder`` without one. Raises ValueError for a URL that is none."""
    return SmtpMailer(SmtpServer.of(url), sender) if url else FolderMailer(folder, sender)


def _unchecking_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _address(text: str) -> Address:
    """Exactly one address and nothing beside it. Raises ValueError."""
    if len(text) > MAX_ADDRESS_LENGTH or not text.isprintable():
        raise ValueError("no address for mail")
    try:
        return Address(addr_spec=text)
    except (ValueError, IndexError, MessageError):
        # The parser names the text in its message, and IndexError is how it meets the end of some.
        raise ValueError("no address for mail") from None


def _message(sender: Address, to: Address, subject: str, text: str) -> EmailMessage:
    """Raises ValueError for what cannot stand in a header, above all line breaks."""
    if not subject.isprintable() or len(subject) > MAX_SUBJECT_LENGTH:
        raise ValueError("no subject for mail")
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = format_datetime(localtime())
    message["Message-ID"] = make_msgid(domain=sender.domain)
    # Auto-Submitted keeps holiday answers away (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    return message


def _write(path: Path, message: EmailMessage) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.touch(mode=0o600)
    unfinished.write_bytes(message.as_bytes())
    unfinished.replace(path)


def _is_final(error: Exception) -> bool:
    """Whether another attempt would fail as well: this mail was refused for good, or cannot be said at all.

    A server that refuses everybody, or our password, may be put right meanwhile.
    """
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return all(refused.code >= PERMANENT for refused in error.recipients)
    if isinstance(error, aiosmtplib.SMTPSenderRefused | aiosmtplib.SMTPDataError):
        return error.code >= PERMANENT
    return isinstance(error, aiosmtplib.SMTPNotSupported | ValueError)


def _reason(error: Exception) -> str:
    """Without the server's words, which may repeat the recipient's address."""
    code = getattr(error, "code", "")
    return f"{type(error).__name__} {code}".strip()
