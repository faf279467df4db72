"""One running server for all tests that do not harm it."""

from collections.abc import Iterator

import pytest

from tests.chat.live_chat import FREE, Live
from tests.helpers.server_process import ServerProcess


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with ServerProcess(tmp_path_factory.mktemp("live") / "data", settings=FREE) as server:
        yield Live(server)
