"""Ids, stream keys and passwords."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from storage.ids import new_id
from storage.passwords import Passwords
from storage.stream_keys import StreamKeyDigester, is_stream_key, new_stream_key


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


async def test_hashing_leaves_the_loop_free(passwords: Passwords) -> None:
    hashing = asyncio.create_task(passwords.hash("correct horse"))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10
