"""TEST: the page `/test-checkout/{id}`, where one pays without money. There only with the test provider."""

import html
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import hdrs, web

from control_api.errors import ApiError
from control_api.payments.demo_checkout import DemoOrder, Till
from control_api.payments.return_addresses import ReturnAddresses
from control_api.services.money import amount_text
from mediaserver.delivery.pages import CONTENT_SECURITY_POLICY, PAGE_HEADERS, WEB_FOLDER
from mediaserver.delivery.static_files import StaticFiles

HEADERS: Final = {
    **PAGE_HEADERS,
    hdrs.CACHE_CONTROL: "no-store",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY.replace("form-action 'none'", "form-action 'self'"),
}
_BUTTONS: Final = """<form method="post">
      <button class="pay" formaction="{{address}}/pay">Pay (test)</button>
      <button formaction="{{address}}/decline">Decline (test)</button>
    </form>"""
_ENDED: Final = """<p><a href="/">Back</a></p>"""


class TestCheckoutPages:
    """The handlers; ``add_test_checkout`` puts them into an application."""

    __test__ = False  # pytest looks at names

    def __init__(self, till: Till, addresses: ReturnAddresses) -> None:
        self._till = till
        self._addresses = addresses
        prefix = StaticFiles(WEB_FOLDER).prefix
        template = (WEB_FOLDER / "test-checkout.html").read_text(encoding="utf-8")
        self._page = template.replace("{{static}}", prefix)

    async def show(self, request: web.Request) -> web.Response:
        order = self._order(request)
        if order is None:
            return self._ended()
        buttons = _BUTTONS.replace("{{address}}", f"{self._till.path}/{request.match_info['token']}")
        return self._answer(order.description, amount_text(order.amount, order.currency), buttons)

    async def pay(self, request: web.Request) -> web.Response:
        return await self._press(request, self._till.pay, self._addresses.success)

    async def decline(self, request: web.Request) -> web.Response:
        return await self._press(request, self._till.decline, self._addresses.cancelled)

    async def _press(
        self, request: web.Request, act: Callable[[DemoOrder], Awaitable[None]], target: str
    ) -> web.Response:
        order = self._order(request)
        if order is None:
            return self._ended()
        try:
            await act(order)
        except ApiError as error:
            return self._answer("This did not work", error.message, _ENDED, error.status)
        raise web.HTTPSeeOther(target)

    def _order(self, request: web.Request) -> DemoOrder | None:
        return self._till.order_of(request.match_info["token"])

    def _ended(self) -> web.Response:
        return self._answer("This page has ended", "Begin again.", _ENDED, 404)

    def _answer(self, description: str, amount: str, buttons: str, status: int = 200) -> web.Response:
        text = self._page.replace("{{buttons}}", buttons).replace("{{amount}}", html.escape(amount))
        text = text.replace("{{description}}", html.escape(description))
        return web.Response(text=text, status=status, headers=HEADERS)


def add_test_checkout(app: web.Application, till: Till, addresses: ReturnAddresses) -> None:
    pages = TestCheckoutPages(till, addresses)
    app.router.add_get(till.path + "/{token}", pages.show)
    app.router.add_post(till.path + "/{token}/pay", pages.pay)
    app.router.add_post(till.path + "/{token}/decline", pages.decline)
