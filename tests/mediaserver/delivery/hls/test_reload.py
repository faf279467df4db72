"""Delivery directives; what they make a request wait for is tested over HTTP."""

import pytest

from mediaserver.delivery.hls.playlist import Skip
from mediaserver.delivery.hls.reload import BadDirective, Directives


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, Directives()),
        ({"_HLS_msn": "7"}, Directives(7)),
        ({"_HLS_msn": "7", "_HLS_part": "0"}, Directives(7, 0)),
        ({"_HLS_skip": "YES"}, Directives(skip=Skip.SEGMENTS)),
        ({"_HLS_skip": "v2", "token": "x"}, Directives(skip=Skip.SEGMENTS_AND_DATE_RANGES)),
    ],
)
def test_what_makes_sense(query: dict[str, str], expected: Directives):
    assert Directives.parse(query) == expected


@pytest.mark.parametrize(
    "query",
    [
        {"_HLS_part": "1"},
        {"_HLS_msn": ""},
        {"_HLS_msn": "-1"},
        {"_HLS_msn": "1e3"},
        {"_HLS_msn": "٣"},
        {"_HLS_msn": "1" * 11},
        {"_HLS_msn": "1", "_HLS_part": "x"},
        {"_HLS_skip": "no"},
    ],
)
def test_what_does_not(query: dict[str, str]):
    with pytest.raises(BadDirective, match="_HLS_"):
        Directives.parse(query)
