"""The settings of what stands beside the media: WebRTC, chat, money. Rules as in ``settings``."""

from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from control_api.services.money import CURRENCY_PATTERN
from mediaserver.config.values import (
    Count,
    Group,
    IpAddresses,
    Names,
    Port,
    PositiveSeconds,
    check_filled,
    check_public_url,
    lower,
)


class RtcSettings(Group):
    hosts: Annotated[IpAddresses, Field(min_length=1, max_length=2)] = (
        IPv4Address("0.0.0.0"),
        IPv6Address("::"),
    )
    """Addresses to listen on for WebRTC media, one of IPv4, one of IPv6, or both."""

    port: Port = 8189
    """Port for WebRTC media, UDP and TCP; 0 takes a free one. Open it in the firewall for both."""

    announced_addresses: IpAddresses = ()
    """IP addresses under which browsers reach the port. Needed behind NAT and in a container. Unset: those
    that this machine sends from."""

    max_sessions: Count = 5000
    """Publishers over WHIP at once, and as many viewers over WHEP."""

    max_transports_per_room: Count = 5000
    """WebRTC connections of one room at once: viewers over WHEP have one each, participants of /rtc two."""

    max_participants: Count = 200
    """People in one room of /rtc at once. Each hears of all the others."""

    max_guests_per_address: Count = 30
    """People without an account from one IP address in one room of /rtc at once."""

    connections_per_minute: Count = 60
    """Connections to /rtc that one IP address may open in a minute."""

    max_publishers: Count = 16
    """Places on the stage of one room of /rtc: people who may send sound and video, the hosts included."""

    max_ingress_packets: Count = 10_000
    """Packets that one WebRTC connection may send in a second; the rest is dropped."""

    max_ingress_bitrate: Annotated[Count, Field(ge=100_000)] = 50_000_000
    """Bits that one WebRTC connection may send in a second; the rest is dropped. A picture of 4K takes about
    20 million."""

    ice_servers: Names = ()
    """STUN and TURN servers that WHIP and WHEP clients are told of, such as turn:turn.example.com:3478. Few
    need them: the server itself is reached directly."""

    ice_username: str | None = None
    """User name for the TURN servers."""

    ice_credential: SecretStr | None = None
    """Password for the TURN servers."""

    transcode_workers: Annotated[Count, Field(le=64)] = 2
    """Threads that turn AAC into Opus and back between RTMP and WebRTC; a stream takes 1 to 2 % of a core."""


class FilterFailure(Enum):
    ALLOW = "allow"
    HOLD = "hold"


class ChatSettings(Group):
    connections_per_minute: Count = 10
    """WebSocket connections to the chat that one address may open in a minute."""

    max_connections: Count = 20_000
    """WebSocket connections to the chat at once."""

    joins_per_window: Count = 60
    """Times that one user, or one address without an account, may join rooms in 10 seconds."""

    messages_per_window: Count = 5
    """Messages that one user may write in 10 seconds, over all rooms."""

    history_days: Annotated[int, Field(ge=0, le=36_500)] = 90
    """Messages and events are removed after so many days, but for pinned messages; 0 keeps them for good."""

    filter_url: Annotated[str, AfterValidator(check_public_url)] | None = None
    """A classifier of your own. Every message is sent there as JSON, ``{"roomId", "userId", "username",
    "message"}``; it answers ``{"action": "allow" | "hold" | "refuse", "reason"?}``."""

    filter_timeout_ms: Annotated[int, Field(ge=10, le=10_000)] = 500
    """The classifier's answer is waited for this long."""

    filter_failure: FilterFailure = FilterFailure.ALLOW
    """What becomes of a message that the classifier does not judge in time: ``allow``, or ``hold`` for
    review."""


class MoneySettings(Group):
    currency: Annotated[str, BeforeValidator(lower), Field(pattern=CURRENCY_PATTERN)] = "usd"
    """Currency of creators' earnings, as in ISO 4217. What was earned in another one stays in it."""

    coin_value: Annotated[int, Field(ge=1, le=10_000)] = 1
    """What a coin that is given is worth to its creator before the share, in minor units such as cents."""

    creator_percent: Annotated[int, Field(ge=0, le=100)] = 70
    """The creator's share of gifts, tips and subscriptions, rounded down; each may have one of their own."""

    welcome_coins: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    """Coins that each user finds in the wallet once the e-mail address is verified; 0 for none."""

    payout_minimum: Annotated[int, Field(ge=1, le=99_999_999)] = 5000
    """The least that creators are paid out, in minor units such as cents; they may choose a higher one."""

    test_payments: bool | None = None
    """Without Stripe, sell coins on a test checkout page where no money moves. Unset: on in the demo and
    where only this machine reaches the server: ``http.host`` is a loopback address, there are no
    ``http.trusted_proxies``, and ``public_url`` is unset or of a loopback address, too. Never turn it on
    where coins are worth money."""

    accept_test_coins: bool = False
    """With Stripe's keys, start although coins or subscriptions were paid for at the test checkout. They
    count like those that were paid for with money: what creators earn by them is paid out."""


class StripeSettings(Group):
    secret_key: Annotated[SecretStr, AfterValidator(check_filled)] | None = None
    """Stripe's secret (or restricted) API key, such as sk_live_…. Unset: nothing can be paid for, but see
    ``money.test_payments``."""

    webhook_secret: Annotated[SecretStr, AfterValidator(check_filled)] | None = None
    """Signing secret (whsec_…) of the webhook endpoint that Stripe was given:
    ``<public_url>/api/v1/webhooks/stripe``. Needed with the key: coins are credited by webhooks alone."""

    connect_webhook_secret: Annotated[SecretStr, AfterValidator(check_filled)] | None = None
    """Signing secret of the endpoint for events of connected accounts (account.updated, payout.failed):
    ``<public_url>/api/v1/webhooks/stripe/connect``. Unset: Stripe is asked about accounts now and then."""

    api_base: Annotated[str, AfterValidator(check_public_url)] = "https://api.stripe.com"
    """Where Stripe's API is; another one is for tests."""

    timeout_seconds: PositiveSeconds = 10
    """Longest wait for an answer of Stripe; a call is tried again twice."""

    @model_validator(mode="after")
    def _needs_both(self) -> Self:
        if (self.secret_key is None) != (self.webhook_secret is None):
            raise ValueError("stripe.secret_key and stripe.webhook_secret need each other")
        return self
