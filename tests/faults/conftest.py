"""One server for all faults that do not kill it. After each test it must hold no more than before."""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.helpers.server_figures import Held, assert_let_go
from tests.helpers.server_process import ServerProcess

SETTINGS: Final = {
    "MEDIASERVER_LOG__FORMAT": "json",
    "MEDIASERVER_RTMP__PUBLISH_GRACE_SECONDS": "3",
    "MEDIASERVER_RTMP__HANDSHAKE_TIMEOUT_SECONDS": "2",
    "MEDIASERVER_RTMP__MAX_CONNECTIONS_PER_ADDRESS": "500",
    "MEDIASERVER_BROADCAST__SLOW_VIEWER_BYTES": str(1024 * 1024),
    "MEDIASERVER_BROADCAST__CLOSE_AFTER_SECONDS": "1",
    "MEDIASERVER_AUTHORIZATION__STALE_SECONDS": "600",
    "MEDIASERVER_AUTHORIZATION__CACHE_SECONDS": "1",
}


@pytest.fixture(scope="session")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server") / "data", settings=SETTINGS) as server:
        yield server


@pytest.fixture(scope="session")
def room_and_key(running_server: ServerProcess) -> tuple[str, str]:
    return running_server.create_room("Faults")


@pytest.fixture
def server(running_server: ServerProcess) -> Iterator[ServerProcess]:
    """The server, checked for leaks when the test is over."""
    before = Held.by(running_server)
    yield running_server
    assert_let_go(running_server, before)


@pytest.fixture
def room(server: ServerProcess, room_and_key: tuple[str, str]) -> str:
    """The room's id. It is off the air at the start."""
    server.wait_not_live(room_and_key[0])
    return room_and_key[0]


@pytest.fixture
def publish_url(server: ServerProcess, room_and_key: tuple[str, str]) -> str:
    return f"{server.rtmp_url}/{room_and_key[1]}"


@pytest.fixture
def flv_url(server: ServerProcess, room: str) -> str:
    """The room's stream, also if it starts only in a few seconds."""
    return f"{server.base_url}/live/{room}.flv?wait=15"
