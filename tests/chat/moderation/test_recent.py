"""Repetitions in a room."""

from dataclasses import dataclass
from uuid import UUID

import pytest

from chat.errors import Refusal
from chat.moderation.recent import MAX_DUPLICATES, UNIQUE_MESSAGES, Recent, fingerprint

ALICE, BOB = UUID(int=1), UUID(int=2)
HELLO = fingerprint("hello")


@dataclass
class FakeClock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def recent(clock: FakeClock) -> Recent:
    return Recent(clock)


def code_of(recent: Recent, user: UUID, text: str, *, is_unique: bool = False) -> str | None:
    try:
        recent.check(user, fingerprint(text), is_unique=is_unique)
    except Refusal as refusal:
        return refusal.code
    return None


@pytest.mark.parametrize("text", ["hello", " HELLO ", "h\u200bello", "\uff48ello", "hell\u043e"])
def test_the_same_text_is_a_duplicate_however_it_is_written(recent: Recent, text: str) -> None:
    recent.note(ALICE, HELLO)
    assert code_of(recent, ALICE, text) == "duplicate"
    assert code_of(recent, BOB, text) is None
    assert code_of(recent, BOB, text, is_unique=True) == "not_unique"


@pytest.mark.parametrize("text", ["hello there", "hell", "hello!"])
def test_other_text_is_none(recent: Recent, text: str) -> None:
    recent.note(ALICE, HELLO)
    assert code_of(recent, ALICE, text, is_unique=True) is None


def test_texts_of_signs_alone_differ() -> None:
    assert len({fingerprint(text) for text in ("😀", "😂", "\ufe0f", "\u0301", "...", "")}) == 6


def test_a_duplicate_is_one_for_thirty_seconds(recent: Recent, clock: FakeClock) -> None:
    recent.note(ALICE, HELLO)
    clock.now += 20
    with pytest.raises(Refusal) as refusal:
        recent.check(ALICE, HELLO, is_unique=False)
    assert refusal.value.retry_after == 10
    clock.now += 10
    assert code_of(recent, ALICE, "hello") is None
    assert code_of(recent, ALICE, "hello", is_unique=True) == "not_unique"
    clock.now += 570
    assert code_of(recent, ALICE, "hello", is_unique=True) is None


def test_unique_chat_looks_at_the_last_thousand(recent: Recent) -> None:
    recent.note(ALICE, HELLO)
    for number in range(UNIQUE_MESSAGES - 1):
        recent.note(BOB, fingerprint(f"message {number}"))
    assert code_of(recent, BOB, "hello", is_unique=True) == "not_unique"
    recent.note(BOB, fingerprint("one more"))
    assert code_of(recent, BOB, "hello", is_unique=True) is None


def test_its_memory_is_bounded_and_empties(recent: Recent, clock: FakeClock) -> None:
    for number in range(MAX_DUPLICATES + 500):
        recent.note(ALICE, str(number).encode())
    assert recent.size == MAX_DUPLICATES + UNIQUE_MESSAGES
    clock.now += 601
    recent.note(ALICE, HELLO)
    assert recent.size == 2


def test_what_nobody_sees_stops_nobody_else(recent: Recent) -> None:
    recent.note(ALICE, HELLO, is_public=False)
    assert code_of(recent, ALICE, "hello") == "duplicate"
    assert code_of(recent, BOB, "hello", is_unique=True) is None


def test_what_was_refused_after_all_is_forgotten(recent: Recent) -> None:
    recent.forget(recent.note(ALICE, HELLO))
    assert recent.size == 0
    recent.note(ALICE, HELLO)
    recent.forget(recent.note(BOB, HELLO))
    assert code_of(recent, BOB, "hello") is None
    assert code_of(recent, BOB, "hello", is_unique=True) == "not_unique"
