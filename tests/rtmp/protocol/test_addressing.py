import pytest

from rtmp.protocol.addressing import MAX_PARAMETERS, RtmpUrl, parse_url, resolve_name, split_query


@pytest.mark.parametrize(
    ("text", "name", "parameters"),
    [
        ("key", "key", {}),
        ("key?token=abc", "key", {"token": "abc"}),
        ("key?a=1&b=2&a=3", "key", {"a": "3", "b": "2"}),
        ("key?token=a=b==", "key", {"token": "a=b=="}),
        ("key?token=a%20b+c", "key", {"token": "a%20b+c"}),
        ("key?flag", "key", {"flag": ""}),
        ("key?flag&&=x", "key", {"flag": ""}),
        ("key?a=1?b=2", "key", {"a": "1?b=2"}),
        ("?a=1", "", {"a": "1"}),
    ],
)
def test_split_query(text: str, name: str, parameters: dict[str, str]) -> None:
    assert split_query(text) == (name, parameters)


def test_only_so_many_parameters_are_kept() -> None:
    _, parameters = split_query("key?" + "&".join(f"p{i}={i}" for i in range(10_000)))
    assert len(parameters) == MAX_PARAMETERS
    assert parameters["p63"] == "63"


@pytest.mark.parametrize(
    ("app", "tc_url", "stream_name", "resolved"),
    [
        ("live", "rtmp://h/live", "key", ("live", "key", {})),
        ("live/", "rtmp://h/live/", "key", ("live", "key", {})),
        ("live?a=1", "rtmp://h/live?a=0&b=2", "key?b=3", ("live", "key", {"a": "1", "b": "3"})),
        ("live", "'rtmp://h/live?a=1'", "key", ("live", "key", {"a": "1"})),
        ("live/key", "rtmp://h/live/key", "", ("live", "key", {})),
        ("live/key?t=1", "rtmp://h/live/key?t=1", "", ("live", "key", {"t": "1"})),
        ("live/instance", "rtmp://h/live/instance", "key", ("live/instance", "key", {})),
        ("live", "", "", ("live", "", {})),
        ("", "", "", ("", "", {})),
    ],
)
def test_resolve_name(
    app: str, tc_url: str, stream_name: str, resolved: tuple[str, str, dict[str, str]]
) -> None:
    assert resolve_name(app, tc_url, stream_name) == resolved


@pytest.mark.parametrize(
    ("url", "parsed", "tc_url"),
    [
        ("rtmp://h/live/key", RtmpUrl("h", 1935, False, "live", "key"), "rtmp://h/live"),
        ("rtmp://h:99/live/key?a=b", RtmpUrl("h", 99, False, "live", "key?a=b"), "rtmp://h:99/live"),
        ("rtmps://h/live/key", RtmpUrl("h", 443, True, "live", "key"), "rtmps://h/live"),
        ("rtmp://h/app/inst/key", RtmpUrl("h", 1935, False, "app/inst", "key"), "rtmp://h/app/inst"),
        ("rtmp://[::1]:99/live/k", RtmpUrl("::1", 99, False, "live", "k"), "rtmp://[::1]:99/live"),
        ("rtmp://h/live", RtmpUrl("h", 1935, False, "live", ""), "rtmp://h/live"),
    ],
)
def test_parse_url(url: str, parsed: RtmpUrl, tc_url: str) -> None:
    assert parse_url(url) == parsed
    assert parsed.tc_url == tc_url


@pytest.mark.parametrize(
    "url", ["http://h/live/key", "rtmp:///live/key", "live/key", "rtmp://h:port/live", ""]
)
def test_not_an_rtmp_address(url: str) -> None:
    with pytest.raises(ValueError, match=r"scheme|host|[Pp]ort"):
        parse_url(url)
