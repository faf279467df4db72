"""What payouts ask of Stripe: accounts, links and transfers, after its documented API.

https://docs.stripe.com/api/accounts, https://docs.stripe.com/api/transfers
"""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web


class ConnectStandIn:
    """``faults`` are (status, error) of the next transfers; ``drops`` of them are done without an answer.

    ``holds`` is "before" or "after" a transfer is done: ``held`` is set then, and ``free`` waited for.
    """

    def __init__(self) -> None:
        self.accounts: dict[str, dict[str, Any]] = {}
        self.transfers: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.faults: list[tuple[int, dict[str, str]]] = []
        self.drops = 0
        self.forgets_keys = False
        self.holds: str | None = None
        self.held, self.free = asyncio.Event(), asyncio.Event()
        self._answers: dict[str, dict[str, Any]] = {}

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/accounts", self._keyed(self._open))
        app.router.add_get("/v1/accounts/{id}", self._account)
        app.router.add_post("/v1/account_links", self._link)
        app.router.add_post("/v1/transfers", self._keyed(self._transfer))
        app.router.add_get("/v1/transfers", self._list)
        return app

    def stand(self, account: str, *, active: bool, submitted: bool = True, due: tuple[str, ...] = ()) -> None:
        self.accounts[account] |= {
            "payouts_enabled": active,
            "details_submitted": submitted,
            "capabilities": {"transfers": "active" if active else "inactive"},
            "requirements": {"currently_due": list(due), "disabled_reason": None},
        }

    def _keyed(self, act: Callable[[dict[str, str]], dict[str, Any]]) -> Any:
        """What was done under a key is answered again, as https://docs.stripe.com/api/idempotent_requests."""

        async def handle(request: web.Request) -> web.Response:
            form = await self._noted(request)
            if self.faults and request.path == "/v1/transfers":
                status, error = self.faults.pop(0)
                return web.json_response({"error": error}, status=status)
            key = request.headers["Idempotency-Key"]
            if await self._is_held(request, "before"):
                return _error(400, "held")
            if key not in self._answers or self.forgets_keys:
                self._answers[key] = act(form)
            await self._is_held(request, "after")
            if self.drops and request.path == "/v1/transfers":
                self.drops -= 1
                assert request.transport is not None
                request.transport.close()
                await asyncio.sleep(0)
            return web.json_response(self._answers[key])

        return handle

    async def _is_held(self, request: web.Request, moment: str) -> bool:
        if self.holds != moment or request.path != "/v1/transfers":
            return False
        self.held.set()
        await self.free.wait()
        return True

    async def _noted(self, request: web.Request) -> dict[str, str]:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.requests.append((request.method, request.path, form))
        return form

    def _open(self, form: dict[str, str]) -> dict[str, Any]:
        account = f"acct_{len(self.accounts) + 1}"
        self.accounts[account] = {"id": account, "object": "account", "email": form.get("email")}
        self.stand(account, active=False, submitted=False)
        return self.accounts[account]

    async def _account(self, request: web.Request) -> web.Response:
        found = self.accounts.get(request.match_info["id"])
        if found is None:
            return _error(403, "account_invalid")
        return web.json_response(found)

    async def _link(self, request: web.Request) -> web.Response:
        form = await self._noted(request)
        if form["account"] not in self.accounts:
            return _error(400, "resource_missing")
        url = f"https://connect.example/setup/{form['account']}"
        return web.json_response({"object": "account_link", "url": url, "created": 1, "expires_at": 2})

    def _transfer(self, form: dict[str, str]) -> dict[str, Any]:
        transfer = {
            "id": f"tr_{len(self.transfers) + 1}",
            "object": "transfer",
            "amount": int(form["amount"]),
            "amount_reversed": 0,
            "currency": form["currency"],
            "destination": form["destination"],
            "transfer_group": form["transfer_group"],
            "metadata": {"payout_id": form["metadata[payout_id]"]},
        }
        self.transfers.append(transfer)
        return transfer

    async def _list(self, request: web.Request) -> web.Response:
        group = request.query["transfer_group"]
        found = [transfer for transfer in self.transfers if transfer["transfer_group"] == group]
        return web.json_response(
            {"object": "list", "url": "/v1/transfers", "has_more": False, "data": found[-1:]}
        )


def _error(status: int, code: str) -> web.Response:
    error = {"type": "invalid_request_error", "code": code, "message": "No."}
    return web.json_response({"error": error}, status=status)
