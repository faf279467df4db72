"""Fixture ``house``: the identity part of the API over HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import DummyCookieJar

from storage.database import Database
from tests.control_api.identity.house import House


@pytest.fixture
async def house(database: Database, aiohttp_client: Callable[..., Awaitable[Any]]) -> AsyncIterator[House]:
    house = House(database)
    house.client = await aiohttp_client(house.application(), cookie_jar=DummyCookieJar())
    yield house
    await house.close()
