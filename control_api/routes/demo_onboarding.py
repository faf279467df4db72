"""TEST: the page of the test provider of payouts. It is there only on servers that use that provider."""

from http import HTTPStatus
from typing import Final

from control_api.errors import not_found
from control_api.payments.demo_payouts import PATH, DemoOnboarding, DemoOutcome
from control_api.routing import PREFIX, Call, Reply, Route
from control_api.schemas import Query
from control_api.services.payout_settings import DONE_PATH

HTML_TYPE: Final = "text/html"
HEADERS: Final = {"Referrer-Policy": "same-origin"}
"""With none, browsers would not say that the form comes from here."""
BUTTON: Final = '<form method="post" action="{action}?outcome={outcome}"><button>{text}</button></form>'
PAGE: Final = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>TEST: where to be paid</title></head><body><h1>TEST: where to be paid</h1>
<p>This server has no payment provider. No money moves here, and nothing is checked.</p>
{buttons}</body></html>
"""
NO_PAGE: Final = (HTTPStatus.NOT_FOUND, "test_page_not_found")


class OutcomeQuery(Query):
    outcome: DemoOutcome


class DemoOnboardingRoutes:
    def __init__(self, onboarding: DemoOnboarding) -> None:
        self._onboarding = onboarding

    def routes(self) -> list[Route]:
        path = PATH + "/{token}"
        return [
            Route(
                "GET", path, self.show, "TEST: set up payouts", response_types=(HTML_TYPE,), errors=(NO_PAGE,)
            ),
            Route(
                "POST",
                path,
                self.leave,
                "TEST: press a button of the page",
                query=OutcomeQuery,
                status=HTTPStatus.SEE_OTHER,
                errors=(NO_PAGE,),
                response_types=(HTML_TYPE,),
            ),
        ]

    async def show(self, call: Call[None, None]) -> Reply:
        self._account(call.path["token"])
        # What is not a token of ours, which needs no escaping, has been refused.
        action = f"{PREFIX}{PATH}/{call.path['token']}"
        buttons = "\n".join(
            BUTTON.format(action=action, outcome=outcome.value, text=text)
            for outcome, text in (
                (DemoOutcome.ACTIVE, "Accept me"),
                (DemoOutcome.RESTRICTED, "Ask me for a document"),
            )
        )
        return Reply(raw=PAGE.format(buttons=buttons).encode(), content_type=HTML_TYPE, headers=HEADERS)

    async def leave(self, call: Call[None, OutcomeQuery]) -> Reply:
        await self._onboarding.leave(self._account(call.path["token"]), call.query.outcome)
        return Reply(raw=b"", content_type=HTML_TYPE, headers={"Location": f"{PREFIX}{DONE_PATH}"})

    def _account(self, token: str) -> str:
        found = self._onboarding.provider.account_of(token)
        if found is None:
            raise not_found("test page")
        return found
