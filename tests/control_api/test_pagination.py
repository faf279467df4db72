"""Pages and their cursors: nothing is lost between pages, and a forged cursor reaches no database."""

from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from control_api.errors import ApiError
from control_api.pagination import Page, decode_cursor, encode_cursor, id_in, page_of
from storage.ids import new_id


def cursor_of(text: str) -> str:
    """As somebody makes one up."""
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def test_a_page_says_whether_another_follows() -> None:
    assert page_of([1, 2, 3], 3, lambda number: (number,)) == Page([1, 2, 3], None)
    page = page_of([1, 2, 3, 4], 3, lambda number: (number, "x"))
    assert page.items == [1, 2, 3]
    assert page.next_cursor is not None
    assert decode_cursor(page.next_cursor, int, str) == (3, "x")
    assert page_of([], 3, lambda number: (number,)) == Page()


def test_the_view_of_a_page_leads_on_to_the_same_page() -> None:
    assert Page([1, 2], "next").map(str) == Page(["1", "2"], "next")


def test_an_id_comes_back() -> None:
    some_id = new_id()
    assert id_in(encode_cursor(some_id)) == some_id
    assert id_in(None) is None


def test_times_come_back_in_utc() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678, timezone(timedelta(hours=2)))
    (found,) = decode_cursor(encode_cursor(moment), datetime)
    assert (found, found.tzinfo) == (moment, UTC)


@pytest.mark.parametrize(
    ("cursor", "kind"),
    [
        (cursor_of('["2026-01-01T00:00:00"]'), datetime),
        (cursor_of('["0001-01-01T00:00:00+23:59"]'), datetime),
        (cursor_of('["9999-12-31T23:59:59-23:59"]'), datetime),
        (cursor_of("[1e999]"), float),
        (cursor_of("[NaN]"), float),
        (cursor_of('["a\\u0000b"]'), str),
        (cursor_of('["a\\ud800"]'), str),
        (cursor_of('["x"]'), UUID),
        (cursor_of("[]"), UUID),
        (cursor_of('["01a1fa90-8fd2-7bad-99de-df13dc736d90", 1]'), UUID),
        (cursor_of("[" * 300), UUID),
        ("\u00e9", UUID),
        ("", UUID),
        ("x", UUID),
    ],
)
def test_a_forged_cursor_is_refused(cursor: str, kind: Any) -> None:
    with pytest.raises(ApiError) as refused:
        decode_cursor(cursor, kind)
    assert (refused.value.status, refused.value.details[0].field) == (400, "cursor")
