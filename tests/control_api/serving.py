"""One noun behind the real dispatcher: ``Bearer NAME`` signs its test's user NAME in."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from control_api.app import ControlApi
from control_api.dispatch import Dispatcher, DispatchOptions
from control_api.idempotency import Idempotency
from control_api.principal import Principal
from control_api.routing import Noun
from storage.database import Database
from storage.repositories import User
from tests.control_api.sample import Doorman, Sample, ThingRoutes, person


async def serve(
    noun: Noun, database: Database, aiohttp_client: Callable[..., Awaitable[Any]], *users: User
) -> Sample:
    """``call`` of what is returned asks ``noun``."""
    principals: dict[str, Principal] = {user.username: person(user.id, user.role) for user in users}
    doorman = Doorman(principals)
    options = DispatchOptions(lambda request: request.remote or "", lambda _: "the-request-id")
    dispatcher = Dispatcher(doorman, doorman, Idempotency(database), options)
    app = web.Application()
    ControlApi([noun], dispatcher, "1.2.3", "http://localhost").add_to(app)
    return Sample(await aiohttp_client(app), ThingRoutes(), doorman)
