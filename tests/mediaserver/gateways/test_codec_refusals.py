import pytest

from mediaserver.gateways.codec_refusals import MAX_BODIES, MAX_REMEMBERED, MAX_SECONDS, CodecRefusals


def test_a_codec_is_said_once() -> None:
    refusals = CodecRefusals()
    assert [refusals.add(codec, 0) for codec in ("vvc1", "vp08", "vvc1")] == [True, True, False]
    assert str(refusals) == "vp08, vvc1"


def test_codecs_that_are_said_are_bounded() -> None:
    refusals = CodecRefusals()
    said = [refusals.add(f"codec {number}", 0) for number in range(2 * MAX_REMEMBERED)]
    assert said == [True] * MAX_REMEMBERED + [False] * MAX_REMEMBERED


@pytest.mark.parametrize("start", [0, 77, 2**31 - 500, 2**32 - 500])
def test_there_is_hope_for_a_second_of_media(start: int) -> None:
    refusals = CodecRefusals()
    for elapsed in (0, 20, -15, MAX_SECONDS * 1000 - 1):
        refusals.add("vvc1", (start + elapsed) % 2**32)
        assert not refusals.is_hopeless
    refusals.add("vvc1", (start + MAX_SECONDS * 1000) % 2**32)
    assert refusals.is_hopeless


def test_hope_ends_although_time_stands_still() -> None:
    refusals = CodecRefusals()
    for _ in range(MAX_BODIES - 1):
        refusals.add("vvc1", 0)
    assert not refusals.is_hopeless
    refusals.add("vvc1", 0)
    assert refusals.is_hopeless
