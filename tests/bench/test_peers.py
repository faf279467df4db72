import psutil
import pytest

from bench.errors import BenchError
from bench.peers import own_server


@pytest.mark.slow
async def test_our_server_is_started_asked_for_a_room_and_stopped():
    async with own_server() as server:
        process = psutil.Process(server.pid)
        room = await server.create_room("first")
        assert room.room_id and room.stream_key
        assert room.stream_key in server.publish_url(room.stream_key)
    assert not process.is_running()


async def test_a_server_that_does_not_start_says_why_in_one_line():
    with pytest.raises(BenchError, match=r"^the server ended: .*--no-such-setting[^\n]*$"):
        async with own_server(("--no-such-setting", "1")):
            pytest.fail("it started")
