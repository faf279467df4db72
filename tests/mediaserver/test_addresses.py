"""The addresses that are printed and given out."""

import pytest

from mediaserver.addresses import Addresses
from mediaserver.config import Settings, load_settings


def test_without_a_public_url_they_are_of_this_machine() -> None:
    addresses = Addresses.of(Settings())
    assert addresses.watch("demo") == "http://localhost:8080/watch/demo"
    assert addresses.flv("r") == "http://localhost:8080/live/r.flv"
    assert addresses.hls("r") == "http://localhost:8080/hls/r/index.m3u8"
    assert addresses.rtmp_url == "rtmp://localhost:1935/live"
    assert addresses.publish("key") == "rtmp://localhost:1935/live/key"


def test_a_public_url_is_for_browsers_and_its_host_for_encoders() -> None:
    settings = load_settings({}, {"public_url": "https://live.example.com:8443/", "rtmp.port": "1936"})
    addresses = Addresses.of(settings)
    assert addresses.watch("demo") == "https://live.example.com:8443/watch/demo"
    assert addresses.rtmp_url == "rtmp://live.example.com:1936/live"


@pytest.mark.parametrize(
    ("host", "shown"),
    [("0.0.0.0", "localhost"), ("::", "localhost"), ("::1", "[::1]"), ("10.1.2.3", "10.1.2.3")],
)
def test_free_ports_and_other_hosts(host: str, shown: str) -> None:
    settings = load_settings({}, {"http.host": host, "rtmp.host": host, "http.port": "0", "rtmp.port": "0"})
    addresses = Addresses.of(settings, http_port=3000, rtmp_port=4000)
    assert addresses.base_url == f"http://{shown}:3000"
    assert addresses.rtmp_url == f"rtmp://{shown}:4000/live"
