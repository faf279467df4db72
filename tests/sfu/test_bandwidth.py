"""Which layers a transport spreads its estimate over."""

from sfu.bandwidth import Choice, offered_bitrates

SMALL = [Choice(0, temporal, bitrate) for temporal, bitrate in enumerate((50_000, 75_000, 125_000))]
LARGE = [Choice(1, temporal, bitrate) for temporal, bitrate in enumerate((140_000, 240_000, 460_000))]


def test_a_large_picture_is_not_offered_at_a_quarter_of_the_frame_rate() -> None:
    assert offered_bitrates(SMALL + LARGE, is_any_rate=False) == (
        50_000,
        75_000,
        125_000,
        0,
        240_000,
        460_000,
    )


def test_whoever_asks_for_the_lowest_rate_gets_it() -> None:
    assert offered_bitrates(SMALL + LARGE, is_any_rate=True)[3] == 140_000


def test_the_only_picture_that_is_sent_is_offered_at_any_rate() -> None:
    unsent = [choice._replace(bitrate=0) for choice in SMALL]
    assert offered_bitrates(unsent + LARGE, is_any_rate=False)[3] == 140_000


def test_layers_without_temporal_ones_are_offered() -> None:
    assert offered_bitrates([Choice(0, 0, 100), Choice(1, 0, 300)], is_any_rate=False) == (100, 300)
