import pytest

from rtmp.protocol import amf0
from rtmp.protocol.capabilities import (
    Capabilities,
    CapsEx,
    FourCcInfo,
    parse_capabilities,
    serialize_capabilities,
)


def test_round_trip_through_amf0() -> None:
    [properties] = amf0.decode(amf0.encode(serialize_capabilities(CapsEx.RECONNECT, FourCcInfo.CAN_FORWARD)))
    assert isinstance(properties, dict)
    assert properties["videoFourCcInfoMap"] == {"avc1": 4.0, "hvc1": 4.0, "av01": 4.0, "vp09": 4.0}
    capabilities = parse_capabilities(properties)
    assert capabilities.four_ccs >= {"avc1", "hvc1", "av01", "vp09", "Opus", "mp4a", "ac-3", "fLaC"}
    assert capabilities.can_reconnect


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, Capabilities()),
        ({"fourCcList": ["*", 1.0, None]}, Capabilities(frozenset({"*"}))),
        ({"fourCcList": "av01", "videoFourCcInfoMap": 5.0, "capsEx": "1"}, Capabilities()),
        ({"audioFourCcInfoMap": {"Opus": 7.0}}, Capabilities(frozenset({"Opus"}))),
        ({"capsEx": 3.0}, Capabilities(caps_ex=CapsEx.RECONNECT | CapsEx.MULTITRACK)),
        ({"capsEx": float("nan")}, Capabilities()),
        ({"capsEx": -1.0}, Capabilities()),
        ({"capsEx": 1e300}, Capabilities()),
    ],
)
def test_malformed_counts_as_absent(properties: dict[str, object], expected: Capabilities) -> None:
    assert parse_capabilities(properties) == expected


def test_unknown_bits_of_caps_ex_do_no_harm() -> None:
    assert parse_capabilities({"capsEx": 255.0}).can_reconnect
    assert not parse_capabilities({"capsEx": 240.0}).can_reconnect
