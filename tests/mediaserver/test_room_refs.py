"""What stands for a room, and what does not."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.room_refs import parse_room_ref

ROOM_ID = "01a1fa90-8fd2-7bad-99de-df13dc736d90"


@pytest.mark.parametrize("text", [ROOM_ID, ROOM_ID.upper()])
def test_an_id_is_an_id_whatever_its_case(text: str) -> None:
    assert parse_room_ref(text) == UUID(ROOM_ID)


@pytest.mark.parametrize("text", ["demo", "a", "0", "my-room-2", "a" * 63])
def test_a_slug_is_a_slug(text: str) -> None:
    assert parse_room_ref(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "-a", "a_b", "a.b", "..", "../demo", "demo/..", "a" * 64, "a" * 10_000, "demo\n", "demo\0", "%2e%2e",
     "démo", "demo'--", ROOM_ID + "\n", ROOM_ID + "x" * 1000, "{" + ROOM_ID + "}", " demo", "demo.flv"],
)  # fmt: skip
def test_nothing_else_gets_past(text: str) -> None:
    assert parse_room_ref(text) is None


@given(st.text(max_size=80))
def test_any_text_is_one_of_the_three(text: str) -> None:
    match parse_room_ref(text):
        case UUID() as room_id:
            assert str(room_id) == text.lower()
        case str() as slug:
            assert slug.isascii() and slug.replace("-", "").isalnum() and len(slug) <= 63
