"""Blocked terms: what they match, what they refuse to be, and that no pattern is a weapon."""

# ruff: noqa: RUF001 (ambiguous characters are what this is about)

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.errors import Refusal
from chat.moderation.terms import UNDECIDED, CompiledTerms, Match
from chat.moderation.text import clean
from storage.repositories.blocked_terms import BlockedTerm, TermAction


def refused(text: str) -> BlockedTerm:
    return BlockedTerm(text, False, TermAction.REFUSE)


def held(text: str) -> BlockedTerm:
    return BlockedTerm(text, False, TermAction.HOLD)


def pattern(text: str) -> BlockedTerm:
    return BlockedTerm(text, True, TermAction.REFUSE)


def matches(term: BlockedTerm, text: str) -> bool:
    return CompiledTerms.build([term]).match_now(clean(text)) is not None


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("shit", "Oh SHIT!"),
        ("shit", "sh1t"),
        ("shit", "sh!t"),
        ("shit", "$h1t"),
        ("shit", "s\u200bh\u200bi\u200bt"),
        ("shit", "ѕhіt"),
        ("shit", "ｓｈｉｔ"),
        ("shit", "s\u0336h\u0336i\u0336t\u0336"),
        ("sh1t", "shit"),
        ("a$$", "what an a$$"),
        ("ass", "@ss"),
        ("asshole", "@asshole you"),
        ("hell", "hell!"),
        ("kill yourself", "go  KILL, yourself now"),
        ("straße", "STRASSE"),
        ("坏蛋", "你是坏蛋吗"),
        ("дурак", "ты Дурак!"),
        ("🖕", "hey 🖕🏽"),
        ("<3", "i <3 you"),
        ("1337", "1337"),
    ],
)
def test_a_term_is_found(term: str, text: str) -> None:
    assert matches(refused(term), text)


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("ass", "class and assess"),
        ("ass", "it costs 455"),
        ("ss", "5$ or 5$"),
        ("kill yourself", "kill the boss yourself"),
        ("no", "по"),
        ("1337", "leet"),
    ],
)
def test_other_text_is_left_alone(term: str, text: str) -> None:
    assert not matches(refused(term), text)


@pytest.mark.parametrize(
    ("text", "message", "is_found"),
    [
        (r"\d{5}", "call 12345", True),
        (r"^buy", "BUY now", True),
        (r"^buy", "now buy", False),
        (r"f[o0]{2,}", "ｆ00", True),
        (r"bad\s*word", "ba\u200bd word", True),
        (r"\p{Cyrillic}", "привет", True),
        (r"(a+)+$", "b", False),
    ],
)
def test_a_pattern_is_held_against_the_readable_text(text: str, message: str, is_found: bool) -> None:
    assert matches(pattern(text), message) is is_found


@pytest.mark.parametrize(
    "text",
    [
        "(",
        "[a",
        "a{2000}",
        r"(a)\1",
        "(?=a)",
        "(?<=a)b",
        "\ud800",
        "*",
        "a**",
        r"\pL{0,300}",
        "x*",
        ".*",
        "|",
    ],
)
def test_a_bad_pattern_is_refused_by_its_index(text: str) -> None:
    with pytest.raises(Refusal, match=r"bad_pattern: Term 1: .{10,}"):
        CompiledTerms.build([refused("fine"), pattern(text)])


@pytest.mark.parametrize("text", ["", " ", "\u200b", "\u0301", "x" * 201, "a\0", "a\nb", "\ud800"])
def test_a_term_that_cannot_match_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="bad_pattern: Term 0"):
        CompiledTerms.build([refused(text)])


def test_patterns_may_not_be_too_large_together() -> None:
    with pytest.raises(Refusal, match="too large together"):
        CompiledTerms.build([pattern(f"[ab]*a[ab]{{{100 + index}}}") for index in range(150)])
    with pytest.raises(Refusal, match="up to 500"):
        CompiledTerms.build([refused(f"word{index}") for index in range(501)])


def test_patterns_for_which_memory_is_too_small_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.moderation.terms.MAX_MEMORY", 100_000)
    with pytest.raises(Refusal, match="Term 59: the patterns are too large together"):
        CompiledTerms.build([pattern(f"[ab]*a[ab]{{{60 + index}}}c") for index in range(60)])


def test_a_text_that_memory_does_not_suffice_for_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """RE2 then says that nothing matches, which must not be taken for the truth."""
    monkeypatch.setattr("chat.moderation.terms.re2.Set.Match", lambda *_: [])
    assert CompiledTerms.build([pattern("bad")]).match_now("bad") == UNDECIDED


def test_what_refuses_goes_before_what_holds() -> None:
    terms = CompiledTerms.build([held("one"), refused("two"), pattern("three")])
    assert terms.match_now("one") == Match(TermAction.HOLD, "one")
    assert terms.match_now("one three") == Match(TermAction.REFUSE, "three")
    assert terms.match_now("three two one") == Match(TermAction.REFUSE, "two")
    assert terms.match_now("four") is None


async def test_no_terms_match_nothing() -> None:
    terms = await CompiledTerms.compile([])
    assert await terms.match("anything") is None


@pytest.mark.parametrize(
    "patterns",
    [
        ["(a+)+$"],
        ["(a|aa)+$"],
        ["(a|a?)+b$"],
        ["(.*)(.*)(.*)(.*)(.*)(.*)[^a]$"],
        ["(a|b)*a(a|b){20}c"],
        [f"(?:a?){{20}}a{{20}}{index}" for index in range(100)],
    ],
    ids=lambda patterns: patterns[0],
)
async def test_a_hostile_pattern_ends(patterns: list[str]) -> None:
    terms = await CompiledTerms.compile([pattern(each) for each in patterns])
    for text in ("a" * 500, "ab" * 250, "a" * 499 + "!"):
        await terms.match(text)


async def test_costly_patterns_leave_the_loop_to_others() -> None:
    """The loop turns while a set of patterns is at work, in a thread that is not the loop's."""
    terms = await CompiledTerms.compile([pattern(f"[ab]*a[ab]{{{60 + index}}}c") for index in range(60)])
    assert terms.is_heavy
    turns = 0
    text = "abaabbab" * 62
    matching = asyncio.create_task(terms.match(text))
    while not matching.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 2
    assert await matching in (None, UNDECIDED)


async def test_a_heavy_room_holds_what_it_has_no_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    terms = await CompiledTerms.compile([pattern("[ab]{150}")])
    assert terms.is_heavy
    monkeypatch.setattr("chat.moderation.terms.MATCH_TIMEOUT_SECONDS", 0.0)
    assert await terms.match("hello") == UNDECIDED


async def test_too_many_who_compile_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.moderation.terms._threads._places", threading.Semaphore(0))
    with pytest.raises(Refusal, match="busy"):
        await CompiledTerms.compile([refused("word")])


async def test_a_room_opens_without_the_terms_that_cannot_be_used() -> None:
    """They were stored when other limits held."""
    terms = await CompiledTerms.load([refused("one"), pattern("("), pattern("thr[e]+"), refused("a\0")])
    assert terms.match_now("one") == Match(TermAction.REFUSE, "one")
    assert terms.match_now("three") == Match(TermAction.REFUSE, "thr[e]+")
    assert terms.match_now("(") is None
    large = [pattern(f"[ab]*a[ab]{{{100 + index}}}") for index in range(150)]
    terms = await CompiledTerms.load([refused("one"), *large])
    assert terms.match_now("one") == Match(TermAction.REFUSE, "one")
    assert terms.match_now("ab" * 200) is None
    assert await (await CompiledTerms.load([])).match("one") is None


async def test_a_costly_room_has_one_thread_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when those who waited have given up."""
    terms = await CompiledTerms.compile([pattern("[ab]{150}")])
    gate, at_work = threading.Event(), []

    def match_slowly(text: str) -> None:
        at_work.append(text)
        gate.wait(10)

    monkeypatch.setattr(terms, "match_now", match_slowly)
    monkeypatch.setattr("chat.moderation.terms.MATCH_TIMEOUT_SECONDS", 0.02)
    try:
        assert await asyncio.gather(*(terms.match(text) for text in "abc")) == [UNDECIDED] * 3
        assert at_work == ["a"]
    finally:
        gate.set()
    monkeypatch.setattr("chat.moderation.terms.MATCH_TIMEOUT_SECONDS", 10)
    assert await terms.match("d") is None
    assert at_work == ["a", "d"]


async def test_five_hundred_terms_compile_while_the_loop_turns() -> None:
    plain_terms = [refused(f"word{index} " + "x" * 150) for index in range(250)]
    patterns = [pattern(f"bad(ger|word){index}+") for index in range(250)]
    compiling = asyncio.create_task(CompiledTerms.compile(plain_terms + patterns))
    turns = 0
    while not compiling.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 2
    terms = await compiling
    assert await terms.match("a badger7 came") == Match(TermAction.REFUSE, "bad(ger|word)7+")


@given(st.text(st.characters(), max_size=100), st.text(st.characters(), max_size=30))
def test_whatever_is_a_term_is_found_again(text: str, term: str) -> None:
    """A term as a message of its own matches itself, however strange it is."""
    try:
        terms, cleaned = CompiledTerms.build([refused(term)]), clean(term)
    except Refusal:
        return
    assert terms.match_now(cleaned) is not None
    terms.match_now(text)


@given(st.text(max_size=20), st.text(st.characters(), max_size=100))
def test_no_pattern_breaks_anything(text: str, message: str) -> None:
    try:
        terms = CompiledTerms.build([pattern(text)])
    except Refusal:
        return
    terms.match_now(message)
