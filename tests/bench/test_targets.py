import pytest

from bench.errors import BenchError
from bench.targets import parse_target


def test_a_url_is_taken_apart():
    target = parse_target("http://127.0.0.1:8080/live/x.flv?token=a", ("http",))
    assert (target.address, target.port, target.path) == ("127.0.0.1", 8080, "/live/x.flv?token=a")
    assert target.authority == "127.0.0.1:8080"


def test_defaults():
    target = parse_target("rtmp://localhost/live/key", ("rtmp",))
    assert (target.address, target.port, target.authority) == ("127.0.0.1", 1935, "localhost")
    assert parse_target("http://[::1]:81", ("http",)).authority == "[::1]:81"


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://192.0.2.1/x", "not a loopback address"),
        ("http://example.com/x", "not a loopback address"),
        ("http://127.0.0.1.example.com/x", "not a loopback address"),
        ("https://127.0.0.1/x", "must begin with http://"),
        ("127.0.0.1/x", "must begin with http://"),
        ("http:///x", "names no host"),
        ("http://127.0.0.1:99999/x", "Port out of range"),
        ("http://[::1/x", "Invalid IPv6"),
    ],
)
def test_what_is_refused(url, complaint):
    with pytest.raises(BenchError, match=complaint):
        parse_target(url, ("http",))


def test_another_machine_is_loaded_only_on_demand():
    assert parse_target("http://192.0.2.1/x", ("http",), allow_remote=True).address == "192.0.2.1"
