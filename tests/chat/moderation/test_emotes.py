"""Emote-only messages and reactions."""

import pytest

from chat.moderation.emotes import is_emotes_only, is_reaction

EMOTES = ["😀", "👨‍👩‍👧‍👦", "❤️", "👍🏽", "1️⃣", "🇩🇪", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", ":wave:", "☺", "✌🏿", "🏳️‍🌈"]


@pytest.mark.parametrize("emote", EMOTES)
def test_an_emote_is_a_reaction(emote: str) -> None:
    assert is_reaction(emote)
    assert is_emotes_only(emote)
    assert is_emotes_only(f"{emote} {emote}{emote}")
    assert not is_reaction(f"{emote}{emote}")
    assert not is_emotes_only(f"{emote} a")


@pytest.mark.parametrize(
    "text", ["hi", "1", "123", ":", ":wave", "::", ": wave :", "#", "🇩", "😀 a 😀", "", "\u200d", "\ufe0f"]
)
def test_text_is_no_emote(text: str) -> None:
    assert not is_emotes_only(text)
    assert not is_reaction(text)


def test_a_text_that_could_be_read_in_many_ways_is_read_in_one() -> None:
    tones = "\U0001f3fb" * 499
    assert is_emotes_only(tones)
    assert not is_emotes_only(f"{tones}x")
    assert not is_reaction(f"{tones}x")
