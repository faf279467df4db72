"""Where and how often creators are paid."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final

from msgspec import Meta

from control_api.principal import Access
from control_api.routing import Call, Reply, Route
from control_api.schemas import Body, Data
from control_api.services.money import CURRENCY_PATTERN
from control_api.services.payout_settings import (
    DONE_PATH,
    EXPIRED_PATH,
    PayoutOverview,
    PayoutSettingsService,
    SettingsChange,
    version_of,
)
from storage.repositories.payouts import MAX_PAYOUT, Onboarding, Schedule

HTML_TYPE: Final = "text/html"
PAGE: Final = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title></head><body><h1>{title}</h1><p>{text}</p>
<p><a href="/creator">Back to your payouts</a></p></body></html>
"""


class PayoutSettingsView(Data):
    """``minimum`` and ``least``, which the server demands, are minor units of ``currency``.

    ``nextAt`` is null for a manual schedule. ``onboarding`` is null before it was begun; ``problem`` is what
    the payment provider still wants.
    """

    schedule: Schedule
    minimum: int
    least: int
    currency: str
    next_at: datetime | None
    onboarding: Onboarding | None
    problem: str


class NewPayoutSettings(Body):
    """``minimum`` in minor units of ``currency``. What is left out becomes the server's."""

    schedule: Schedule
    minimum: Annotated[int, Meta(ge=1, le=MAX_PAYOUT)] | None = None
    currency: Annotated[str, Meta(pattern=CURRENCY_PATTERN, max_length=3)] | None = None


class OnboardingView(Data):
    """Where to tell the payment provider who you are. The address is good for some minutes, once."""

    url: str


class PayoutSettingsRoutes:
    def __init__(self, settings: PayoutSettingsService) -> None:
        self._settings = settings

    def routes(self) -> list[Route]:
        settings = "/payouts/settings"
        user = Access.USER
        return [
            Route(
                "GET",
                settings,
                self.get,
                "How you are paid",
                user,
                response=PayoutSettingsView,
                gives_etag=True,
            ),
            Route(
                "PUT",
                settings,
                self.change,
                "Say how you want to be paid",
                user,
                body=NewPayoutSettings,
                response=PayoutSettingsView,
                takes_if_match=True,
                gives_etag=True,
            ),
            Route(
                "POST",
                "/payouts/onboarding",
                self.onboard,
                "Set up where you are paid, at the payment provider",
                user,
                response=OnboardingView,
                errors=(
                    (HTTPStatus.CONFLICT, "already_onboarded"),
                    (HTTPStatus.BAD_GATEWAY, "payment_provider_refused"),
                    (HTTPStatus.SERVICE_UNAVAILABLE, "payments_not_configured"),
                ),
            ),
            Route("GET", DONE_PATH, self.done, "Back from the payment provider", response_types=(HTML_TYPE,)),
            Route(
                "GET",
                EXPIRED_PATH,
                self.expired,
                "Back from an address that is no longer good",
                response_types=(HTML_TYPE,),
            ),
        ]

    async def get(self, call: Call[None, None]) -> Reply:
        return _view(await self._settings.of(call.user_id))

    async def change(self, call: Call[NewPayoutSettings, None]) -> Reply:
        body = call.body
        change = SettingsChange(body.schedule, body.minimum, body.currency)
        return _view(await self._settings.change(call.user_id, change, call.if_match))

    async def onboard(self, call: Call[None, None]) -> OnboardingView:
        return OnboardingView(url=await self._settings.onboard(call.user_id))

    async def done(self, _call: Call[None, None]) -> Reply:
        return _page("Thank you", "The settings of payouts say when everything is checked.")

    async def expired(self, _call: Call[None, None]) -> Reply:
        return _page("This address has expired", "Begin again in the settings of payouts.")


def _page(title: str, text: str) -> Reply:
    return Reply(raw=PAGE.format(title=title, text=text).encode(), content_type=HTML_TYPE)


def _view(overview: PayoutOverview) -> Reply:
    settings, account = overview.settings, overview.account
    view = PayoutSettingsView(
        schedule=settings.schedule,
        minimum=settings.minimum,
        least=overview.least,
        currency=settings.currency,
        next_at=settings.due_at,
        onboarding=account.state if account is not None else None,
        problem=account.problem if account is not None else "",
    )
    return Reply(view, version=version_of(settings))
