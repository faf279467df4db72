"""Where pictures are kept: names that cannot lead elsewhere, bounded sizes, absence, a store that is lost."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from obstore.store import HTTPStore, MemoryStore

from storage.errors import StorageError
from storage.objects import MAX_OBJECT_BYTES, Objects, ObjectsUnavailable, open_objects


@pytest.fixture(params=["folder", "memory"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    makers: dict[str, Callable[[], Objects]] = {
        "folder": lambda: open_objects(None, tmp_path / "objects"),
        "memory": lambda: Objects(MemoryStore()),
    }
    return makers[request.param]()


async def test_a_store_answers_a_ping_with_nothing_in_it(objects: Objects) -> None:
    await objects.ping()


async def test_what_is_put_is_got_until_it_is_deleted(objects: Objects) -> None:
    name = "avatars/0a1b.webp"
    assert await objects.get(name) is None
    await objects.put(name, b"first")
    await objects.put(name, b"second")
    assert await objects.get(name) == b"second"
    await objects.delete(name)
    assert await objects.get(name) is None
    await objects.delete(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../secret",
        "avatars/../../secret",
        "avatars/..",
        "avatars//a",
        "avatars/",
        "./a",
        ".hidden",
        "a\\b",
        "a\0b",
        "a\nb",
        "a\n",
        "a%2e%2e/b",
        "ü",
        "a" * 201,
    ],
)
async def test_a_name_that_may_lead_elsewhere_is_refused(objects: Objects, name: str) -> None:
    for action in (objects.get(name), objects.delete(name), objects.put(name, b"")):
        with pytest.raises(ValueError, match="not a name"):
            await action


async def test_an_object_has_a_bounded_size(objects: Objects) -> None:
    with pytest.raises(ValueError, match="at most"):
        await objects.put("large", b"\0" * (MAX_OBJECT_BYTES + 1))
    await objects.put("large", b"\0" * MAX_OBJECT_BYTES)
    assert len(await objects.get("large") or b"") == MAX_OBJECT_BYTES


async def test_something_large_that_others_left_is_not_read(tmp_path: Path) -> None:
    objects = open_objects(None, tmp_path)
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(MAX_OBJECT_BYTES + 1)
    with pytest.raises(ObjectsUnavailable):
        await objects.get("huge")


async def test_a_store_that_is_lost_says_so() -> None:
    objects = Objects(HTTPStore("https://127.0.0.1:9", retry_config={"max_retries": 0}))
    for action in (objects.get("name"), objects.ping()):
        with pytest.raises(ObjectsUnavailable):
            await action


async def test_a_folder_that_went_away_is_made_again_by_the_next_put(tmp_path: Path) -> None:
    objects = open_objects(f"file://{tmp_path / 'objects'}", tmp_path)
    shutil.rmtree(tmp_path / "objects")
    assert await objects.get("name") is None
    await objects.put("name", b"data")
    assert await objects.get("name") == b"data"


@pytest.mark.parametrize("url", ["nonsense", "gopher://x/y", "s3://"])
def test_a_bad_address_is_refused_at_the_start(url: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="objects cannot be kept"):
        open_objects(url, tmp_path)
