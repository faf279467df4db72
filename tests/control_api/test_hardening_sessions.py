"""The database is lost at bad moments: in a handler, and between its answer and the saving of the session."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp_session import Session

from control_api.app import ControlApi
from control_api.dispatch import Dispatcher, DispatchOptions
from control_api.idempotency import Idempotency
from control_api.identity.web_session import TableStorage, open_page_session
from control_api.routing import Call, Reply, Route
from storage.database import Database
from storage.errors import DatabaseUnavailable, InvalidValue
from storage.ids import new_id
from tests.control_api.sample import Doorman


class Door:
    """Signs anybody in."""

    def routes(self) -> list[Route]:
        return [Route("POST", "/door", self.enter, "Enter"), Route("GET", "/door", self.look, "Look")]

    async def enter(self, call: Call[None, None]) -> Reply:
        await open_page_session(call.request, new_id(), new_id())
        return Reply(message="Welcome.")

    async def look(self, _call: Call[None, None]) -> None:
        raise DatabaseUnavailable("gone")


class LostStorage(TableStorage):
    """Keeps nothing."""

    def __init__(self, database: Database, error: Exception) -> None:
        super().__init__(database)
        self._error = error

    async def save_session(self, _request: web.Request, _response: web.StreamResponse, _: Session) -> None:
        raise self._error


@pytest.mark.parametrize("error", [DatabaseUnavailable("gone"), InvalidValue("web_sessions_fkey")])
async def test_the_answer_is_to_come_back(
    database: Database, aiohttp_client: Callable[..., Awaitable[Any]], error: Exception
) -> None:
    doorman = Doorman({})
    options = DispatchOptions(lambda request: request.remote or "", lambda _: "the-request-id")
    dispatcher = Dispatcher(doorman, doorman, Idempotency(database), options)
    app = web.Application()
    api = ControlApi([Door()], dispatcher, "1.2.3", "/", sessions=LostStorage(database, error))
    api.add_to(app)
    client = await aiohttp_client(app)
    for method in ("POST", "GET"):
        answer = await client.request(method, "/api/v1/door", headers={"Sec-Fetch-Site": "same-origin"})
        assert answer.status == 503
        assert answer.headers["Retry-After"]
        assert (await answer.json())["code"] == "unavailable"
        assert "Set-Cookie" not in answer.headers
