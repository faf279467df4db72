"""What the settings of a room say about a message, for everybody in it."""

from dataclasses import replace

import pytest

from chat.moderation.rules import Action, judge
from chat.moderation.terms import Match
from storage.repositories.blocked_terms import TermAction
from storage.repositories.chat_people import RoomPerson
from storage.repositories.chat_rooms import ChatSettings, LinkPolicy
from storage.repositories.users import UserState
from tests.chat.moderation.people import EXEMPT, MEMBER, NOW, SUBSCRIBER, banned, follower

OPEN = ChatSettings()
STRICT = ChatSettings(120, 3600, True, True, True, LinkPolicy.REFUSE)
REFUSED_TERM = Match(TermAction.REFUSE, "word")
HELD_TERM = Match(TermAction.HOLD, "word")


def code_of(settings: ChatSettings, person: RoomPerson | None, text: str = "hello", **more: object) -> str:
    """The code of the refusal, or the action."""
    decision = judge(settings, person, text, NOW, **more)  # type: ignore[arg-type]
    assert (decision.refusal is not None) is (decision.action is Action.REFUSE)
    return decision.refusal.code if decision.refusal is not None else decision.action.value


@pytest.mark.parametrize(
    ("person", "expected"),
    [
        (None, "sign_in_required"),
        (MEMBER, "allow"),
        (replace(MEMBER, state=UserState.SUSPENDED), "account_suspended"),
        (banned(MEMBER), "banned"),
        (banned(MEMBER, 60), "timed_out"),
        (banned(MEMBER, 0), "allow"),
        (banned(MEMBER, -60), "allow"),
        (banned(MEMBER, is_shadow=True), "shadow"),
        (banned(MEMBER, 60, is_shadow=True), "shadow"),
        (banned(MEMBER, -60, is_shadow=True), "allow"),
    ],
)
def test_who_may_speak_at_all(person: RoomPerson | None, expected: str) -> None:
    assert code_of(OPEN, person) == expected


def test_a_timeout_says_how_long() -> None:
    refusal = judge(OPEN, banned(MEMBER, 90), "hello", NOW).refusal
    assert refusal is not None and refusal.retry_after == 90


@pytest.mark.parametrize(
    ("seconds", "person", "expected"),
    [
        (None, MEMBER, "allow"),
        (0, MEMBER, "followers_only"),
        (0, follower(0), "allow"),
        (0, follower(-5), "allow"),
        (600, follower(599), "followers_only"),
        (600, follower(600), "allow"),
        (2**31 - 1, follower(600), "followers_only"),
    ],
)
def test_followers_only_has_an_age(seconds: int | None, person: RoomPerson, expected: str) -> None:
    assert code_of(ChatSettings(followers_only_seconds=seconds), person) == expected


def test_a_new_follower_is_told_how_long() -> None:
    refusal = judge(ChatSettings(followers_only_seconds=600), follower(599), "hello", NOW).refusal
    assert refusal is not None and refusal.retry_after == 1


@pytest.mark.parametrize(
    ("settings", "text", "expected"),
    [
        (ChatSettings(subscribers_only=True), "hello", "subscribers_only"),
        (ChatSettings(emote_only=True), "hello", "emote_only"),
        (ChatSettings(emote_only=True), "😀 :wave:", "allow"),
        (ChatSettings(links=LinkPolicy.ALLOW), "example.com", "allow"),
        (ChatSettings(links=LinkPolicy.HOLD), "example.com", "hold"),
        (ChatSettings(links=LinkPolicy.REFUSE), "example.com", "links_not_allowed"),
        (ChatSettings(links=LinkPolicy.REFUSE), "hello", "allow"),
        (ChatSettings(slow_mode_seconds=120, unique_chat=True), "hello", "allow"),
    ],
)
def test_modes(settings: ChatSettings, text: str, expected: str) -> None:
    assert code_of(settings, MEMBER, text) == expected
    assert code_of(settings, SUBSCRIBER, text) in (expected, "allow")


def test_subscribers_may_speak_to_subscribers() -> None:
    assert code_of(ChatSettings(subscribers_only=True), SUBSCRIBER) == "allow"


@pytest.mark.parametrize(
    ("links", "term", "expected"),
    [
        (LinkPolicy.ALLOW, REFUSED_TERM, "blocked_term"),
        (LinkPolicy.ALLOW, HELD_TERM, "hold"),
        (LinkPolicy.HOLD, HELD_TERM, "hold"),
        (LinkPolicy.HOLD, REFUSED_TERM, "blocked_term"),
        (LinkPolicy.REFUSE, HELD_TERM, "links_not_allowed"),
    ],
)
def test_refusals_go_before_holds(links: LinkPolicy, term: Match, expected: str) -> None:
    assert code_of(ChatSettings(links=links), MEMBER, "see example.com", term=term) == expected


def test_moderators_learn_why_a_message_is_held() -> None:
    assert judge(OPEN, MEMBER, "a word", NOW, term=HELD_TERM).reason == "blocked_term: word"
    assert judge(ChatSettings(links=LinkPolicy.HOLD), MEMBER, "example.com", NOW).reason == "link"


@pytest.mark.parametrize("name", EXEMPT)
def test_modes_and_terms_are_not_for_moderators_but_bans_are(name: str) -> None:
    person = EXEMPT[name]
    assert code_of(STRICT, person, "example.com", term=REFUSED_TERM) == "allow"
    assert code_of(STRICT, banned(person)) == "banned"
    assert code_of(STRICT, banned(person, 60)) == "timed_out"
    assert code_of(STRICT, banned(person, is_shadow=True)) == "shadow"


@pytest.mark.parametrize(
    ("settings", "text", "term"),
    [
        (ChatSettings(followers_only_seconds=0), "hello", None),
        (ChatSettings(subscribers_only=True), "hello", None),
        (ChatSettings(emote_only=True), "hello", None),
        (ChatSettings(links=LinkPolicy.REFUSE), "example.com", None),
        (OPEN, "word", REFUSED_TERM),
    ],
)
def test_a_shadow_ban_cannot_be_noticed(settings: ChatSettings, text: str, term: Match | None) -> None:
    """Who is under one meets the refusals that others meet."""
    shadowed = banned(MEMBER, is_shadow=True)
    assert code_of(settings, shadowed, text, term=term) == code_of(settings, MEMBER, text, term=term)


def test_what_would_be_held_of_somebody_shadowed_bothers_no_moderator() -> None:
    assert code_of(OPEN, banned(MEMBER, is_shadow=True), "word", term=HELD_TERM) == "shadow"
