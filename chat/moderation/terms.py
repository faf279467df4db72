"""The blocked terms of a room, compiled. Patterns of users go through RE2 only, whose time is linear.

Plain terms match whole words of a text's skeleton (see chat.moderation.text), or anything in scripts that
have no blanks between words. Patterns match the readable text whatever its case, and digits are digits.
"""

import asyncio
import threading
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar

import re2
import structlog

from chat.errors import Refusal
from chat.moderation.text import fold, plain, skeletons
from storage.repositories.blocked_terms import BlockedTerm, TermAction

logger = structlog.get_logger("mediaserver.chat")

MAX_TERMS: Final = 500
MAX_CHARACTERS: Final = 200
MAX_PATTERN_SIZE: Final = 2_000
MAX_PATTERNS_SIZE: Final = 10_000
"""Instructions of RE2, which is what the time for one character of a text is proportional to at worst."""
PATTERN_MEMORY: Final = 256 * 1024
"""Enough for MAX_PATTERN_SIZE; what is larger is given up early."""
MAX_MEMORY: Final = 8 * 1024 * 1024
HEAVY_SIZE: Final = 100
"""Larger patterns are not run on the loop: a step takes some 25 ns for each byte of a text at worst."""
MATCH_TIMEOUT_SECONDS: Final = 1.0
MAX_WAITING: Final = 16
THREADS: Final = 2
COMPILE_TIMEOUT_SECONDS: Final = 5.0

_ALWAYS: Final = b"(?s).*"

ArgumentType = TypeVar("ArgumentType")
ResultType = TypeVar("ResultType")


@dataclass(frozen=True, slots=True)
class Match:
    """What to do about a text, and for the moderators, which term says so."""

    action: TermAction
    term: str


UNDECIDED: Final = Match(TermAction.HOLD, "")
"""For a text about which the patterns cannot be asked."""


class CompiledTerms:
    """A room's. ``is_heavy``: to hold a text against them may take long."""

    def __init__(
        self, terms: tuple[BlockedTerm, ...], words: "_Words", patterns: "_Patterns | None" = None
    ) -> None:
        self._terms = terms
        self._words = words
        self._patterns = patterns
        self.is_heavy: Final = patterns is not None and patterns.size > HEAVY_SIZE
        self._turn = asyncio.Lock()

    @classmethod
    def build(cls, terms: Sequence[BlockedTerm]) -> Self:
        """Blocks. Raises Refusal ``bad_pattern``, which names the term's index and what is wrong."""
        if len(terms) > MAX_TERMS:
            raise Refusal("bad_pattern", f"There may be up to {MAX_TERMS} terms.")
        words = _Words()
        for index, term in enumerate(terms):
            if len(term.text) > MAX_CHARACTERS:
                raise bad_pattern(index, f"it may have up to {MAX_CHARACTERS} characters")
            if any(unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") for each in term.text):
                raise bad_pattern(index, "it holds a control character or half of a surrogate pair")
            if not term.is_regex:
                words.add(index, term.text)
        regexes = [(index, term.text) for index, term in enumerate(terms) if term.is_regex]
        return cls(tuple(terms), words, _Patterns(regexes) if regexes else None)

    @classmethod
    async def compile(cls, terms: Sequence[BlockedTerm]) -> Self:
        """As ``build``, without holding the loop. Raises Refusal ``bad_pattern``, or ``busy``."""
        return await cls._in_thread(cls.build, terms)

    @classmethod
    async def load(cls, terms: Sequence[BlockedTerm]) -> Self:
        """Of stored terms those that can be used, for a room must not stay closed for one that cannot.

        Raises Refusal ``busy``.
        """
        return await cls._in_thread(cls._build_usable, terms)

    @classmethod
    async def _in_thread(
        cls, build: Callable[[Sequence[BlockedTerm]], Self], terms: Sequence[BlockedTerm]
    ) -> Self:
        if not terms:
            return cls.build(())
        try:
            async with asyncio.timeout(COMPILE_TIMEOUT_SECONDS):
                return await _threads.start(build, tuple(terms))
        except TimeoutError as error:
            raise Refusal("busy", "The server is busy. Try again in a moment.", 1.0) from error

    @classmethod
    def _build_usable(cls, terms: Sequence[BlockedTerm]) -> Self:
        try:
            return cls.build(terms)
        except Refusal as refusal:
            logger.warning("chat_terms_left_out", error=refusal.message)
        usable = [term for term in terms[:MAX_TERMS] if _is_usable(term)]
        try:
            return cls.build(usable)
        except Refusal:
            return cls.build([term for term in usable if not term.is_regex])

    async def match(self, text: str) -> Match | None:
        """As ``match_now``, without holding the loop: what takes too long is left to a moderator."""
        if not self.is_heavy:
            return self.match_now(text)
        try:
            async with asyncio.timeout(MATCH_TIMEOUT_SECONDS):
                return await asyncio.shield(await self._start_matching(text))
        except TimeoutError:
            return UNDECIDED

    async def _start_matching(self, text: str) -> "asyncio.Future[Match | None]":
        """One at a time, so that a room with costly patterns leaves a thread to the others."""
        await self._turn.acquire()
        try:
            running = _threads.start(self.match_now, text)
        except BaseException:
            self._turn.release()
            raise
        # Not when nobody waits any more: the thread is at work until then.
        running.add_done_callback(lambda _: self._turn.release())
        return running

    def match_now(self, text: str) -> Match | None:
        """The term that ``text`` (as ``clean`` gives it) holds; one that refuses before one that holds."""
        if not self._terms:
            return None
        found = self._words.find(text)
        if self._patterns is not None:
            matched = self._patterns.find(text)
            if matched is None:
                return UNDECIDED
            found.extend(matched)
        if not found:
            return None
        index = min(found, key=lambda index: (self._terms[index].action is not TermAction.REFUSE, index))
        return Match(self._terms[index].action, self._terms[index].text)


def _is_usable(term: BlockedTerm) -> bool:
    try:
        CompiledTerms.build([term])
    except Refusal:
        return False
    return True


class _Words:
    """Terms that are no patterns."""

    def __init__(self) -> None:
        self._single: dict[str, int] = {}
        self._phrases: dict[str, int] = {}
        self._anywhere: dict[str, int] = {}

    def add(self, index: int, text: str) -> None:
        folded = fold(text)
        if not folded:
            raise bad_pattern(index, "it has no visible character")
        readings = [words for words in skeletons(folded) if words]
        if not readings or any(map(_is_of_script_without_blanks, folded)):
            self._anywhere.setdefault(folded, index)
            return
        for words in readings:
            self._add_words(index, words)

    def _add_words(self, index: int, words: str) -> None:
        if words.count(" ") == 2:
            self._single.setdefault(words.strip(), index)
        else:
            self._phrases.setdefault(words, index)

    def find(self, text: str) -> list[int]:
        """The indexes of the terms that ``text`` holds."""
        folded = fold(text)
        found = [index for needle, index in self._anywhere.items() if needle in folded]
        for words in skeletons(folded):
            found += [self._single[word] for word in self._single.keys() & words.split()]
            found += [index for needle, index in self._phrases.items() if needle in words]
        return found


def _is_of_script_without_blanks(character: str) -> bool:
    name = unicodedata.name(character, "")
    return name.startswith(("CJK ", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"))


class _Patterns:
    """Regular expressions of users, all in one automaton."""

    def __init__(self, regexes: Sequence[tuple[int, str]]) -> None:
        self._set: Any = re2.Set.SearchSet(_options(MAX_MEMORY))
        options = _options(PATTERN_MEMORY)
        self._indexes: dict[int, int] = {}
        self.size = 0
        for index, pattern in regexes:
            self.size += _checked_size(index, pattern, options)
            if self.size > MAX_PATTERNS_SIZE:
                raise bad_pattern(index, "the patterns are too large together")
            self._indexes[self._set.Add(pattern.encode())] = index
        # RE2 answers "no match" when memory runs out; what always matches tells that from the truth.
        self._canary: int = self._set.Add(_ALWAYS)
        try:
            self._set.Compile()
        except re2.error as error:
            raise bad_pattern(regexes[-1][0], "the patterns are too large together") from error
        finally:
            re2.purge()

    def find(self, text: str) -> list[int] | None:
        """The indexes of the patterns found in ``text``; None if that cannot be told."""
        matched = self._set.Match(plain(text).encode("utf-8", "replace"))
        if self._canary not in matched:
            return None
        return [self._indexes[number] for number in matched if number != self._canary]


def _options(memory: int) -> Any:
    options = re2.Options()
    options.max_mem = memory
    options.case_sensitive = False
    options.log_errors = False
    options.never_capture = True
    return options


def _checked_size(index: int, pattern: str, options: Any) -> int:
    """How many instructions the pattern has. Raises Refusal ``bad_pattern``."""
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        raise bad_pattern(index, _explained(error)) from error
    size: int = max(compiled.programsize, compiled.reverseprogramsize)
    if size > MAX_PATTERN_SIZE:
        raise bad_pattern(index, f"it is too large: {size} steps, {MAX_PATTERN_SIZE} are allowed")
    if compiled.search("") is not None:
        raise bad_pattern(index, "it matches every message")
    return size


def _explained(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)


def bad_pattern(index: int, reason: str) -> Refusal:
    return Refusal("bad_pattern", f"Term {index}: {reason}.")


class _Threads:
    """Where terms are compiled and costly patterns run; how much is there at a time is bounded."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(THREADS, "chat-terms")
        self._places = threading.Semaphore(MAX_WAITING)

    def start(
        self, function: Callable[[ArgumentType], ResultType], argument: ArgumentType
    ) -> "asyncio.Future[ResultType]":
        """It ends by itself, whoever waits for it. Raises TimeoutError when too many wait."""
        if not self._places.acquire(blocking=False):
            raise TimeoutError
        running = self._executor.submit(function, argument)
        running.add_done_callback(lambda _: self._places.release())
        return asyncio.wrap_future(running)


_threads: Final = _Threads()
