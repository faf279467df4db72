"""Links, also hidden ones, and what only looks like one."""

# ruff: noqa: RUF001 (ambiguous characters are what this is about)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.moderation.links import has_link

LINKS = [
    "https://example.com/x",
    "HTTP://EXAMPLE.COM",
    "hxxps://a.example",
    "see www.example.museum/now",
    "example.com",
    "Example.COM!",
    "go to example.co.uk.",
    "a@example.de",
    "ｅｘａｍｐｌｅ．ｃｏｍ",
    "example。com",
    "exa\u200bmple.com",
    "example . com",
    "example .com",
    "example dot com",
    "example (dot) com",
    "example[.]net",
    "discord.gg/abc",
    "пример.рф",
    "例子.中国",
    "bücher.de",
    "xn--bcher-kva.xn--p1ai",
    "readme.md/x",
    "10.0.0.1:8080",
    "1.2.3.4/evil",
    "(example.org)",
    "ﷺ" * 90 + " example.com",
]
NO_LINKS = [
    "hello",
    "main.py and README.md",
    "ok.then",
    "wow...me",
    "3.14",
    "version 1.2.3.4",
    "e.g. this, i.e. that",
    "I like it.It is good",
    "I use .NET",
    "and/or",
    "index.html",
    "a. b. c.",
    "10:30",
    "U.S.A.",
    "me: hi",
    "100.000",
    "",
]


@pytest.mark.parametrize("text", LINKS)
def test_a_link_is_found(text: str) -> None:
    assert has_link(text)


@pytest.mark.parametrize("text", NO_LINKS)
def test_other_text_is_no_link(text: str) -> None:
    assert not has_link(text)


@given(st.text(st.characters(), max_size=200), st.text(st.characters(), max_size=200))
def test_a_link_is_found_wherever_it_stands(before: str, after: str) -> None:
    assert has_link(f"{before} https://example.com/ {after}")


@pytest.mark.parametrize("piece", ["a", "a.", "a-", ". ", "www.", "aa dot ", "aa  .  ", "1.", "ﷺ", "xn--"])
def test_no_text_takes_long(piece: str) -> None:
    has_link((piece * 500)[:500])
