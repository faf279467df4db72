"""Ids, stream keys and passwords."""

import asyncio
import threading
import time
import unicodedata
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher, Type

from storage.ids import new_id
from storage.passwords import Passwords, TooManyHashes
from storage.stream_keys import StreamKeyDigester, is_stream_key, new_stream_key
from tests.helpers.waiting import eventually


def test_ids_are_version_7_and_sort_by_time() -> None:
    before = time.time_ns() // 1_000_000
    made = new_id()
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert before <= made.int >> 80 <= after
    assert len({new_id() for _ in range(10_000)}) == 10_000


def test_a_new_stream_key_has_the_form_of_one() -> None:
    keys = {new_stream_key() for _ in range(1000)}
    assert len(keys) == 1000
    assert all(is_stream_key(key) for key in keys)


@pytest.mark.parametrize(
    "text", ["", "a", "0" * 39, "0" * 41, "G" * 40, "A" * 40, "0" * 40 + "\n", "../" * 13 + "0"]
)
def test_other_texts_are_no_stream_key(text: str) -> None:
    assert not is_stream_key(text)


def test_a_digest_depends_on_key_and_secret() -> None:
    key, other = new_stream_key(), new_stream_key()
    digester = StreamKeyDigester(b"secret")
    assert len(digester.digest(key)) == 32
    assert digester.digest(key) == StreamKeyDigester(b"secret").digest(key)
    assert digester.digest(key) != digester.digest(other)
    assert digester.digest(key) != StreamKeyDigester(b"other").digest(key)
    assert key.encode() not in digester.digest(key)


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    passwords = Passwords()
    yield passwords
    passwords.close()


async def test_a_password_is_known_again_by_its_hash(passwords: Passwords) -> None:
    hashed = await passwords.hash("correct horse")
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert await passwords.is_correct("correct horse", hashed)
    assert not await passwords.is_correct("wrong horse", hashed)
    assert not await passwords.is_correct("correct horse", "no hash at all")
    assert await passwords.hash("correct horse") != hashed


@pytest.fixture
def hashing_ends(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """A hash lasts until this is set."""
    is_over = threading.Event()

    def hash_slowly(_hasher: PasswordHasher, _password: str | bytes) -> str:
        return "ended by the test" if is_over.wait(10) else "nobody ended it"

    monkeypatch.setattr(PasswordHasher, "hash", hash_slowly)
    return is_over


async def test_hashing_leaves_the_loop_free(passwords: Passwords, hashing_ends: threading.Event) -> None:
    """A hash that lasts until the loop's thread ends it would last for ever on that thread."""
    hashing = asyncio.create_task(passwords.hash("correct horse"))
    await asyncio.sleep(0)
    hashing_ends.set()
    assert await hashing == "ended by the test"


async def test_the_same_letters_are_the_same_password(passwords: Passwords) -> None:
    composed, split = (unicodedata.normalize(form, "Bärenfährte") for form in ("NFC", "NFD"))
    assert composed != split
    assert await passwords.is_correct(split, await passwords.hash(composed))


async def test_nobody_has_no_password(passwords: Passwords) -> None:
    assert not await passwords.is_correct("correct horse", None)


async def test_a_hash_with_other_parameters_wants_renewing(passwords: Passwords) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1, type=Type.ID).hash("correct horse")
    assert passwords.needs_rehash(old)
    assert await passwords.is_correct("correct horse", old)
    assert not passwords.needs_rehash(await passwords.hash("correct horse"))
    assert not passwords.needs_rehash("no hash at all")


async def test_only_so_many_may_wait() -> None:
    passwords = Passwords(threads=1, waiting=1)
    results = await asyncio.gather(
        *(passwords.hash("correct horse") for _ in range(5)), return_exceptions=True
    )
    assert [isinstance(result, str) for result in results] == [True, True, False, False, False]
    assert all(isinstance(result, TooManyHashes) for result in results[2:])
    # Afterwards there is room again.
    assert await passwords.hash("correct horse")
    passwords.close()


async def test_who_gives_up_leaves_the_place_when_the_work_is_over(hashing_ends: threading.Event) -> None:
    passwords = Passwords(threads=1, waiting=0)
    impatient = asyncio.create_task(passwords.hash("correct horse"))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)
    with pytest.raises(TooManyHashes):
        await passwords.hash("correct horse")
    hashing_ends.set()
    await eventually(lambda: passwords._pending == 0)
    assert await passwords.hash("correct horse")
    passwords.close()
